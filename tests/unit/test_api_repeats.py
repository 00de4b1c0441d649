"""Writes of partners' programs that come twice: done once, and answered the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from onboarding.clock import now
from onboarding.connections import rotation
from onboarding.connections.rotation import Rotated
from onboarding.db import Database
from onboarding.errors import RequestRuns
from onboarding.links import digest
from onboarding.models import ApiAnswer, Event, Grower, Link
from onboarding.partners import moves, repeats
from onboarding.partners.simulation import Simulation
from onboarding.vault import Vault
from onboarding.views.api.documents import document
from onboarding.views.api.parts import PREFIX
from onboarding.views.api.writes import METHODS
from tests.support.program import Program, wrong

OLD, NEW = b"k" * 32, b"n" * 32
HOOKS = {"url": "https://portal.example/hooks"}


def send(
    program: Program, key: str, path: str, body: Any = None, method: str = "POST"
) -> TestResponse:
    headers = {"Authorization": f"Bearer {program.key}", "Idempotency-Key": key}
    return program.client.open(f"{PREFIX}{path}", method=method, json=body, headers=headers)


def links(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Link)) or 0


def test_write_with_the_same_key_is_done_once_and_answered_the_same(
    app: Flask, fresh_database: Database
) -> None:
    program = Program(app, "prairie")
    program.grower()
    path = "/growers/7/links"
    first, again = (send(program, "one", path, {"days": 3}) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.data == again.data
    assert first.content_type == again.content_type == "application/json"
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert links(fresh_database) == 1
    for other in (
        send(program, "one", path, {"days": 4}),
        send(program, "one", "/growers/7/embed-tokens", {"days": 3}),
        send(program, "one", "/growers/7", {"name": "Maple"}, "PUT"),
    ):
        assert wrong(other) == "idempotency-key-reused"
    with_another_key = Program(app, "prairie")
    assert send(with_another_key, "one", path, {"days": 3}).data == first.data, "a partner's keys"
    theirs = Program(app, "acme")
    theirs.grower()
    assert send(theirs, "one", path, {"days": 3}).get_json()["id"] != first.get_json()["id"]

    link = first.get_json()["id"]
    for replayed in (None, "true"):
        gone = send(program, "two", f"/links/{link}", method="DELETE")
        assert gone.status_code == 204
        assert gone.headers.get("Idempotency-Replayed") == replayed
    for _ in range(2):
        missing = send(program, "three", "/growers/8/links", {})
        assert wrong(missing) == "not-found"
    assert missing.headers["Idempotency-Replayed"] == "true"

    with time_machine.travel(now() + timedelta(hours=25), tick=True):
        late = Program(app, "prairie")
        assert send(late, "one", path, {"days": 4}).status_code == 201
        assert links(fresh_database) == 3
        with fresh_database.transaction() as session:
            repeats.forget_old(session)
            assert session.scalar(sa.select(sa.func.count()).select_from(ApiAnswer)) == 1


def test_key_that_can_not_be_one_is_refused(app: Flask) -> None:
    program = Program(app, "prairie")
    for key in ("", "   ", "x" * 256, "ü", "a\tb"):
        answer = send(program, key, "/growers/7", {"name": "Maple"}, "PUT")
        assert wrong(answer) == "idempotency-key-unusable", key
    assert program.call("GET", "/growers").get_json()["growers"] == []
    assert send(program, "x" * 255, "/growers/7", {"name": "M"}, "PUT").status_code == 200


def test_what_runs_is_not_begun_again_and_what_was_cut_off_is(
    app: Flask, fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(app, "prairie")
    body = {"name": "Maple"}
    with monkeypatch.context() as killed:
        killed.setattr("onboarding.views.api.growers._told", lambda *_: 1 / 0)
        killed.setattr("onboarding.partners.repeats.release", lambda *_: None)
        assert send(program, "one", "/growers/7", body, "PUT").status_code == 500
    running = send(program, "one", "/growers/7", body, "PUT")
    assert wrong(running) == "request-running"
    assert running.headers["Retry-After"] == "1"
    assert program.call("GET", "/growers").get_json()["growers"] == [], "nothing was written"
    with fresh_database.transaction() as session:
        cut_off = session.scalars(sa.select(ApiAnswer)).one()
        cut_off.began_at -= repeats.RUNS_AT_MOST + timedelta(seconds=1)
    done = send(program, "one", "/growers/7", body, "PUT")
    assert done.status_code == 200
    assert "Idempotency-Replayed" not in done.headers
    with fresh_database.transaction() as session, pytest.raises(RequestRuns):
        repeats.keep(session, Vault([OLD]), cut_off.id, repeats.Answer(200, {}, ""))


def test_our_fault_writes_nothing_and_may_be_tried_again(
    app: Flask, fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(app, "prairie")
    with monkeypatch.context() as patched:
        patched.setattr("onboarding.views.api.growers._told", lambda *_: 1 / 0)
        answer = send(program, "one", "/growers/7", {"name": "Maple"}, "PUT")
        assert wrong(answer) == "our-fault"
    with fresh_database.reading() as session:
        assert session.scalar(sa.select(Grower)) is None
    assert send(program, "one", "/growers/7", {"name": "Maple"}, "PUT").status_code == 200


def test_what_asks_others_holds_no_transaction_meanwhile(
    app: Flask, fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(app, "prairie")
    path = f"/sandbox/connections/{program.grower()['connection']}/state"

    def to(_move: moves.Move, _state: str) -> str:
        with fresh_database.transaction() as session:
            session.execute(sa.update(Grower).values(phone="1"))
        return ""

    monkeypatch.setattr(moves.Move, "to", to)
    answers = [send(program, "one", path, {"state": "denied"}) for _ in range(2)]
    assert [one.status_code for one in answers] == [202, 202]
    assert answers[1].headers["Idempotency-Replayed"] == "true"


def test_move_in_the_sandbox_is_carried_out_together_with_its_answer(
    app: Flask, fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(app, "prairie")
    path = f"/sandbox/connections/{program.grower()['connection']}/state"
    monkeypatch.setattr(Simulation, "_call", lambda *_: [])  # a sandbox in which nothing is amiss

    def ends() -> int:
        with fresh_database.reading() as session:
            query = sa.select(sa.func.count()).where(Event.kind == "attempt_denied")
            return session.scalar(query) or 0

    with monkeypatch.context() as lost:
        lost.setattr("onboarding.partners.repeats.keep", lambda *_: 1 / 0)
        assert send(program, "one", path, {"state": "denied"}).status_code == 500
    assert ends() == 0
    answers = [send(program, "one", path, {"state": "denied"}) for _ in range(2)]
    assert [one.status_code for one in answers] == [202, 202]
    assert answers[0].get_json()["status"]["code"] == "denied"
    assert answers[0].data == answers[1].data
    assert ends() == 1


def test_many_at_once_are_done_once(app: Flask, fresh_database: Database) -> None:
    programs = [Program(app, "prairie") for _ in range(8)]
    programs[0].grower()
    together = threading.Barrier(len(programs))
    answers: list[TestResponse] = []

    def ask(program: Program) -> None:
        together.wait()
        answers.append(send(program, "one", "/growers/7/links", {}))

    threads = [threading.Thread(target=ask, args=(one,)) for one in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == len(programs)
    done = [one for one in answers if one.status_code == 201]
    assert len({one.data for one in done}) == 1
    assert {wrong(one) for one in answers if one not in done} <= {"request-running"}
    assert links(fresh_database) == 1


def test_kept_answer_holds_no_link_that_can_be_read_and_is_rotated(
    app: Flask, fresh_database: Database
) -> None:
    program = Program(app, "prairie")
    program.grower()
    url = send(program, "a key", "/growers/7/links", {}).get_json()["url"]
    with fresh_database.reading() as session:
        row = kept(session)
        assert row.key_digest == digest("a key")
        assert url.encode() not in (row.answer or b"")
    assert rotation.rotate(fresh_database, Vault([NEW, OLD])) == Rotated(renewed=1)
    with fresh_database.reading() as session:
        row = kept(session)
        assert url in Vault([NEW]).decrypt(row.answer or b"", place=row.answer_place)
    unreadable = send(program, "a key", "/growers/7/links", {})  # the app has the old key alone
    assert wrong(unreadable) == "answer-unreadable"
    assert "Send a new key" in unreadable.get_json()["detail"]
    assert links(fresh_database) == 1


def test_every_write_is_described_with_its_key(app: Flask) -> None:
    app.test_client().get(f"{PREFIX}/openapi.json")
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            named = {one["name"] for one in operation.get("parameters", [])}
            is_write = method.upper() in METHODS
            assert ("Idempotency-Key" in named) is is_write, (method, path)
            assert not is_write or "409" in operation["responses"]
    assert 'id="request-running"' in app.test_client().get(f"{PREFIX}/problems").text


def kept(session: Session) -> ApiAnswer:
    return session.scalars(sa.select(ApiAnswer)).one()


def test_answer_that_was_committed_stays_though_the_word_of_that_got_lost(
    app: Flask, fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(app, "prairie")
    program.grower()
    parts = app.extensions["onboarding"]
    real = parts.database.transaction

    @contextmanager
    def breaks_after_commit() -> Iterator[Any]:
        with real() as session:
            yield session
            is_kept = bool(session.scalars(sa.select(ApiAnswer.answer)).first())
        if is_kept:
            raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(parts.database, "transaction", breaks_after_commit)
        assert send(program, "one", "/growers/7/links", {}).status_code == 500
    again = send(program, "one", "/growers/7/links", {})
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert links(fresh_database) == 1


def test_a_new_grower_and_an_endpoint_asked_for_at_once_are_made_once(app: Flask) -> None:
    programs = [Program(app, "prairie") for _ in range(4)]
    asked = (("PUT", "/growers/9", {"name": "Maple"}), ("POST", "/webhook-endpoints", HOOKS))
    for method, path, body in asked:
        answers: list[TestResponse] = []
        together = threading.Barrier(len(programs))

        def ask(program: Program, *what: Any, together: threading.Barrier = together) -> None:
            together.wait()
            answers.append(program.call(*what))  # noqa: B023

        threads = [threading.Thread(target=ask, args=(one, method, path, body)) for one in programs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        statuses = sorted(one.status_code for one in answers)
        assert statuses == ([200] * 4 if method == "PUT" else [201, 422, 422, 422])
