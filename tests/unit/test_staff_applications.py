"""Applications besides the default one: kept, changed, tried, deleted."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from onboarding.connections import applications as using
from onboarding.connections import rotation
from onboarding.db import Database
from onboarding.errors import ApplicationUnknown, InputInvalid
from onboarding.models import Application, Audit, Link, Partner
from onboarding.settings import DEERE_API_URLS
from onboarding.staff import applications, partners
from onboarding.staff.application_drafts import draft
from onboarding.states import Environment
from onboarding.vault import Vault
from tests.unit.rows import PARTNER
from tests.unit.walk import Walk

SECRET = "own-secret-5Tq8Zx"


def add(walk: Walk, name: str = "Own", *, secret: str = SECRET, **more: str) -> None:
    """Keep an application."""
    values = {"environment": "PRODUCTION", "client_key": "own-key", **more}
    with walk.database.transaction() as session:
        made = draft(walk.settings, name=name, **values)
        applications.add(session, walk.vault, walk.settings, made, secret, None)


def kept(database: Database, name: str = "Own") -> Application:
    with database.reading() as session:
        return applications.named(session, name)


def test_the_flow_gets_all_of_it_and_its_secret_is_bound_to_its_place(walk: Walk) -> None:
    add(walk, scopes="ag1 offline_access ag1")
    found = kept(walk.database)

    own = using.complete(walk.settings, walk.vault, found)

    assert (own.deere_client_key, own.deere_client_secret) == ("own-key", SECRET)
    assert own.deere_scopes == ("ag1", "offline_access")
    assert own.deere_api_url == DEERE_API_URLS[Environment.PRODUCTION], "of its own environment"
    assert SECRET.encode() not in found.client_secret
    assert SECRET not in repr(own)
    add(walk, "Other", client_key="other-key")
    with walk.database.transaction() as session:
        copied = applications.named(session, "Other")
        copied.client_secret = found.client_secret
    with pytest.raises(Exception, match="do not belong there"):
        using.complete(walk.settings, walk.vault, kept(walk.database, "Other"))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"environment": "TEST"}, "STAGE or PRODUCTION"),
        ({"client_key": "with space"}, "client key must have"),
        ({"secret": ""}, "client secret must have"),
        ({"secret": "two words"}, "client secret must have"),
        ({"scopes": "ag1"}, "must contain offline_access"),
        ({"scopes": 'ag1 "x offline_access'}, "is not a scope"),
        ({"metadata_url": "https://signin.example/x"}, "must end with /.well-known"),
        ({"api_url": "http://api.example"}, "must be an https:// URL"),
        ({"api_url": "http://127.0.0.1/platform"}, "must not be on this machine"),
        ({"environment": "STAGE", "client_key": "client-key"}, "the default application"),
    ],
)
def test_what_can_not_be_one_is_refused_with_what_to_change(
    walk: Walk, values: dict[str, str], says: str
) -> None:
    with pytest.raises(InputInvalid, match=says) as refused:
        add(walk, **values)
    assert values.get("secret", "two words") not in str(refused.value) or not values.get("secret")


def test_two_can_not_have_the_same_name_or_the_same_key_and_environment(walk: Walk) -> None:
    add(walk)
    with pytest.raises(InputInvalid, match="'Own' already"):
        add(walk, client_key="another")
    with pytest.raises(InputInvalid, match="'Own' has this client key"):
        add(walk, "Another")
    add(walk, "Another", environment="STAGE")


def test_it_is_deleted_only_when_nobody_needs_it(walk: Walk, link: Link) -> None:
    add(walk)
    with walk.database.transaction() as session:
        partners.use_application(session, partners.named(session, PARTNER), "Own", None)
    own = using.complete(walk.settings, walk.vault, kept(walk.database))
    default, walk.settings = walk.settings, own
    walk.start(link)
    walk.settings = default

    def delete() -> None:
        with walk.database.transaction() as session:
            applications.delete(session, applications.named(session, "Own"), None)

    with pytest.raises(InputInvalid, match="used by Demo Co-op"):
        delete()
    with walk.database.transaction() as session:
        partners.use_application(session, partners.named(session, PARTNER), "", None)
    with pytest.raises(InputInvalid, match="a sign-in is open"):
        delete()
    with walk.database.transaction() as session:
        session.execute(sa.text("UPDATE attempt SET outcome = 'denied'"))
    delete()
    with walk.database.reading() as session:
        with pytest.raises(ApplicationUnknown):
            using.named(session, walk.settings, "own-key", Environment.PRODUCTION)
        done = session.scalars(sa.select(Audit.action).order_by(Audit.id)).all()
        assert SECRET not in str([line.data for line in session.scalars(sa.select(Audit))])
    assert done == [
        "application.add",
        "partner.application",
        "partner.application",
        "application.delete",
    ]


def test_its_secret_is_rotated_with_all_others(walk: Walk) -> None:
    add(walk)
    new = Vault([b"n" * 32, b"k" * 32])
    assert rotation.rotate(walk.database, new).renewed == 1
    only_new = Vault([b"n" * 32])
    found = using.complete(walk.settings, only_new, kept(walk.database))
    assert found.deere_client_secret == SECRET


def test_a_partner_without_one_asks_as_the_default_application(walk: Walk, link: Link) -> None:
    with walk.database.reading() as session:
        partner = session.scalars(sa.select(Partner)).one()
        assert using.of_partner(session, partner) is None
    assert using.complete(walk.settings, walk.vault, None) is walk.settings
