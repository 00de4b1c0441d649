"""Writes are done once: with an `Idempotency-Key`, who asks again gets the same answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import Any
from uuid import UUID

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from onboarding.errors import RequestDiffers, RequestRuns, TokenUnreadable
from onboarding.partners import repeats
from onboarding.views.api.parts import OPEN, SESSION, answer_error, bp, partner, problem, writing
from onboarding.views.parts import installation

KEY, REPLAYED = "Idempotency-Key", "Idempotency-Replayed"
METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
HEADERS = ("Content-Type", "Location")
"""Of an answer that is given again."""
UNREADABLE = "It was done before, and its answer can't be read any more. Send a new key."
View = Callable[..., Response]


class _Refused(Exception):
    """Ends the transaction of a request that changes nothing."""

    def __init__(self, answer: Response) -> None:
        self.answer = answer


def init_app(app: Flask) -> None:
    """Have every write of the API done once."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(f"{bp.name}.") and METHODS & (rule.methods or set()):
            app.view_functions[rule.endpoint] = _once(app.view_functions[rule.endpoint])


def _once(view: Callable[..., Any]) -> View:
    @wraps(view)
    def answer(**values: Any) -> Any:
        key = request.headers.get(KEY)
        return view(**values) if key is None else _with_key(key, view, values)

    return answer


def _with_key(key: str, view: View, values: dict[str, Any]) -> Response:
    if not repeats.is_usable(key):
        return problem(400, code="idempotency-key-unusable")
    parts = installation()
    asked = "\n".join((request.method, request.full_path, "")).encode() + request.get_data()
    try:
        claimed = repeats.claim(parts.database, parts.vault, partner().id, key, asked)
    except RequestDiffers:
        return problem(422, code="idempotency-key-reused")
    except RequestRuns:
        return _is_running()
    except TokenUnreadable:
        return problem(409, UNREADABLE, code="answer-unreadable")
    if isinstance(claimed, repeats.Answer):
        again = Response(claimed.body, claimed.status)
        del again.headers["Content-Type"]
        again.headers.update(claimed.headers | {REPLAYED: "true"})
        return again
    return _do(claimed, view, values)


def _do(claimed: UUID, view: View, values: dict[str, Any]) -> Response:
    """Let the view do it; its changes and its answer are written together, or not at all."""
    parts = installation()
    try:
        try:
            with ExitStack() as stack:
                setattr(g, OPEN, stack)
                answer = _answer(view, values)
                if answer.status_code >= 400:
                    raise _Refused(answer)
                with writing() as session:
                    repeats.keep(session, parts.vault, claimed, _kept(answer))
        except _Refused as refused:
            answer = refused.answer
            if answer.status_code >= 500:
                repeats.release(parts.database, claimed)
            else:
                with parts.database.transaction() as session:
                    repeats.keep(session, parts.vault, claimed, _kept(answer))
    except RequestRuns:
        return _is_running()
    except Exception:
        repeats.release(parts.database, claimed)
        raise
    finally:
        g.pop(OPEN, None)
        g.pop(SESSION, None)
    return answer


def _answer(view: View, values: dict[str, Any]) -> Response:
    try:
        return view(**values)
    except HTTPException as err:
        return answer_error(err)


def _kept(answer: Response) -> repeats.Answer:
    headers = {name: answer.headers[name] for name in HEADERS if name in answer.headers}
    return repeats.Answer(answer.status_code, headers, answer.get_data(as_text=True))


def _is_running() -> Response:
    answer = problem(409, code="request-running")
    answer.headers["Retry-After"] = "1"
    return answer
