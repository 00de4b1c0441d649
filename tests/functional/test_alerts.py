"""Where Leaf's alerts arrive: what is signed is taken, and nothing else leaves a trace."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa

from onboarding.clock import now
from onboarding.models import SeenAlert
from tests.support.alerts import LIMITED, TIMEOUT_SECONDS, alert, deliver, signature
from tests.support.control import Control
from tests.support.people import People, Person
from tests.support.serving import serving
from tests.support.stack import WEB, Stack
from tests.support.tokens import change, commits_held
from tests.support.wait import wait_until

STATUS = "leaf.status"
PING = b'{"message": "confirmation of webhook upon registration"}'
HOURS = timedelta(hours=6)
LIMIT_BYTES = 64 * 1024


@pytest.fixture
def grower(stack: Stack, people: People) -> Person:
    """One whose connection works, and whose next check is hours away."""
    grower = people.invited()
    grower.connect("already-connected")
    grower.wait_for_code("connected")
    connection = grower.connection()
    later = {"check_number": connection.check_number + 1, "check_due_at": now() + HOURS}
    change(stack, connection, **later)
    return grower


def credential(grower: Person) -> str:
    (held,) = grower.at_leaf()
    return str(held["id"])


def trace(stack: Stack, grower: Person) -> tuple[int, list[str]]:
    """What an alert leaves behind."""
    with stack.installation.database.reading() as session:
        seen = session.scalar(sa.select(sa.func.count()).select_from(SeenAlert))
    return seen or 0, [event.kind for event in grower.events("alert_received")]


def test_signed_alert_lets_the_grower_read_at_once_that_access_is_gone(
    stack: Stack, control: Control, grower: Person
) -> None:
    control.revoke("already-connected")
    answer = deliver(stack, alert(credential(grower)))
    assert (answer.status_code, answer.content) == (204, b"")
    assert "Set-Cookie" not in answer.headers
    grower.wait_for_code("reconnect")


def test_alert_that_lies_changes_nothing_that_leaf_does_not_confirm(
    stack: Stack, control: Control, grower: Person
) -> None:
    asked = control.last_seq()
    deliver(stack, alert(credential(grower), kind=LIMITED))
    control.wait_for(lambda entry: entry["point"] == STATUS, what="Leaf is asked", after=asked)
    wait_until(lambda: grower.connection().checks > 0, what="the answer is written down")
    assert grower.state()["code"] == "connected"
    assert [event.data for event in grower.events("alert_received")] == [{"type": LIMITED}]


def test_alert_again_is_answered_alike_and_does_nothing(stack: Stack, grower: Person) -> None:
    body = alert(credential(grower))
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(partial(deliver, stack), [body] * 24))
    assert {answer.status_code for answer in answers} == {204}
    assert len(grower.events("alert_received")) == 1


def test_flood_of_forged_alerts_is_refused_and_leaves_no_trace(
    stack: Stack, control: Control, grower: Person
) -> None:
    body = alert(credential(grower))
    right = signature(stack, body)
    forged = [
        "",
        "x",
        right[:-1],
        right.lower(),
        f"{right},{right}",
        base64.b64encode(b"0" * 32).decode(),
        base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        signature(stack, body + b" "),
    ]
    before, asked = trace(stack, grower), control.last_seq()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda one: deliver(stack, body, signed=one), forged * 25))
    assert {answer.status_code for answer in answers} == {401}
    assert trace(stack, grower) == before
    assert control.journal(after=asked, point=STATUS) == []
    assert right not in answers[0].text


def test_signature_of_a_header_that_is_no_ascii_is_refused(stack: Stack) -> None:
    answer = requests.post(
        f"{stack.public_url}/leaf/alerts",
        data=b"{}",
        headers={"X-Leaf-Signature": "ÿ".encode("latin-1")},
        timeout=TIMEOUT_SECONDS,
    )
    assert answer.status_code == 401


def test_unsigned_ping_is_welcome_and_has_no_effect(stack: Stack, grower: Person) -> None:
    before = trace(stack, grower)
    answer = deliver(stack, PING, signed="")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "Set-Cookie" not in answer.headers
    assert trace(stack, grower) == before
    assert deliver(stack, PING[:-1] + b', "type": "x"}', signed="").status_code == 401


@pytest.mark.parametrize("chunked", [False, True])
def test_too_long_alert_is_refused_even_if_signed(stack: Stack, chunked: bool) -> None:
    body = alert("x", message="m" * LIMIT_BYTES)
    chunks: Iterator[bytes] | None = iter([body]) if chunked else None
    answer = deliver(stack, body, chunks=chunks)
    assert answer.status_code == 413
    longest = b" " * (LIMIT_BYTES - 2) + b"{}"
    assert deliver(stack, longest).status_code == 204


NONSENSE = (
    b"",
    b"\0",
    b"null",
    b"{",
    b"[[[[",
    b"[" * LIMIT_BYTES,
    b"7" * LIMIT_BYTES,
    b'{"a":' * 10_000,
    b"\xff\xfe\x00",
    b'{"type": "credentialsUnauthenticated", "credentialId": "a\\u0000\\ud800"}',
    b'{"type": "credentialsUnauthenticated", "credentialId": 1e999}',
    b'{"type": "somethingNew", "credentialId": "x"}',
    b"csrf_token=x&type=credentialsUnauthenticated",
)


def test_signed_nonsense_is_taken_without_effect(stack: Stack, grower: Person) -> None:
    number = grower.connection().check_number
    for body in NONSENSE:
        assert deliver(stack, body).status_code == 204, body[:30]
    assert grower.connection().check_number == number
    assert grower.events("alert_received") == []


def test_nobody_reads_there(stack: Stack) -> None:
    answer = requests.get(f"{stack.public_url}/leaf/alerts", timeout=TIMEOUT_SECONDS)
    assert answer.status_code == 405


def test_alert_is_asked_for_again_while_no_secret_is_set(stack: Stack, tmp_path: Path) -> None:
    environment = stack.environment | {"LEAF_ALERT_SECRET": ""}
    body = alert("x")
    with serving(environment, tmp_path) as url:
        for signed in (signature(stack, body), base64.b64encode(b"").decode()):
            answer = requests.post(
                f"{url}/leaf/alerts",
                data=body,
                headers={"X-Leaf-Signature": signed},
                timeout=TIMEOUT_SECONDS,
            )
            assert answer.status_code == 503
        assert requests.post(f"{url}/leaf/alerts", data=PING, timeout=60).status_code == 204


def test_alert_whose_answer_was_lost_with_web_is_taken_when_it_comes_again(
    stack: Stack, control: Control, grower: Person
) -> None:
    body = alert(credential(grower))
    control.revoke("already-connected")
    with ThreadPoolExecutor(1) as aside, commits_held(stack):
        first = aside.submit(deliver, stack, body)
        wait_until(lambda: first.running(), what="the alert is on its way")
        stack.kill(WEB)
        with pytest.raises(requests.RequestException):
            first.result()
    stack.start_web()
    assert grower.state()["code"] == "connected"
    assert deliver(stack, body).status_code == 204
    grower.wait_for_code("reconnect")
    assert len(grower.events("alert_received")) == 1


def test_logs_name_neither_signature_nor_credential(stack: Stack, grower: Person) -> None:
    body = alert(credential(grower))
    deliver(stack, body)
    deliver(stack, body, signed="bm90IHJpZ2h0")
    log = stack.log(WEB)
    assert "POST /leaf/alerts 204" in log
    assert "POST /leaf/alerts 401" in log
    for secret in (signature(stack, body), "bm90IHJpZ2h0", credential(grower)):
        assert secret not in log
    assert stack.environment["LEAF_ALERT_SECRET"] not in log
