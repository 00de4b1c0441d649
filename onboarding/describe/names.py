"""What an organization is called."""

from __future__ import annotations

from onboarding.i18n import gettext as _
from onboarding.models import Organization


def name_of(organization: Organization) -> str:
    """Its name; John Deere lets an organization have none."""
    return organization.name or _("Organization %(id)s") % {"id": organization.deere_id}
