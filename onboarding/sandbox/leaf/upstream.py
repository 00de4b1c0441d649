"""John Deere as the simulated Leaf finds it with a credential."""

from __future__ import annotations

from onboarding.sandbox import connections
from onboarding.sandbox.accounts import Account
from onboarding.sandbox.runtime import sandbox
from onboarding.states import Health


def accepts(refresh_token: str) -> bool:
    """Whether John Deere would accept a refresh token from Leaf now.

    Leaf asks John Deere at least once a day, so that its tokens don't expire; unless the policy
    `leaf_uses_tokens` is `never`.
    """
    return sandbox().grants.is_live(refresh_token, used_daily=_uses_daily())


def note_use(refresh_token: str) -> None:
    """Note Leaf's daily use of a token that is accepted."""
    if _uses_daily():
        sandbox().grants.note_daily_use(refresh_token)


def health_of(account: Account) -> Health:
    """What Leaf makes of John Deere's answers for an account whose grant is good."""
    if account.leaf_status is Health.OK and connections.lacks_permission(account):
        return Health.MISSING_PERMISSION
    return account.leaf_status


def _uses_daily() -> bool:
    return sandbox().policies["leaf_uses_tokens"] == "daily"
