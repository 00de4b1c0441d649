"""Leaf's sign-in, and what all its calls have in common: bearer, JSON in, problem JSON out."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from onboarding import clock
from onboarding.sandbox.runtime import View, as_json, at, sandbox

bp = Blueprint("access", __name__)

USER_MANAGEMENT = "/services/usermanagement/api"
TOKEN_SECONDS = 24 * 3600
REMEMBERED_TOKEN_SECONDS = 30 * 24 * 3600
DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100


class Problem(Exception):
    """A refusal. Leaf publishes no error format; this is RFC 7807 as JHipster writes it.

    :ivar key: a stable word for the error, e.g. `eventRegisteredTwice`
    """

    def __init__(self, status: int, title: str, detail: str, *, key: str = "") -> None:
        self.status = status
        self.title = title
        self.detail = detail
        self.key = key
        super().__init__(detail)


def problem_answer(problem: Problem) -> Response:
    """The answer for a `Problem`."""
    body: dict[str, Any] = {
        "type": "https://www.jhipster.tech/problem/problem-with-message",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "path": request.path,
        "message": f"error.{problem.key or f'http.{problem.status}'}",
    }
    if problem.key:
        body["errorKey"] = problem.key
    return as_json(body, problem.status, content_type="application/problem+json")


def not_found(what: str) -> Problem:
    """404."""
    return Problem(404, "Not Found", f"{what} was not found.")


def bad_request(detail: str, *, key: str = "") -> Problem:
    """400."""
    return Problem(400, "Bad Request", detail, key=key)


@bp.post("/api/authenticate")
@at("leaf.authenticate")
def authenticate() -> Response:
    """A token of 24 hours, or of 30 days with `rememberMe`."""
    body = json_body()
    username, password = text(body, "username"), text(body, "password")
    config = sandbox().config
    if (username, password) != (config.leaf_username, config.leaf_password):
        raise Problem(401, "Unauthorized", "Bad credentials")
    remember = str(body.get("rememberMe", "false")).lower() == "true"
    seconds = REMEMBERED_TOKEN_SECONDS if remember else TOKEN_SECONDS
    return as_json({"id_token": _signed(username, int(clock.seconds()) + seconds)})


def signed_in(view: View) -> View:
    """Let a view answer only requests with a bearer token that is valid now."""

    @functools.wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        given = request.authorization
        if given is None or given.type != "bearer" or not _is_valid(given.token or ""):
            raise Problem(401, "Unauthorized", "Full authentication is required")
        return view(*args, **kwargs)

    return checked  # type: ignore[return-value]


def invalidate_tokens() -> None:
    """Make every token given out so far worthless."""
    with sandbox().store.write() as connection:
        connection.execute("DELETE FROM meta WHERE key = 'leaf_key'")


def json_body() -> dict[str, Any]:
    """The request's JSON object.

    :raise Problem: 415 without the content type of JSON, 400 without an object
    """
    if request.mimetype != "application/json":
        raise Problem(415, "Unsupported Media Type", "Content-Type must be application/json")
    try:
        body = json.loads(request.get_data())
    except ValueError:
        raise bad_request("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise bad_request("The body is not an object.")
    return body


def text(body: dict[str, Any], name: str) -> str:
    """A field that must be a text and not empty.

    :raise Problem: 400 if it is not
    """
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise bad_request(f"{name} is required.", key="validation")
    return value


def optional_text(body: dict[str, Any], name: str) -> str | None:
    """A field that is a text, null or absent.

    :raise Problem: 400 if it is something else
    """
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise bad_request(f"{name} must be a text.", key="validation")
    return value


def paged(items: list[Any], shape: Callable[[Any], Any]) -> Response:
    """A page as Leaf gives it: a bare array, the rest in the headers.

    :param items: all of them
    :param shape: what makes JSON of an item of the page
    """
    page, size = _number("page", 0, least=0), _number("size", DEFAULT_PAGE_SIZE, least=1)
    size = min(size, MAX_PAGE_SIZE)
    last = max(0, (len(items) - 1) // size)
    response = as_json([shape(item) for item in items[page * size : (page + 1) * size]])
    response.headers["X-Total-Count"] = str(len(items))
    targets = ([("next", page + 1)] if page < last else []) + [("last", last), ("first", 0)]
    base, given = f"{sandbox().config.url}{request.path}", request.args.to_dict()
    response.headers["Link"] = ",".join(
        f'<{base}?{urlencode(given | {"page": number, "size": size})}>; rel="{rel}"'
        for rel, number in targets
    )
    return response


def now(*, minus: timedelta = timedelta(0)) -> str:
    """The present in the format of credentials: six digits of a second, in UTC.

    :param minus: how long ago instead
    """
    return (clock.now() - minus).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _number(name: str, default: int, *, least: int) -> int:
    value = request.args.get(name, str(default))
    if not value.isdecimal() or int(value) < least:
        raise bad_request(f"{name} must be a whole number, {least} or more.")
    return int(value)


def _key() -> bytes:
    """The signing key; kept in the store so that tokens survive a restart."""
    row = sandbox().store.one("SELECT value FROM meta WHERE key = 'leaf_key'")
    if row is None:
        with sandbox().store.write() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO meta VALUES ('leaf_key', ?)", (secrets.token_hex(32),)
            )
        return _key()
    return str(row["value"]).encode()


def _signed(username: str, expires: int) -> str:
    header = _encoded(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    claims = {"sub": username, "exp": expires, "jti": secrets.token_hex(8)}
    signed = f"{header}.{_encoded(json.dumps(claims).encode())}"
    return f"{signed}.{_encoded(_digest(signed))}"


def _is_valid(token: str) -> bool:
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(_encoded(_digest(signed)).encode(), signature.encode()):
        return False
    try:
        claims = json.loads(base64.urlsafe_b64decode(signed.split(".")[1] + "=="))
    except (IndexError, ValueError, binascii.Error):
        return False
    return bool(claims["exp"] > clock.seconds())


def _digest(signed: str) -> bytes:
    return hmac.digest(_key(), signed.encode(), hashlib.sha256)


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
