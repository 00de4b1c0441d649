"""Every exception that this package raises on purpose.

    OnboardingError
    ├── SettingsInvalid        settings are missing or wrong    → each named, with what to write
    ├── DatabaseUnfit          it can't hold our tables         → how to make one that can
    ├── InputInvalid           a command's or form's value      → what to change
    │   └── NoRoom                 there are as many as may be      → remove one
    ├── LinkInvalid            forged, expired or revoked       → page with the partner's contact
    ├── ConsentExpired         state missing, unknown, too old  → start again
    ├── ConsentElsewhere       the callback in another browser  → go on there, or start again
    ├── TokenUnreadable        no key decrypts a stored secret  → staff: bring the old key back
    ├── ApplicationUnknown     begun with one that is gone      → start again
    ├── IdentityUnproved       a sign-in that proves nobody     → start again; staff: mend it
    ├── NotLetIn               proved, but nobody we let in     → ask an administrator
    ├── RequestDiffers         a key of another request        → send a new key
    ├── RequestRuns            the same request, not yet done  → ask again soon
    ├── MailError              (reason)
    │   ├── MailDelayed            later: no answer, 4xx, or the server refuses us, not the mail
    │   └── MailRefused            5xx for this mail: trying again will not help
    │       └── AddressRefused     there is no such mailbox: no mail will reach it
    └── UpstreamError          (service, action, status, reason)
        ├── UpstreamUnavailable    later (outage, timeout, 429, 5xx, HTML instead of JSON)
        └── UpstreamRejected       a person must look (other 4xx)
            ├── TermsNotAccepted   John Deere wants its terms accepted first
            ├── OrganizationsLeftOut   an answer without them: no account, or key and host differ
            ├── CodeRefused        the authorization code is used, too old or not ours
            ├── SignInRefused      the service does not accept our own credentials
            ├── EnvironmentMismatch    Leaf refused key, secret or STAGE/PRODUCTION → staff
            └── EventRegisteredTwice   Leaf sends these alerts to another webhook already

`str(error)` is safe to log and to show to staff: it never holds a URL, a header, a body or a
secret.
"""

from __future__ import annotations

from uuid import UUID


class OnboardingError(Exception):
    """The root of the tree."""


class SettingsInvalid(OnboardingError):
    """Settings are missing or wrong; the message names all of them, one a line."""


class DatabaseUnfit(OnboardingError):
    """The database can't hold our tables; the message says what to change."""


class InputInvalid(OnboardingError):
    """A value given on the command line or in a form can't be used; the message says why."""


class NoRoom(InputInvalid):
    """No value is wrong: there are as many already as there may be."""


class LinkInvalid(OnboardingError):
    """A link is forged, expired or revoked."""


class ConsentExpired(OnboardingError):
    """The state is missing, unknown or too old.

    :ivar attempt_id: the attempt if there is one, for finding whom the grower can ask
    """

    def __init__(self, why: str, attempt_id: UUID | None = None) -> None:
        self.attempt_id = attempt_id
        super().__init__(why)


class ConsentElsewhere(OnboardingError):
    """The callback arrived in a browser that did not start the attempt.

    :ivar attempt_id: the attempt, for finding whom the grower can ask
    """

    def __init__(self, attempt_id: UUID) -> None:
        self.attempt_id = attempt_id
        super().__init__("another browser")


class TokenUnreadable(OnboardingError):
    """A stored secret can't be decrypted with any key of `ENCRYPTION_KEYS`."""


class ApplicationUnknown(OnboardingError):
    """What was begun with an application can't go on: it is not here any more."""


class IdentityUnproved(OnboardingError):
    """What came back from the company's identity provider does not prove who somebody is."""


class NotLetIn(OnboardingError):
    """The company's identity provider has named somebody who may not sign in here; why."""


class RequestDiffers(OnboardingError):
    """An `Idempotency-Key` comes with another request than before."""


class RequestRuns(OnboardingError):
    """A request with the same `Idempotency-Key` has not ended."""


class MailError(OnboardingError):
    """The mail server did not take a mail."""


class MailDelayed(MailError):
    """It may take it later.

    :ivar for_staff: whether a person has to mend something first, such as the password
    """

    def __init__(self, reason: str, *, for_staff: bool = False) -> None:
        self.for_staff = for_staff
        super().__init__(reason)


class MailRefused(MailError):
    """It will never take this mail."""


class AddressRefused(MailRefused):
    """Nor any other mail to this address: there is no such mailbox, or it is no address."""


class UpstreamError(OnboardingError):
    """A call to John Deere or Leaf did not do what was asked.

    :ivar service: `John Deere` or `Leaf`
    :ivar action: what was being done, e.g. `create credentials`
    :ivar status: the HTTP status, or None if no answer arrived
    :ivar reason: a short, redacted text for staff; empty if there is nothing more to say
    """

    def __init__(
        self, service: str, action: str, *, status: int | None = None, reason: str = ""
    ) -> None:
        self.service = service
        self.action = action
        self.status = status
        self.reason = reason
        super().__init__(service, action, status, reason)

    def __str__(self) -> str:
        answer = "no answer" if self.status is None else f"HTTP {self.status}"
        text = f"{self.service}: {self.action}: {answer}"
        return f"{text}: {self.reason}" if self.reason else text


class UpstreamUnavailable(UpstreamError):
    """Try again later.

    :ivar retry_after: seconds that the service asked us to wait, or None
    """

    def __init__(
        self,
        service: str,
        action: str,
        *,
        status: int | None = None,
        reason: str = "",
        retry_after: float | None = None,
    ) -> None:
        self.retry_after = retry_after
        super().__init__(service, action, status=status, reason=reason)


class UpstreamRejected(UpstreamError):
    """The service refused; trying again will not help, a person must look."""


class TermsNotAccepted(UpstreamRejected):
    """John Deere answers 403 until its terms are accepted.

    :ivar terms_url: where to accept them, only if it is John Deere's own page; else None
    """

    def __init__(
        self, service: str, action: str, *, status: int, terms_url: str | None = None
    ) -> None:
        self.terms_url = terms_url
        super().__init__(service, action, status=status, reason="terms are not accepted")


class OrganizationsLeftOut(UpstreamRejected):
    """John Deere answers without any list of organizations, not even an empty one.

    Seen where the application's key belongs to another environment than the API's host.
    """


class CodeRefused(UpstreamRejected):
    """The token endpoint refused the authorization code (`invalid_grant`)."""


class SignInRefused(UpstreamRejected):
    """The service does not accept our own key and secret, or username and password."""


class EnvironmentMismatch(UpstreamRejected):
    """Leaf's refusal of a credential speaks of the application or its environment.

    Leaf: "Make sure `clientEnvironment` matches the environment your John Deere app is
    registered in" (docs.withleaf.io, providers/john-deere).
    """


class EventRegisteredTwice(UpstreamRejected):
    """Leaf sends an event to one webhook of an API owner only, and there is another already."""
