"""Leaf: the whole API that this product needs, as a grower's provider credentials.

Leaf's answers carry `clientSecret`, `accessToken` and `refreshToken`; only the fields named in
`onboarding.leaf.shapes` leave this package.
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
    SyncChoice,
)

__all__ = [
    "Credential",
    "CredentialEvent",
    "Leaf",
    "LeafOrganization",
    "LeafOrganizations",
    "LeafUser",
    "OrganizationChoice",
    "Report",
    "Summary",
    "SyncChoice",
]
