"""All of the demo world, the same each time but for the present moment."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from onboarding.local.world import story
from onboarding.local.world.at_leaf import OF_LATE
from onboarding.local.world.life import SPAN, Life, begin
from onboarding.local.world.people import somebody
from onboarding.local.world.standings import STANDINGS, Standing
from onboarding.models import Application, Incident, Partner
from onboarding.settings import Settings
from onboarding.states import Environment, IncidentKind

SEED = 1837
"""Any number; of the year in which John Deere made his plough."""
PARTNERS: tuple[tuple[dict[str, Any], str, int], ...] = (
    (
        {
            "slug": "heartland",
            "name": "Heartland Grain Co-op",
            "colour": "#2f6b3a",
            "support_name": "Dana Whitfield",
            "support_email": "growers@heartland-coop.example",
            "support_phone": "(515) 555-0142",
            "support_url": "https://heartland-coop.example/john-deere",
            "open_link": True,
            "frame_origins": ["https://portal.heartland-coop.example"],
            "return_urls": ["https://portal.heartland-coop.example/connected"],
        },
        "HG-{:06d}",
        62,
    ),
    (
        {
            "slug": "blue-river",
            "name": "Blue River Agronomy",
            "colour": "#1f4e79",
            "support_name": "Marcus Lindqvist",
            "support_email": "support@blueriver.example",
            "support_phone": "(402) 555-0177",
            "select_organizations": True,
        },
        "BR{:05d}",
        24,
    ),
    (
        {
            "slug": "summit",
            "name": "Summit Crop Insurance",
            "colour": "#7a2e4d",
            "support_name": "Policy desk",
            "support_email": "policies@summit-crop.example",
            "support_url": "https://summit-crop.example/help",
        },
        "SCI-26-{:05d}",
        14,
    ),
)
"""Each with the shape of its external ids, and how many of a hundred growers it brings."""
OWN_APPLICATION = ("sandbox-second-client", "sandbox-second-secret", Environment.PRODUCTION)
"""That of the last partner: the other one that is registered at the simulated John Deere."""
WORKING_HOURS = range(13, 24)
"""In UTC: a day in the middle of North America."""


@dataclass(frozen=True)
class World:
    """Everybody, and what went wrong for many at once."""

    moment: datetime
    applications: list[Application]
    partners: list[Partner]
    lives: list[Life]
    codes: list[str]
    """What each of them is told, by `describe`, in the order of `lives`."""
    incidents: list[Incident]


def make(settings: Settings, moment: datetime, *, seed: int = SEED) -> World:
    """Make it; nothing is written yet.

    :param moment: the present
    """
    chance = Random(seed)  # noqa: S311 - for a demo
    partners = [_partner(chance, fields, moment) for fields, _, _ in PARTNERS]
    application = _application(settings, partners[-1], moment)
    lives, codes = [], []
    for number, standing in enumerate(_shuffled(chance)):
        life = _life(chance, settings, partners, standing, moment, number)
        standing.make(life)
        lives.append(life)
        codes.append(standing.code)
    return World(moment, [application], partners, lives, codes, _incidents(moment))


def _shuffled(chance: Random) -> list[Standing]:
    places = [one for one in STANDINGS for _ in range(one.number)]
    chance.shuffle(places)
    return places


def _partner(chance: Random, fields: dict[str, Any], moment: datetime) -> Partner:
    key = uuid.UUID(int=chance.getrandbits(128), version=4)
    values: dict[str, Any] = {
        "select_organizations": False,
        "open_link": False,
        "frame_origins": [],
        "return_urls": [],
        "created_at": moment - SPAN - timedelta(days=2),
    }
    return Partner(id=key, **values | fields)


def _application(settings: Settings, partner: Partner, moment: datetime) -> Application:
    """A partner's own; its secret is not yet in it."""
    client_key, _secret, environment = OWN_APPLICATION
    made = Application(
        id=uuid.uuid5(uuid.NAMESPACE_URL, client_key),
        name=f"{partner.name}, production",
        environment=environment,
        client_key=client_key,
        scopes=list(settings.deere_scopes),
        created_at=moment - SPAN,
        secret_set_at=moment - timedelta(days=41),
    )
    partner.application_id = made.id
    return made


def _asked_as(settings: Settings, partner: Partner) -> Settings:
    """The settings as they are for the application of a partner."""
    if partner.application_id is None:
        return settings
    client_key, secret, environment = OWN_APPLICATION
    return replace(
        settings,
        deere_client_key=client_key,
        deere_client_secret=secret,
        deere_environment=environment,
    )


def _life(
    chance: Random,
    settings: Settings,
    partners: list[Partner],
    standing: Standing,
    moment: datetime,
    number: int,
) -> Life:
    (place,) = chance.choices(range(len(partners)), [share for _, _, share in PARTNERS])
    return begin(
        chance,
        _asked_as(settings, partners[place]),
        partners[place],
        somebody(chance, number),
        born=_born(chance, standing, moment),
        moment=moment,
        external_id=PARTNERS[place][1].format(1000 + 7 * number),
    )


def _born(chance: Random, standing: Standing, moment: datetime) -> datetime:
    """When they were brought: more of late than in the beginning, in working hours."""
    youngest, oldest = standing.ages
    days = youngest + (oldest - youngest) * chance.random() ** 1.3
    at = moment - timedelta(days=days)
    if days < 1:
        return at
    if at.weekday() > 4 and days > youngest + 2:
        at += timedelta(days=-(at.weekday() - 4))
    at = at.replace(hour=chance.choice(WORKING_HOURS), minute=chance.randrange(60))
    return min(at, moment - timedelta(days=min(youngest, 1)))


def _incidents(moment: datetime) -> list[Incident]:
    return [*_of_the_past(moment), *_of_the_present(moment)]


def _of_the_past(moment: datetime) -> Iterator[Incident]:
    for number, (days, hours) in enumerate(story.PAUSES, start=1):
        began = moment - timedelta(days=days)
        yield Incident(
            kind=IncidentKind.PAUSE,
            began_at=began,
            ended_at=began + timedelta(hours=hours),
            turned=29 * number,
            asked=64 * number,
        )


def _of_the_present(moment: datetime) -> Iterator[Incident]:
    began = moment - OF_LATE
    for kind, turned in ((IncidentKind.REFUSED, 8), (IncidentKind.LIMITED, 6)):
        yield Incident(kind=kind, began_at=began, ended_at=None, turned=turned, asked=23)
