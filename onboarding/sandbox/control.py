"""The control page and the control API: faults, policies, journal, and what the state holds."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request

from onboarding import clock
from onboarding.errors import InputInvalid
from onboarding.sandbox import alerts, connections, faults, gate, policies
from onboarding.sandbox.accounts import ACCOUNTS, PASSWORD, Account
from onboarding.sandbox.leaf import credentials
from onboarding.sandbox.leaf.access import invalidate_tokens
from onboarding.sandbox.runtime import as_json, sandbox

bp = Blueprint("control", __name__, url_prefix="/control")

SHOWN_ENTRIES = 50
MOVES = {"a day": 86_400, "a week": 7 * 86_400, "a month": 30 * 86_400}
"""How far the buttons move the clock, in seconds."""


@bp.errorhandler(InputInvalid)
def invalid(error: InputInvalid) -> Response:
    """400 with what to change."""
    return as_json({"error": str(error)}, 400)


@bp.get("/accounts")
def accounts() -> Response:
    """`{"password": …, "accounts": [{"name", "does", "terms_accepted", "organizations"}]}`."""
    shown = [_account(account) for account in ACCOUNTS.values()]
    return as_json({"password": PASSWORD, "accounts": shown})


@bp.post("/accounts/<name>/terms")
def terms(name: str) -> Response:
    """Accept John Deere's terms for an account, or not: `{"accepted": true}`."""
    account = _known_account(name)
    connections.accept_terms(account, accepted=bool(_body().get("accepted", True)))
    return as_json(_account(account))


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
    sandbox().clock.move(_body().get("seconds"))
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


@bp.get("/leaf/credentials")
def leaf_credentials() -> Response:
    """Every stored credential, doubled ones too; `?leafUserId=` and `?externalId=` filter."""
    return as_json(
        _leaf_credentials(request.args.get("leafUserId"), request.args.get("externalId"))
    )


@bp.post("/leaf/status")
def leaf_status() -> Response:
    """Make Leaf say a status: `{"leafUserId": …, "status": "ANYTHING" or null}`."""
    body = _body()
    leaf_user_id, status = body.get("leafUserId"), body.get("status")
    with sandbox().store.write() as connection:
        changed = connection.execute(
            "UPDATE leaf_credentials SET forced = ? WHERE leaf_user_id = ?", (status, leaf_user_id)
        ).rowcount
        for row in _rows_of(leaf_user_id):
            credentials.announce(connection, row, str(status))
    return as_json({"credentials": changed})


@bp.get("/leaf/alerts")
def leaf_alerts() -> Response:
    """Every delivery, newest first: `[{"kind", "body", "attempts", "status", "waits", …}]`."""
    return as_json(sandbox().alerts.shown())


@bp.post("/leaf/alerts")
def send_leaf_alert() -> Response:
    """Make Leaf send an alert, true or not: `{"leafUserId": …, "type": …}` → `{"sent": 1}`."""
    body = _body()
    return as_json({"sent": _send_alert(body.get("leafUserId"), str(body.get("type")))})


def _send_alert(leaf_user_id: Any, kind: str) -> int:
    with sandbox().store.write() as connection:
        return sum(
            sandbox().alerts.announce(connection, row, kind) for row in _rows_of(leaf_user_id)
        )


def _rows_of(leaf_user_id: Any) -> list[sqlite3.Row]:
    return sandbox().store.all(
        "SELECT * FROM leaf_credentials WHERE leaf_user_id = ?", leaf_user_id
    )


@bp.post("/leaf/tokens/expire")
def expire_leaf_tokens() -> Response:
    """Make every bearer token of Leaf worthless."""
    invalidate_tokens()
    return Response(status=204)


@bp.post("/grants/revoke")
def revoke_grants() -> Response:
    """Kill an account's refresh tokens: `{"account": …}` → `{"revoked": 1}`."""
    account = _known_account(str(_body().get("account")))
    with sandbox().store.write() as connection:
        revoked = sandbox().grants.revoke_account(connection, account.name)
    return as_json({"revoked": revoked})


@bp.get("/token")
def token() -> Response:
    """What became of `?refresh_token=`; 404 if it was never given out."""
    described = sandbox().grants.described(request.args.get("refresh_token", ""))
    if described is None:
        return as_json({"error": "This refresh token was never given out."}, 404)
    return as_json(described)


@bp.get("")
def page() -> Response:
    """The control page."""
    return _page()


@bp.post("")
def act() -> Response:
    """What the buttons of the control page do."""
    try:
        _ACTIONS.get(request.form.get("action", ""), _unknown)()
    except InputInvalid as error:
        return _page(400, told=str(error))
    return make_response(redirect("/control", 303))


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
        accounts=[(one, connections.terms_accepted(one)) for one in ACCOUNTS.values()],
        password=PASSWORD,
        policies=now.policies.shown(),
        choices=policies.CHOICES,
        numbers=policies.NUMBERS,
        faults=now.faults.shown(),
        points=now.faults.points,
        kinds=faults.KINDS,
        moments=faults.MOMENTS,
        credentials=_leaf_credentials(None, None),
        webhooks=now.alerts.webhooks(),
        alert_kinds=alerts.KINDS.values(),
        deliveries=now.alerts.shown()[:SHOWN_ENTRIES],
        entries=now.journal.after(0)[-SHOWN_ENTRIES:][::-1],
    )
    return make_response(html, status)


def _change_policies() -> None:
    given: dict[str, Any] = {name: request.form.get(name, "") for name in policies.CHOICES}
    given |= {name: _number(name) for name in policies.NUMBERS}
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


def _toggle_terms() -> None:
    account = _known_account(request.form.get("account", ""))
    connections.accept_terms(account, accepted=not connections.terms_accepted(account))


def _revoke() -> None:
    account = _known_account(request.form.get("account", ""))
    with sandbox().store.write() as connection:
        sandbox().grants.revoke_account(connection, account.name)


def _alert() -> None:
    if not _send_alert(request.form.get("leaf_user_id"), request.form.get("kind", "")):
        raise InputInvalid(
            "Nothing was sent: no webhook is registered for this alert, or leaf alerts is never."
        )


def _reset() -> None:
    sandbox().reset()


def _unknown() -> None:
    raise InputInvalid("There is no such action.")


_ACTIONS = {
    "policies": _change_policies,
    "add-fault": _add_fault,
    "remove-fault": _remove_fault,
    "move-clock": _move_clock,
    "terms": _toggle_terms,
    "revoke": _revoke,
    "alert": _alert,
    "reset": _reset,
}


def _number(name: str) -> int | None:
    value = request.form.get(name, "").strip()
    if value and not value.isdecimal():
        raise InputInvalid(f"{name} must be a whole number")
    return int(value) if value else None


def _body() -> dict[str, Any]:
    body = request.get_json()
    if not isinstance(body, dict):
        raise InputInvalid("The body must be an object.")
    return body


def _known_account(name: str) -> Account:
    if name not in ACCOUNTS:
        raise InputInvalid(f"There is no account {name!r}.")
    return ACCOUNTS[name]


def _account(account: Account) -> dict[str, Any]:
    connected = connections.saved(account)
    return {
        "name": account.name,
        "does": account.does,
        "terms_accepted": connections.terms_accepted(account),
        "organizations": [
            {
                "id": farm.id,
                "name": farm.name,
                "member": farm.member,
                "can_share": farm.can_share,
                "connected": farm.id in connected,
            }
            for farm in account.farms
        ],
    }


def _leaf_credentials(leaf_user_id: str | None, external_id: str | None) -> list[dict[str, Any]]:
    rows = sandbox().store.all(
        "SELECT leaf_credentials.*, external_id FROM leaf_credentials"
        " JOIN leaf_users ON leaf_users.id = leaf_user_id"
        " WHERE (?1 IS NULL OR leaf_user_id = ?1) AND (?2 IS NULL OR external_id = ?2)"
        " ORDER BY leaf_credentials.number",
        leaf_user_id,
        external_id,
    )
    return [
        {
            "id": row["id"],
            "leafUserId": row["leaf_user_id"],
            "externalId": row["external_id"],
            "account": row["account"],
            "clientKey": row["client_key"],
            "clientEnvironment": row["environment"],
            "refreshToken": row["refresh_token"],
            "givenRefreshToken": row["given_token"],
            "refreshTokenSha256": gate.token_hash(row["given_token"]),
            "live": not row["fails"] and sandbox().grants.is_live(row["refresh_token"]),
            "status": row["forced"] or row["status"],
            "createdTime": row["created"],
        }
        for row in rows
    ]
