"""Partners, growers and links: what is taken in, and what is said of what is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections import invitations, partnership
from onboarding.db import Database
from onboarding.errors import InputInvalid
from onboarding.models import Connection, Grower, Link, Partner
from onboarding.staff import partners
from onboarding.states import Cause, Stage
from tests.unit.rows import PARTNER, add_partner, connection_of, history_of, invited

FORTNIGHT = timedelta(days=14)


def add(database: Database, **fields: Any) -> Partner:
    with database.transaction() as session:
        return partnership.add_partner(
            session, **{"slug": "north-farms", "name": "North Farms"} | fields
        )


def invite(database: Database, **fields: Any) -> Link:
    values = {"partner_slug": PARTNER, "external_id": "g-1", "name": "Maple Farm"} | fields
    with database.transaction() as session:
        return invitations.invite(session, lifetime=FORTNIGHT, **values)


def count(database: Database, table: type[Any]) -> int:
    with database.reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_a_partner_is_kept_with_all_that_was_said(fresh_database: Database) -> None:
    add(
        fresh_database,
        name="  North Farms ",
        colour="#1A2B3C",
        support_name="Ada",
        support_email="help@north.example",
        support_phone="+49 30 1234567",
        support_url="https://north.example/help",
        frame_origins=["https://portal.north.example"],
        return_urls=["https://portal.north.example/done?from=deere"],
        select_organizations=True,
    )

    with fresh_database.reading() as session:
        found = partners.named(session, "north-farms")
    assert (found.name, found.colour, found.support_name) == ("North Farms", "#1a2b3c", "Ada")
    assert found.support_email == "help@north.example"
    assert found.support_phone == "+49 30 1234567"
    assert found.support_url == "https://north.example/help"
    assert found.frame_origins == ["https://portal.north.example"]
    assert found.return_urls == ["https://portal.north.example/done?from=deere"]
    assert found.select_organizations


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"support_url": "https://u:p@north.example"}, "support URL must be an https:// URL"),
        ({"slug": ""}, "small letters and digits, with single hyphens"),
        ({"slug": "North"}, "'North' is not"),
        ({"slug": "north_farms"}, "'north_farms' is not"),
        ({"slug": "-north"}, "'-north' is not"),
        ({"slug": "north--farms"}, "'north--farms' is not"),
        ({"slug": "north/farms"}, "'north/farms' is not"),
        ({"slug": "n" * 65}, "at most 64"),
        ({"slug": "nörd"}, "'nörd' is not"),
        ({"name": " "}, "name must have 1 to 200 characters"),
        ({"name": "n" * 201}, "name must have 1 to 200 characters"),
        ({"colour": "red"}, "must look like #1a2b3c"),
        ({"colour": "#12345"}, "must look like #1a2b3c"),
        ({"colour": "#12345g"}, "must look like #1a2b3c"),
        ({"colour": "#123456;}"}, "must look like #1a2b3c"),
        ({"support_name": "n" * 201}, "support name must have 1 to 200 characters"),
        ({"support_phone": "1" * 41}, "support phone must have 1 to 40 characters"),
        ({"support_email": "help"}, "'help' is not an e-mail address"),
        ({"support_email": "a@b@c.example"}, "is not an e-mail address"),
        ({"support_email": "a" * 250 + "@b.example"}, "is not an e-mail address"),
        ({"support_url": "north.example/help"}, "support URL must be an https:// URL"),
        ({"support_url": "http://north.example"}, "support URL must be an https:// URL"),
        ({"support_url": "javascript:alert(1)"}, "support URL must be an https:// URL"),
        ({"support_url": "https://[north"}, "support URL must be an https:// URL"),
        ({"support_url": "https://north.example/a b"}, "support URL must be an https:// URL"),
        ({"support_url": "https://north.example/" + "a" * 500}, "support URL must have 1 to 500"),
        ({"return_urls": ["https://"]}, "return URL must be an https:// URL; 'https://' is not"),
        ({"return_urls": ["https://a.example\n"]}, "return URL must be an https:// URL"),
        ({"return_urls": ["https://a.example:x/"]}, "return URL must be an https:// URL"),
        ({"return_urls": ["https://a.example/#/farm"]}, "return URL has no fragment"),
        ({"frame_origins": ["portal.example"]}, "frame origin must be an https:// URL"),
        ({"frame_origins": ["http://portal.example"]}, "frame origin must be an https:// URL"),
        ({"frame_origins": ["https://portal.example/app"]}, "write https://portal.example instead"),
        ({"frame_origins": ["https://portal.example?a"]}, "write https://portal.example instead"),
        ({"frame_origins": ["https://u@portal.example"]}, "must be an https:// URL"),
        ({"frame_origins": ["https://portal.example;script-src"]}, "must be an https:// URL"),
        ({"frame_origins": ["https://portal.example https://x"]}, "must be an https:// URL"),
        ({"frame_origins": ["https://portal.example,x"]}, "must be an https:// URL"),
        ({"frame_origins": ["https://*"]}, "must be an https:// URL"),
        ({"frame_origins": ["https://*.portal.example"]}, "must be an https:// URL"),
        ({"frame_origins": ["https://portal.example:0x50"]}, "must be an https:// URL"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_to_write(
    fresh_database: Database, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputInvalid) as caught:
        add(fresh_database, **fields)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert count(fresh_database, Partner) == 0


def test_a_return_url_that_was_taken_once_keeps_nobody_from_changing_others(
    fresh_database: Database,
) -> None:
    add_partner(fresh_database)
    with fresh_database.transaction() as session:
        partner = session.scalars(sa.select(Partner)).one()
        partner.return_urls = ["https://portal.example/#/farm"]
        values = {name: getattr(partner, name) for name in partnership.CHANGED}
        more = [*partner.return_urls, "https://portal.example/back"]
        partnership.change_partner(partner, **values | {"return_urls": more})
        assert partner.return_urls == more


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("https://portal.example", "https://portal.example"),
        ("https://portal.example/", "https://portal.example"),
        ("HTTPS://Portal.Example", "https://portal.example"),
        ("https://portal.example:8443", "https://portal.example:8443"),
        ("https://portal.example:443", "https://portal.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_an_origin_is_kept_as_browsers_write_it(
    fresh_database: Database, written: str, kept: str
) -> None:
    assert add(fresh_database, frame_origins=[written]).frame_origins == [kept]


def test_a_slug_is_given_once(fresh_database: Database) -> None:
    add(fresh_database)

    with pytest.raises(InputInvalid, match="There is a partner 'north-farms' already"):
        add(fresh_database, name="Another")
    assert count(fresh_database, Partner) == 1


def test_nothing_said_of_support_is_nothing_kept(fresh_database: Database) -> None:
    partner = add(fresh_database, support_email="", support_name="", support_phone="", colour="")

    assert {
        partner.support_email,
        partner.support_name,
        partner.support_phone,
        partner.support_url,
        partner.colour,
    } == {None}


def test_a_new_grower_has_a_connection_that_waits_for_them(fresh_database: Database) -> None:
    began = now()
    link = invited(fresh_database)

    connection = connection_of(fresh_database, link)
    assert connection.stage is Stage.INVITED
    assert len(connection.reference) == 8
    assert connection.grower.external_id == "grower-1"
    assert began + FORTNIGHT <= link.expires_at <= now() + FORTNIGHT
    assert link.is_usable(now())
    assert not link.is_usable(link.expires_at)
    assert history_of(fresh_database, connection.id) == ["link_made"]


def test_a_second_link_is_for_the_same_grower_and_brings_them_up_to_date(
    fresh_database: Database,
) -> None:
    add_partner(fresh_database)
    first = invite(fresh_database, email="old@farm.example", leaf_user_id="leaf-1")
    second = invite(fresh_database, name=" Maple & Sons ", email="new@farm.example")
    third = invite(fresh_database)

    assert {first.grower_id, second.grower_id} == {third.grower_id}
    assert len({first.id, second.id, third.id}) == 3
    assert count(fresh_database, Grower) == count(fresh_database, Connection) == 1
    with fresh_database.reading() as session:
        grower = session.scalars(sa.select(Grower)).one()
        assert all(session.get_one(Link, link.id).is_usable(now()) for link in (first, second))
    assert (grower.name, grower.email) == ("Maple Farm", "new@farm.example")
    assert grower.leaf_user_id == "leaf-1"


def test_two_partners_may_use_one_external_id_for_different_growers(
    fresh_database: Database,
) -> None:
    one = invited(fresh_database, "g-1", partner="north")
    other = invited(fresh_database, "g-1", partner="south")

    assert one.grower_id != other.grower_id


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"partner_slug": "nobody"}, "There is no partner 'nobody'. Add it with: flask --app wsgi"),
        ({"external_id": " "}, "external id must have 1 to 200 characters"),
        ({"external_id": "1" * 201}, "external id must have 1 to 200 characters"),
        ({"name": ""}, "name must have 1 to 200 characters"),
        ({"name": "n" * 201}, "name must have 1 to 200 characters"),
        ({"email": "maple"}, "'maple' is not an e-mail address"),
        ({"leaf_user_id": "1" * 65}, "Leaf user must have 1 to 64 characters"),
        ({"leaf_user_id": " "}, "Leaf user must have 1 to 64 characters"),
    ],
)
def test_what_cannot_be_used_makes_no_link_and_no_grower(
    fresh_database: Database, fields: dict[str, str], message: str
) -> None:
    add_partner(fresh_database)

    with pytest.raises(InputInvalid) as caught:
        invite(fresh_database, **fields)

    assert message in str(caught.value)
    assert count(fresh_database, Link) == count(fresh_database, Grower) == 0


def test_a_leaf_user_of_another_grower_is_refused_by_name(fresh_database: Database) -> None:
    add_partner(fresh_database)
    invite(fresh_database, external_id="g-1", leaf_user_id="leaf-1")

    with pytest.raises(InputInvalid, match="leaf-1 belongs to grower 'g-1' of partner 'demo'"):
        invite(fresh_database, external_id="g-2", leaf_user_id="leaf-1")
    assert count(fresh_database, Grower) == 1


def handed_over(database: Database, *, cause: Cause | None = None) -> None:
    with database.transaction() as session:
        connection = session.scalars(sa.select(Connection)).one()
        connection.handed_over_at = now()
        connection.cause = cause


def test_a_mistyped_leaf_user_can_be_corrected_before_the_hand_over(
    fresh_database: Database,
) -> None:
    add_partner(fresh_database)
    invite(fresh_database, leaf_user_id="leaf-1")
    invite(fresh_database, leaf_user_id="leaf-2")

    with fresh_database.reading() as session:
        assert session.scalars(sa.select(Grower.leaf_user_id)).one() == "leaf-2"


def test_a_leaf_user_with_a_credential_is_not_exchanged(fresh_database: Database) -> None:
    add_partner(fresh_database)
    invite(fresh_database, leaf_user_id="leaf-1")
    handed_over(fresh_database)

    with pytest.raises(InputInvalid, match="has Leaf user leaf-1 already"):
        invite(fresh_database, leaf_user_id="leaf-2")
    invite(fresh_database, leaf_user_id="leaf-1")


def test_a_leaf_user_that_leaf_no_longer_knows_can_be_replaced(fresh_database: Database) -> None:
    add_partner(fresh_database)
    invite(fresh_database, leaf_user_id="leaf-1")
    handed_over(fresh_database, cause=Cause.LEAF_USER_MISSING)

    invite(fresh_database, leaf_user_id="leaf-2")

    with fresh_database.reading() as session:
        assert session.scalars(sa.select(Grower.leaf_user_id)).one() == "leaf-2"


@pytest.mark.parametrize("wrong", [".", "..", "a/b", "x y"])
def test_what_can_be_no_leaf_user_is_refused(fresh_database: Database, wrong: str) -> None:
    add_partner(fresh_database)

    with pytest.raises(InputInvalid, match="is not the id of a Leaf user"):
        invite(fresh_database, leaf_user_id=wrong)


def test_a_revoked_link_stays_worthless_and_others_work(fresh_database: Database) -> None:
    revoked, other = invited(fresh_database), invited(fresh_database)

    for _ in range(2):
        with fresh_database.transaction() as session:
            invitations.revoke(session, session.get_one(Link, revoked.id))

    with fresh_database.reading() as session:
        assert not session.get_one(Link, revoked.id).is_usable(now())
        assert session.get_one(Link, other.id).is_usable(now())
    connection = connection_of(fresh_database, revoked)
    assert history_of(fresh_database, connection.id).count("link_revoked") == 1
