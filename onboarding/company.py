"""What an installation is told of the company's identity provider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from onboarding.states import Role

WELL_KNOWN = "/.well-known/openid-configuration"
OWN_NAMES: Mapping[str, Role] = {role.value: role for role in Role}
"""Of the roles, as a claim has them unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class Company:
    """The provider, the application that is registered there, and what its claims mean."""

    metadata_url: str
    client_id: str
    client_secret: str = field(repr=False)
    role_claim: str = ""
    """Where the roles stand, e.g. `groups` or `realm_access.roles`; empty: by invitation alone."""
    roles: Mapping[str, Role] = field(default_factory=lambda: OWN_NAMES)
    """Which value of the claim gives which role."""
    vouches_for_addresses: bool = False
    """Whether an address counts as verified although the provider does not say so."""

    def role_of(self, values: Iterable[str]) -> Role | None:
        """The highest role that the values give; None: none of them does."""
        found = [self.roles[value] for value in values if value in self.roles]
        return next((role for role in reversed(Role) if role in found), None)


def roles(text: str) -> Mapping[str, Role]:
    """Read `value=role` pairs, with `;` between them.

    :param text: e.g. `connect-admins=administrator; support=viewer`
    :raise ValueError: saying what is wrong, to be read after the setting's name
    """
    found: dict[str, Role] = {}
    for pair in filter(None, (part.strip() for part in text.split(";"))):
        value, _, role = (part.strip() for part in pair.rpartition("="))
        if not value or role not in OWN_NAMES:
            raise ValueError(f"has {pair!r}; write VALUE=ROLE, a role being {_or(OWN_NAMES)}")
        found[value] = OWN_NAMES[role]
    return found or OWN_NAMES


def _or(words: Iterable[str]) -> str:
    *some, last = words
    return f"{', '.join(some)} or {last}"
