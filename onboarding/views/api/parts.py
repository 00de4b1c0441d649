"""What all of the API shares: who asks, what went wrong, and the description of it all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar, cast
from urllib.parse import unquote_to_bytes

from flask import Blueprint, Response, abort, current_app, g, make_response, request
from pydantic import BaseModel, ConfigDict, Field, field_validator
from spectree import Response as Answers
from spectree import SpecTree
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException

from onboarding.errors import InputInvalid, NoRoom
from onboarding.models import ApiKey, Partner
from onboarding.partners import keys
from onboarding.states import ApiScope
from onboarding.views.api import allowance
from onboarding.views.limits import API_PER_ADDRESS, limiter
from onboarding.views.parts import bearer_token, installation

PREFIX = "/api/v1"
PROBLEM = "application/problem+json"
SCOPE = "api_scope"
"""What a view is marked with."""
OPEN, SESSION = "api_open", "api_session"
"""What ends the request's one transaction, if it has one; and that, once something is written."""
PROBLEMS = {
    400: ("bad-request", "The request can't be read."),
    401: ("key-missing", "Send a key: Authorization: Bearer cjd_…"),
    403: ("scope-missing", "The key may not do this."),
    404: ("not-found", "There is no such object of yours."),
    405: ("method-not-allowed", "This address knows other methods; see Allow."),
    409: ("conflict", "It can't be done as things stand."),
    413: ("too-large", "A request has 64 KB at most."),
    415: ("not-json", "Send JSON: Content-Type: application/json"),
    422: ("invalid", "A value has to be changed; `errors` says which."),
    429: ("too-many-requests", "Slow down, and come back after Retry-After."),
    500: ("our-fault", "Our fault. Try again; the reference leads us to it."),
    503: ("unavailable", "Not now. Try again."),
}
"""By status: the last part of `type`, which stays, and the usual sentence."""
MORE_PROBLEMS = {
    "key-unknown": (401, "There is no such key, or it has ended."),
    "idempotency-key-unusable": (400, "An Idempotency-Key has 1 to 255 visible ASCII characters."),
    "request-running": (409, "The same request has not ended. Come back after Retry-After."),
    "answer-unreadable": (409, "It was done; the answer that was kept can't be read any more."),
    "endpoint-not-ready": (409, "It is paused, or the test before still waits."),
    "no-way-there": (409, "From where it stands it can't be moved there."),
    "not-to-be-chosen": (409, "It can't be chosen what Leaf fetches of it, as things stand."),
    "nothing-to-end": (409, "Nobody has connected."),
    "too-many-endpoints": (409, "There are as many endpoints as there may be."),
    "idempotency-key-reused": (
        422,
        "This Idempotency-Key came with another request before. Send a new key.",
    ),
}
"""Those that share their status with another one, by the last part of `type`."""

Code = Annotated[
    str,
    Field(
        json_schema_extra={
            "enum": sorted([code for code, _ in PROBLEMS.values()] + [*MORE_PROBLEMS])
        }
    ),
]
NO_SUCH_FIELD = "There is no such field."
REASONS = {"extra_forbidden": NO_SUCH_FIELD, "missing": "It is required."}
"""In our words, by pydantic's name of what is wrong."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, and take no body."""

View = TypeVar("View", bound=Callable[..., Any])

bp = Blueprint("api", __name__, url_prefix=PREFIX)


class Model(BaseModel):
    """What comes in: unknown fields are mistakes."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    @field_validator("*")
    @classmethod
    def _can_be_stored(cls, value: Any) -> Any:
        if isinstance(value, str) and "\0" in value:
            raise ValueError("must hold no NUL")
        return value


class Wrong(BaseModel):
    """One value that has to be changed."""

    field: str = Field(description="Its place, with dots between the names.")
    reason: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="Where its meaning is explained.")
    code: Code = Field(description="The last part of `type`: stable, for machines.")
    title: str
    status: int
    detail: str = Field(description="What to do, for people.")
    errors: list[Wrong] = Field(default=[], description="With 422: each value to be changed.")
    reference: str | None = Field(default=None, description="With 500: under which we find it.")


spec = SpecTree(
    "flask",
    mode="strict",
    annotations=False,
    title="Connect John Deere",
    description="Growers of yours, their links, and where their connections stand.",
    version="1",
    openapi_version="3.1.0",
    validation_error_model=Problem,
    naming_strategy=lambda model: getattr(model, "__name__", str(model)),
    nested_naming_strategy=lambda _parent, child: child,
    before=lambda _request, _answer, error, _view, _adapter: _refuse_input(error),
)


def answers(status: int = 200, model: type[BaseModel] | None = None, *others: int) -> Answers:
    """What a view answers, for the description.

    :param others: statuses of problems besides those that every view has
    """
    usual = (400, 401, 403, 422, 429, 500, *others)
    problems: dict[str, Any] = {f"HTTP_{one}": (Problem, PROBLEMS[one][1]) for one in sorted(usual)}
    return Answers(**{f"HTTP_{status}": model}, **problems)


def needs(scope: ApiScope) -> Callable[[View], View]:
    """Mark a view: for keys that may do this."""

    def mark(view: View) -> View:
        setattr(view, SCOPE, scope)
        return view

    return mark


def checked() -> Any:
    """What came in, checked against the view's description: its model of the body is `.json`, that
    of the query `.query` (spectree, which adds it to the request)."""
    return cast(Any, request).context


def partner() -> Partner:
    """Whose key it is."""
    return cast(ApiKey, g.api_key).partner


@contextmanager
def writing() -> Iterator[Session]:
    """The transaction of this request: all that it writes, and its kept answer."""
    database = installation().database
    if OPEN not in g:
        with database.transaction() as session:
            yield session
        return
    if SESSION not in g:
        setattr(g, SESSION, getattr(g, OPEN).enter_context(database.transaction()))
    yield g.get(SESSION)


def as_json(told: BaseModel, status: int = 200) -> Response:
    """An answer that is as described."""
    answer = make_response(told.model_dump_json(), status)
    answer.content_type = "application/json"
    return answer


def problem(status: int, detail: str = "", *, code: str = "", **more: Any) -> Response:
    """An answer that says what went wrong.

    :param code: the last part of its type; else the one of the status
    """
    usual_code, usual = PROBLEMS.get(status, PROBLEMS[500])
    code = code or usual_code
    if code in MORE_PROBLEMS:
        _status, usual = MORE_PROBLEMS[code]
    body = Problem(
        type=f"{installation().settings.public_url}{PREFIX}/problems#{code}",
        code=code,
        title=code.replace("-", " ").capitalize(),
        status=status,
        detail=detail or usual,
        **more,
    )
    answer = make_response(body.model_dump_json(exclude_defaults=True), status)
    answer.content_type = PROBLEM
    if status == 401:
        error = ' error="invalid_token"' if code == "key-unknown" else ""
        answer.headers["WWW-Authenticate"] = f"Bearer{error}"  # RFC 6750
    return answer


def invalid(field: str, reason: str) -> Response:
    """One value that has to be changed."""
    return problem(422, errors=[Wrong(field=field, reason=reason)])


@contextmanager
def refusing(field: str = "", *, conflict: str = "") -> Iterator[None]:
    """Answer what can't be done by saying what to change.

    :param field: where that was given; empty: it is no value that is wrong, but how things stand
    :param conflict: code of the problem then
    """
    try:
        yield
    except InputInvalid as err:
        of_value = field and not isinstance(err, NoRoom)
        abort(invalid(field, str(err)) if of_value else problem(409, str(err), code=conflict))


@bp.before_request
def guard() -> Response | None:
    """Let in who has a key that may do this."""
    view = current_app.view_functions[request.endpoint or ""]
    scope: ApiScope | None = getattr(view, SCOPE, None)
    if scope is None:
        return None
    token = bearer_token()
    with installation().database.reading() as session:
        found = keys.find(session, token) if token else None
    if found is None and token and allowance.is_trying_keys():
        return problem(429)
    if found is None:
        return problem(401, code="key-unknown" if token else "")
    g.api_key = found
    if allowance.is_spent(found):
        return problem(429)
    if scope.value not in found.scopes:
        return problem(403, f"The key {found.prefix}… lacks the scope “{scope.value}”.")
    return _unreadable(view)


def _unreadable(view: Callable[..., Any]) -> Response | None:
    """What is wrong with the request, before it is known what it should hold."""
    address = unquote_to_bytes(
        request.environ["PATH_INFO"].encode("latin-1") + b"?" + request.query_string
    )
    try:
        address.decode()
    except UnicodeDecodeError:
        return problem(400, "The address must be UTF-8, percent-encoded.")
    if request.method in SAFE or not request.get_data():
        return None
    if request.mimetype != "application/json":
        return problem(415)
    try:
        body = request.get_json(silent=True)
    except RecursionError:
        return problem(400, "The body is nested too deeply.")
    if not isinstance(body, dict):
        return problem(400, "The body must be a JSON object.")
    described = spec.get_function_metadata(view)
    if body and (described is None or described.json is None):
        return problem(422, errors=[_wrong([name], NO_SUCH_FIELD) for name in body])
    return None


@bp.after_request
def leave_out_type(answer: Response) -> Response:
    """What is empty is of no type."""
    if not answer.get_data():
        answer.headers.pop("Content-Type", None)
    return answer


def answer_error(error: HTTPException, *, reference: str | None = None) -> Response:
    """The problem that stands for an HTTP error, below the API's address."""
    if error.response is not None:
        return cast(Response, error.response)
    answer = problem(error.code or 500, reference=reference)
    for name, value in error.get_headers():
        if name == "Allow":
            answer.headers[name] = value
    return answer


def _is_counted_by_key() -> bool:
    """Whether the guard looks at the key: what is open to all is counted by address."""
    view = current_app.view_functions[request.endpoint or ""]
    return hasattr(view, SCOPE) and bool(bearer_token())


def _refuse_input(error: Any) -> None:
    if error is None:
        return
    wrong = [
        _wrong(one["loc"], REASONS.get(one["type"]) or one["msg"].removeprefix("Value error, "))
        for one in error.errors()
    ]
    abort(problem(422, errors=wrong))


def _wrong(place: Iterable[str | int], reason: str) -> Wrong:
    """:param place: names and numbers as they came in, perhaps with what no answer can hold"""
    field = ".".join(map(str, place)).encode(errors="backslashreplace").decode()
    return Wrong(field=field or "body", reason=reason)


bp.after_request(allowance.tell)
limiter.limit(API_PER_ADDRESS, exempt_when=_is_counted_by_key)(bp)
