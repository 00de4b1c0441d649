"""Growers of the demo world on the way to Leaf: invited, at John Deere, waiting, failed.

Each function brings a new grower there: it makes the rows as the product would have left them, and
says what the simulated John Deere and Leaf have to hold so that they agree.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from onboarding.local.world import story
from onboarding.local.world.life import Life
from onboarding.states import Cause, Outcome, Stage


def began(life: Life, *, least: float = 0.02, most: float = 3.0) -> datetime:
    """When the grower opened the link and pressed the button: often at once, sometimes later."""
    story.invite(life)
    pause = min(most, least + life.chance.expovariate(1.2))
    at = life.born + timedelta(days=pause)
    return min(at, life.moment - timedelta(minutes=30))


def lately(life: Life, *, hours: float) -> datetime:
    """A moment within the last hours, and after it was connected."""
    ago = min(timedelta(hours=hours), life.moment - life.settled) * life.chance.uniform(0.05, 0.9)
    return life.moment - ago


def connected(life: Life) -> None:
    story.connect(life, began(life))


def not_begun(life: Life) -> None:
    """Some have looked at the page, some have not even done that."""
    story.invite(life)
    looked = life.born + timedelta(days=life.chance.expovariate(1))
    if life.chance.random() < 0.4 and looked < life.moment:
        life.opened_at = looked
        life.opens(looked)


def sent_again(life: Life) -> None:
    """The first link has expired, and staff or the page made another one."""
    not_begun(life)
    again = life.born + timedelta(days=15 + 10 * life.chance.random())
    if again < life.moment:
        story.ask_for_another_link(life, again)


def ended(outcome: Outcome, *, times: int = 1) -> Callable[[Life], None]:
    def make(life: Life) -> None:
        at = began(life)
        for _ in range(times):
            life.attempt(at, outcome, detail=story.DETAILS.get(outcome, ""))
            at = life.later(at, minutes=31)

    return make


def no_refresh_token(life: Life) -> None:
    detail = story.DETAILS[Outcome.NO_REFRESH_TOKEN]
    life.attempt(began(life), Outcome.NO_REFRESH_TOKEN, detail=detail)
    life.connection.stage, life.connection.cause = Stage.FAILED, Cause.NO_REFRESH_TOKEN
    life.connection.detail = detail


def at_deere(life: Life) -> None:
    story.invite(life)
    life.attempt(life.moment - timedelta(minutes=life.chance.uniform(2, 20)), None)
    life.connection.stage, life.connection.stage_before = Stage.AUTHORIZING, Stage.INVITED


def finishing(life: Life) -> None:
    story.invite(life)
    used = life.moment - timedelta(seconds=1)
    life.attempt(life.moment - timedelta(minutes=2), None, used_at=used)
    life.connection.stage, life.connection.stage_before = Stage.AUTHORIZING, Stage.INVITED


def handing_over(life: Life, received: timedelta = timedelta(seconds=2)) -> datetime:
    story.invite(life)
    at = story.authorize(life, life.moment - received - timedelta(minutes=3))
    story.see_farms(life, at, life.person.farms, shared=True)
    life.connection.token_received_at = life.moment - received
    life.account["is_waiting"] = True
    life.connection.hand_over_due_at = life.moment + timedelta(seconds=20)
    return at


def on_its_way(life: Life) -> None:
    handing_over(life)


def late(life: Life) -> None:
    handing_over(life, timedelta(seconds=life.chance.uniform(40, 90)))


def waiting(cause: Cause, detail: str) -> Callable[[Life], None]:
    def make(life: Life) -> None:
        handing_over(life, timedelta(hours=life.chance.uniform(1, 30)))
        since = (life.connection.token_received_at or life.moment) + timedelta(seconds=9)
        story.wait(life, cause, since, detail=detail)
        life.account["is_unreadable"] = cause is Cause.TOKEN_UNREADABLE

    return make


def failed(cause: Cause, detail: str, **account: object) -> Callable[[Life], None]:
    def make(life: Life) -> None:
        at = story.authorize(life, story.stumble(life, began(life)))
        story.see_farms(life, at, life.person.farms, shared=True)
        connection = life.connection
        connection.stage, connection.cause, connection.detail = Stage.FAILED, cause, detail
        connection.post_began_at = at
        connection.hand_over_try = 1
        life.account |= account | {"is_waiting": True}
        if cause is Cause.APPLICATION_CHANGED:
            connection.client_key = "sandbox-client-of-2025"
        happened = at + (timedelta(days=30) if cause is Cause.GIVEN_UP else timedelta(seconds=4))
        said = {"cause": cause.value, "detail": detail}
        life.happens(min(happened, life.moment), "hand_over_failed", **said)

    return make
