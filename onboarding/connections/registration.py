"""Which alerts Leaf sends us: registering, listing and removing our webhooks there."""

from __future__ import annotations

from dataclasses import dataclass, field

from onboarding.errors import EventRegisteredTwice, SignInRefused, UpstreamRejected
from onboarding.leaf import Leaf, Webhook

CREDENTIAL_EVENTS = ("credentialsUnauthenticated", "credentialsLimitedPermission")
ORGANIZATION_EVENTS = (
    "providerOrganizationBlocked",
    "providerOrganizationCreated",
    "providerOrganizationRemoved",
)
"""In the newest of Leaf's pages only; an API owner may not have them yet."""
FAMILIES = {"credentials": CREDENTIAL_EVENTS, "organizations": ORGANIZATION_EVENTS}


@dataclass
class Registered:
    """What came of registering, by event."""

    new: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    """Ours already."""
    elsewhere: dict[str, Webhook | None] = field(default_factory=dict)
    """Sent to somebody else, and there can be only one; None: Leaf does not show to whom."""
    unknown: list[str] = field(default_factory=list)
    """Leaf does not have such events."""

    @property
    def is_complete(self) -> bool:
        """Whether Leaf tells us of every credential."""
        return not self.elsewhere.keys() & set(CREDENTIAL_EVENTS)


def register(leaf: Leaf, *, url: str, secret: str) -> Registered:
    """Make sure that Leaf sends alerts to a URL, signed with a secret. Again is the same as once.

    A webhook can't be changed at Leaf, so one of ours with another secret is replaced. What Leaf
    sends in between it can't deliver, and the schedule finds it.

    :raise UpstreamError: if Leaf does not do its part
    """
    held = leaf.webhooks.all(secret=secret)
    for webhook in held:
        if webhook.url == url and webhook.holds_secret is False:
            leaf.webhooks.delete(webhook.id)
    kept = [one for one in held if one.url == url and one.holds_secret is not False]
    ours = {event for webhook in kept for event in webhook.events}
    others = {event: one for one in held if one.url != url for event in one.events}
    done = Registered()
    for family, events in FAMILIES.items():
        done.before += [event for event in events if event in ours]
        done.elsewhere |= {
            event: others[event] for event in events if event in others and event not in ours
        }
        missing = [event for event in events if event not in ours and event not in others]
        if missing:
            _create(leaf, done, family, missing, url=url, secret=secret)
    return done


def remove_ours(leaf: Leaf, *, url: str, secret: str) -> list[Webhook]:
    """Remove every webhook that leads to a URL; those that were removed."""
    ours = [webhook for webhook in leaf.webhooks.all(secret=secret) if webhook.url == url]
    for webhook in ours:
        leaf.webhooks.delete(webhook.id)
    return ours


def _create(
    leaf: Leaf, done: Registered, family: str, events: list[str], *, url: str, secret: str
) -> None:
    """Register events together, or each by itself if Leaf does not take one of them."""
    try:
        leaf.webhooks.create(
            name=f"John Deere onboarding: {family}", url=url, secret=secret, events=events
        )
    except SignInRefused:
        raise
    except UpstreamRejected as err:
        is_taken = isinstance(err, EventRegisteredTwice)
        if not is_taken and family == "credentials":
            raise
        if len(events) > 1:
            for event in events:
                _create(leaf, done, family, [event], url=url, secret=secret)
        elif is_taken:
            done.elsewhere |= dict.fromkeys(events)
        else:
            done.unknown += events
    else:
        done.new += events
