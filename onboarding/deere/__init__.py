"""John Deere: consent by OAuth 2.0, and the organizations a grower shares.

The grower's way: sign-in and consent (`Deere.consent_url`, `Deere.exchange`), then a second step
on a page of John Deere's that OAuth knows nothing of (`Deere.page_to_choose`), where they tick
the organizations to share.
"""

from onboarding.deere.client import Deere, quiet_logs
from onboarding.deere.organizations import Organization
from onboarding.deere.tokens import Tokens

__all__ = ["Deere", "Organization", "Tokens", "quiet_logs"]
