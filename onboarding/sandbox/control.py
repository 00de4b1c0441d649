"""The control page and the control API: faults, policies, journal, and what the state holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request

from onboarding import clock
from onboarding.errors import InputInvalid
from onboarding.sandbox import alerts, control_deere, control_leaf, faults, policies
from onboarding.sandbox.accounts import PASSWORD
from onboarding.sandbox.runtime import as_json, json_object, sandbox
from onboarding.states import Health

bp = Blueprint("control", __name__, url_prefix="/control")
for _part in (control_deere, control_leaf):
    bp.register_blueprint(_part.bp)

SHOWN_ENTRIES = 50
SHOWN_CREDENTIALS = 20
MOVES = {"a day": 86_400, "a week": 7 * 86_400, "a month": 30 * 86_400}
"""How far the buttons move the clock, in seconds."""


@bp.errorhandler(InputInvalid)
def invalid(error: InputInvalid) -> Response:
    """400 with what to change."""
    return as_json({"error": str(error)}, 400)


@bp.get("/faults")
def list_faults() -> Response:
    """The faults switched on, in the order they strike."""
    return as_json(sandbox().faults.shown())


@bp.put("/faults")
def put_faults() -> Response:
    """Switch on exactly the faults of the list in the body."""
    sandbox().faults.replace(request.get_json())
    return list_faults()


@bp.post("/faults")
def add_fault() -> Response:
    """Switch on one more: `{"id": …}`."""
    return as_json({"id": sandbox().faults.add(request.get_json())}, 201)


@bp.delete("/faults")
def clear_faults() -> Response:
    """Switch all off."""
    sandbox().faults.remove()
    return Response(status=204)


@bp.delete("/faults/<int:id>")
def remove_fault(id: int) -> Response:
    """Switch one off."""
    sandbox().faults.remove(id)
    return Response(status=204)


@bp.get("/policies")
def list_policies() -> Response:
    """Every policy and its value."""
    return as_json(sandbox().policies.shown())


@bp.patch("/policies")
def change_policies() -> Response:
    """Change some: an object of names and values."""
    sandbox().policies.change(request.get_json())
    return list_policies()


@bp.get("/clock")
def show_clock() -> Response:
    """The time in sandbox and app: `{"now": …, "seconds_ahead": …}`."""
    return as_json(sandbox().clock.shown())


@bp.post("/clock")
def move_clock() -> Response:
    """Go ahead, for every process at once: `{"seconds": 604800}`."""
    sandbox().clock.move(json_object().get("seconds"))
    return show_clock()


@bp.get("/journal")
def journal() -> Response:
    """Entries after `?after=<seq>`, oldest first."""
    return as_json(sandbox().journal.after(request.args.get("after", 0, int)))


@bp.post("/reset")
def reset() -> Response:
    """Forget everything: state, faults, policies, journal, and how far the clock is ahead."""
    sandbox().reset()
    return Response(status=204)


@bp.get("")
def page() -> Response:
    """The control page."""
    return _page()


@bp.post("")
def act() -> Response:
    """What the buttons of the control page do."""
    try:
        account = _ACTIONS.get(request.form.get("action", ""), _unknown)()
    except InputInvalid as error:
        return _page(400, told=str(error))
    # With the account's controls open, as the person who pressed one of them left them.
    target = "/control" if account is None else f"/control?account={account}#account-{account}"
    return make_response(redirect(target, 303))


def _page(status: int = 200, *, told: str = "") -> Response:
    now = sandbox()
    html = render_template(
        "sandbox/control.html",
        account=None,
        told=told,
        config=now.config,
        moment=clock.now(),
        days_ahead=f"{clock.ahead() / timedelta(days=1):.4g}",
        moves=MOVES if now.clock.can_move else {},
        accounts=control_deere.shown(),
        opened=request.values.get("account"),
        password=PASSWORD,
        policies=now.policies.shown(),
        choices=policies.CHOICES,
        numbers=policies.NUMBERS,
        faults=now.faults.shown(),
        points=now.faults.points,
        kinds=faults.KINDS,
        moments=faults.MOMENTS,
        credentials=control_leaf.newest(SHOWN_CREDENTIALS),
        credentials_held=control_leaf.count(),
        words=[word for word in Health if word is not Health.UNKNOWN],
        webhooks=now.alerts.webhooks(),
        alert_kinds=alerts.KINDS.values(),
        deliveries=now.alerts.shown()[:SHOWN_ENTRIES],
        entries=now.journal.after(0)[-SHOWN_ENTRIES:][::-1],
    )
    return make_response(html, status)


def _change_policies() -> None:
    given: dict[str, Any] = {
        name: _number(name) if name in policies.NUMBERS else value
        for name, value in request.form.items()
        if name in policies.DEFAULTS
    }
    sandbox().policies.change(given)


def _add_fault() -> None:
    form = request.form
    fault: dict[str, Any] = {name: form.get(name, "") for name in ("where", "kind", "when")}
    fault |= {name: _number(name) for name in ("times", "status")}
    fault["seconds"] = _number("seconds")
    if account := form.get("account"):
        fault["match"] = {"account": account}
    sandbox().faults.add(fault)


def _move_clock() -> None:
    sandbox().clock.move(_number("seconds"))


def _remove_fault() -> None:
    sandbox().faults.remove(_number("id"))


def _reset() -> None:
    sandbox().reset()


def _unknown() -> None:
    raise InputInvalid("There is no such action.")


_ACTIONS: dict[str, Callable[[], str | None]] = {
    "policies": _change_policies,
    "add-fault": _add_fault,
    "remove-fault": _remove_fault,
    "move-clock": _move_clock,
    "reset": _reset,
    **control_deere.ACTIONS,
    **control_leaf.ACTIONS,
}


def _number(name: str) -> int | None:
    value = request.form.get(name, "").strip()
    if value and not value.isdecimal():
        raise InputInvalid(f"{name} must be a whole number")
    return int(value) if value else None
