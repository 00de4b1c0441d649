"""The pages of a partner's webhooks: endpoints, what was sent, and sending it again."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

import html5lib
import pytest
import sqlalchemy as sa
import time_machine
from click.testing import Result
from flask.testing import FlaskClient

from onboarding.clock import now
from onboarding.models import Audit, Connection, WebhookDelivery, WebhookEndpoint
from onboarding.states import DeliveryState, Role
from onboarding.webhooks.results import GIVEN_UP_AFTER
from tests.support.desk import Desk
from tests.support.queries import counted
from tests.unit import hooks
from tests.unit.rows import add_partner, watched

PAGE = "/staff/partners/watched/webhooks"
SECRET = re.compile(r'id="secret">(whsec_[^<]+)<')
EVENT = "connection.needs_action"


def shown(desk: Desk, browser: FlaskClient, path: str) -> str:
    """A page's text."""
    with counted(desk.app.extensions["onboarding"].database.engine) as sent:
        answer = browser.get(path)
    assert answer.status_code == 200
    assert len(sent) <= 6, sent
    page = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(answer.text)
    return " ".join("".join(page.find(".//main").itertext()).split())


def endpoint_of(desk: Desk) -> WebhookEndpoint:
    with desk.database.reading() as session:
        return session.scalars(sa.select(WebhookEndpoint)).one()


def added(desk: Desk) -> UUID:
    parts = desk.app.extensions["onboarding"]
    return hooks.endpoint(desk.database, parts.vault, parts.settings)


def states(desk: Desk) -> list[DeliveryState]:
    with desk.database.reading() as session:
        found = sa.select(WebhookDelivery.state).order_by(WebhookDelivery.id)
        return list(session.scalars(found))


def test_endpoint_is_added_changed_rotated_paused_and_removed_and_secrets_shown_once(
    desk: Desk,
) -> None:
    watched(desk.database, 1)
    add_partner(desk.database, "other")
    browser = desk.browser(Role.ADMINISTRATOR)
    token = {"csrf_token": desk.token(browser)}
    assert "No program of this partner is told" in shown(desk, browser, PAGE)
    assert "Somebody must act" in shown(desk, browser, f"{PAGE}/add")
    for url, events, why in (
        ("http://portal.example/", [EVENT], "must begin with https://"),
        ("https://portal.example/x", [], "Choose at least one event"),
        ("https://portal.example/x", ["nonsense"], "not a valid choice"),
    ):
        answer = browser.post(f"{PAGE}/add", data=token | {"url": url, "events": events})
        assert answer.status_code == 422
        assert why in answer.text
        assert f'value="{url}"' in answer.text, "what was typed stays"
    secret_query = "https://portal.example/hooks?token=their-own"
    made = browser.post(f"{PAGE}/add", data=token | {"url": secret_query, "events": [EVENT]})
    first = SECRET.search(made.text)
    assert first is not None
    page = shown(desk, browser, PAGE)
    assert f"{secret_query} Works Somebody must act" in page
    assert first[1] not in page

    at = f"{PAGE}/{endpoint_of(desk).id}"
    changed = {"url": hooks.URL, "events": [EVENT, "link.opened"]}
    assert browser.post(f"{at}/change", data=token | changed).status_code == 303
    assert hooks.URL in browser.get(f"{at}/change").text
    second = SECRET.search(browser.post(f"{at}/rotate", data=token).text)
    assert second is not None
    assert second[1] != first[1]
    assert browser.post(f"{at}/pause", data=token).status_code == 303
    page = shown(desk, browser, at)
    assert "Paused since now" in page
    assert "By hand" in page
    assert "Signed with the secret before, too" in page
    refused = browser.post(f"{at}/test", data=token, follow_redirects=True)
    assert "The endpoint is paused: resume it first." in refused.text
    browser.post(f"{at}/resume", data=token)
    others = at.replace("watched", "other")
    assert browser.get(others).status_code == 404
    assert browser.post(f"{others}/remove", data=token).status_code == 404
    assert browser.post(f"{at}/remove", data=token).status_code == 303
    assert browser.get(at).status_code == 404

    with desk.database.reading() as session:
        lines = session.scalars(sa.select(Audit).order_by(Audit.id)).all()
    done = ["add", "change", "rotate", "pause", "resume", "remove"]
    assert [line.action for line in lines] == [f"webhook.{one}" for one in done]
    assert {line.data["url"] for line in lines} == {hooks.URL}
    assert not any(secret in str(line.data) for secret in (first[1], second[1]) for line in lines)


def test_what_was_sent_is_found_looked_at_and_sent_again(desk: Desk) -> None:
    began = now()
    connections = watched(desk.database, 2, checked_at=began)
    at = f"{PAGE}/{added(desk)}"
    with time_machine.travel(began, tick=False) as clock:
        hooks.breaks(desk.database, connections)
        hooks.tried(desk.database, hooks.taken(), room=1)
        clock.shift(GIVEN_UP_AFTER)
        hooks.tried(desk.database, hooks.failed(503, "down & out"))
    assert states(desk) == [DeliveryState.DELIVERED, DeliveryState.GIVEN_UP]

    with time_machine.travel(began + GIVEN_UP_AFTER + timedelta(minutes=1), tick=True):
        viewer = desk.browser(Role.VIEWER)
        browser = desk.browser(Role.OPERATOR)
        token = {"csrf_token": desk.token(browser)}
        system = shown(desk, viewer, "/staff/system")
        assert "1 endpoint has failed for less than an hour" in system
        assert "takes what is sent" not in system
        page = shown(desk, viewer, at)
        assert "Fails since 1 min ago" in page
        assert "503 down & out" in page
        assert "Given up 1 HTTP 503 12 ms" in page
        assert "Send again" not in page
        given_up = WebhookDelivery.state == DeliveryState.GIVEN_UP
        with desk.database.reading() as session:
            codes = session.scalars(sa.select(Connection.reference)).all()
            number = session.scalars(sa.select(WebhookDelivery.id).where(given_up)).one()
        assert all(code in page for code in codes)
        narrowed = shown(desk, viewer, f"{at}?state=delivered&event={EVENT}")
        assert "HTTP 204 34 ms" in narrowed
        assert "HTTP 503" not in narrowed
        assert "Nothing of that is there" in shown(desk, viewer, f"{at}?event=test")
        assert "HTTP 503" in shown(desk, viewer, f"{at}?state=odd&event=odd&before=odd")

        one = f"{at}/deliveries/{number}"
        page = shown(desk, viewer, one)
        assert "503 12 ms down & out" in page
        assert '"type": "connection.needs_action"' in page
        assert "webhook-id msg_" in page
        assert browser.post(f"{one}/send-again", data=token).status_code == 303
        assert states(desk)[1] is DeliveryState.WAITING
        assert "1 message is sent again." in browser.get(one).text
        twice = browser.post(f"{one}/send-again", data=token, follow_redirects=True)
        assert "It waits to be sent already." in twice.text
        assert browser.get(f"{at}/deliveries/{number + 99}").status_code == 404

        with desk.database.transaction() as session:
            since = now() - timedelta(hours=2)
            session.execute(sa.update(WebhookEndpoint).values(failing_since=since))
        assert "1 endpoint of a partner fails" in shown(desk, viewer, "/staff/system")

        test = browser.post(f"{at}/test", data=token)
        assert "It has not been tried yet." in shown(desk, browser, test.location)
        twice = browser.post(f"{at}/test", data=token, follow_redirects=True)
        assert "The last test has not ended yet" in twice.text
        hooks.tried(desk.database, hooks.taken())
        assert "Delivered" in shown(desk, browser, test.location)


def test_a_range_is_sent_again_and_what_can_not_be_read_is_said(desk: Desk) -> None:
    connections = watched(desk.database, 2, checked_at=now())
    at = f"{PAGE}/{added(desk)}"
    hooks.breaks(desk.database, connections)
    hooks.tried(desk.database, hooks.taken())
    browser = desk.browser(Role.OPERATOR)
    token = {"csrf_token": desk.token(browser)}
    hour = timedelta(hours=1)
    earlier, later = (f"{now() + shift:%Y-%m-%dT%H:%M}" for shift in (-hour, hour))
    odd = browser.post(f"{at}/send-again", data=token | {"first": "yesterday"})
    assert odd.status_code == 422
    assert "This is no moment" in odd.text
    assert 'value="yesterday"' in odd.text
    all_of_it = browser.post(f"{at}/send-again", data=token)
    assert "Say from when on" in all_of_it.text
    assert states(desk) == [DeliveryState.DELIVERED] * 2
    for asked, done in (
        ({"only_given_up": "y"}, "There is none to be sent again."),
        ({"first": later}, "There is none to be sent again."),
        ({"first": earlier.replace("T", " "), "last": later}, "2 messages are sent again."),
    ):
        answer = browser.post(f"{at}/send-again", data=token | asked, follow_redirects=True)
        assert done in answer.text
    assert states(desk) == [DeliveryState.WAITING] * 2


@pytest.mark.parametrize("fresh_url", ["sqlite"], indirect=True)
def test_commands_do_the_same(desk: Desk) -> None:
    connections = watched(desk.database, 1, checked_at=now())
    runner = desk.app.test_cli_runner()

    def run(*words: str) -> Result:
        return runner.invoke(args=["webhook", words[0], "watched", *words[1:]])

    added = run("add", hooks.URL, "--event", EVENT)
    secret = added.stdout.strip()
    assert secret.startswith("whsec_")
    assert f"{hooks.URL}  works  events: {EVENT}" in run("list").stdout
    one = str(endpoint_of(desk).id)[:8]
    rotated = run("rotate", one).stdout.strip()
    assert rotated.startswith("whsec_")
    assert rotated != secret
    run("pause", hooks.URL)
    assert "paused since" in run("list").stdout
    refused = run("test", one)
    assert refused.exit_code == 1
    assert "resume it first" in refused.output
    run("resume", one)
    run("test", one)
    hooks.breaks(desk.database, connections)
    hooks.tried(desk.database, hooks.taken())
    assert "Sent again: 0." in run("replay", one).output
    assert run("replay", one, "--all").exit_code == 2
    today = f"{now() - timedelta(minutes=5):%Y-%m-%dT%H:%M}"
    assert "Sent again: 2." in run("replay", one, "--all", "--from", today).output
    wrong = run("remove", "https://nobody.example/")
    assert "no endpoint is named so" in wrong.output
    run("remove", one)
    assert not run("list").stdout
    with desk.database.reading() as session:
        lines = session.scalars(sa.select(Audit).order_by(Audit.id)).all()
    done = ["add", "rotate", "pause", "resume", "test", "send_again", "send_again", "remove"]
    assert [line.action for line in lines] == [f"webhook.{one}" for one in done]
    assert {line.who for line in lines} == {"command"}
