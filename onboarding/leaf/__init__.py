"""Leaf: the whole API that this product needs, as a grower's provider credentials.

Leaf's answers carry `clientSecret`, `accessToken` and `refreshToken`; only the fields named in
`onboarding.leaf.shapes` and `onboarding.leaf.webhooks` leave this package.
"""

from onboarding.leaf.client import Leaf
from onboarding.leaf.shapes import (
    Credential,
    CredentialEvent,
    LeafOrganization,
    LeafOrganizations,
    LeafUser,
    OrganizationChoice,
    Report,
    Summary,
)
from onboarding.leaf.turn import Turn
from onboarding.leaf.webhooks import FailedCall, Webhook

__all__ = [
    "Credential",
    "CredentialEvent",
    "FailedCall",
    "Leaf",
    "LeafOrganization",
    "LeafOrganizations",
    "LeafUser",
    "OrganizationChoice",
    "Report",
    "Summary",
    "Turn",
    "Webhook",
]
