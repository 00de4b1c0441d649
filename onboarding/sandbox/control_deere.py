"""Control of the simulated John Deere: its accounts, their grants, organizations and permissions.

Each change is a person's at John Deere, or time's: Leaf finds it out by itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from flask import Blueprint, Response, request

from onboarding.errors import InputInvalid
from onboarding.sandbox import connections
from onboarding.sandbox.accounts import ACCOUNTS, PASSWORD, Account, Farm
from onboarding.sandbox.connections import Standing
from onboarding.sandbox.grants import Code
from onboarding.sandbox.runtime import as_json, json_object, sandbox

bp = Blueprint("deere", __name__)

CHANGES = ("connected", "left", "permitted")
"""What can be changed of an organization as one account sees it; each is true or false."""


@bp.get("/accounts")
def accounts() -> Response:
    """`{"password": …, "accounts": [{"name", "does", "terms_accepted", …}]}`."""
    return as_json({"password": PASSWORD, "accounts": shown()})


@bp.post("/accounts")
def move_in() -> Response:
    """Make an account of its own: a line as in the file of residents; the account as it is then."""
    return as_json(_account(sandbox().residents.move_in(json_object())), 201)


@bp.post("/consents")
def consent() -> Response:
    """Sign in and allow what is asked, as a person does: `{"account": …, "url": …}`.

    `url` is where the application sent their browser; the answer is `{"code": …}`.
    """
    body = json_object()
    account = _known_account(str(body.get("account")))
    asked = dict(parse_qsl(urlsplit(str(body.get("url"))).query))
    try:
        code = Code(
            code=secrets.token_urlsafe(32),
            account=account,
            client_id=asked["client_id"],
            redirect_uri=asked["redirect_uri"],
            scope=asked["scope"],
            code_challenge=asked["code_challenge"],
            code_challenge_method=asked["code_challenge_method"],
        )
    except KeyError as err:
        raise InputInvalid(f"The address lacks {err}.") from err
    sandbox().grants.save_code(code)
    return as_json({"code": code.code}, 201)


@bp.post("/accounts/<name>/terms")
def terms(name: str) -> Response:
    """Accept John Deere's terms for an account, or not: `{"accepted": true}`."""
    account = _known_account(name)
    connections.accept_terms(account, accepted=bool(json_object().get("accepted", True)))
    return as_json(_account(account))


@bp.patch("/accounts/<name>/organizations/<id>")
def change_organization(name: str, id: str) -> Response:
    """Change what an account has of an organization; the account as it is then.

    `connected` false: the connection is removed; `left` true: the account leaves the
    organization; `permitted` false: the connection allows less than the application asks for.
    """
    account = _known_account(name)
    _change(account, _known_farm(account, id), json_object())
    return as_json(_account(account))


@bp.post("/grants/revoke")
def revoke_grants() -> Response:
    """Kill an account's refresh tokens: `{"account": …}` → `{"revoked": 1}`."""
    account = _known_account(str(json_object().get("account")))
    with sandbox().store.write() as connection:
        revoked = sandbox().grants.revoke_account(connection, account.name)
    return as_json({"revoked": revoked})


@bp.post("/grants/expire")
def expire_grants() -> Response:
    """Let an account's refresh tokens expire: `{"account": …}` → `{"expired": 1}`."""
    account = _known_account(str(json_object().get("account")))
    with sandbox().store.write() as connection:
        expired = sandbox().grants.expire_account(connection, account.name)
    return as_json({"expired": expired})


@bp.get("/token")
def token() -> Response:
    """What became of `?refresh_token=`; 404 if it was never given out."""
    described = sandbox().grants.described(request.args.get("refresh_token", ""))
    if described is None:
        return as_json({"error": "This refresh token was never given out."}, 404)
    return as_json(described)


def shown() -> list[dict[str, Any]]:
    """Every account as it is now."""
    return [_account(account) for account in ACCOUNTS.values()]


def _revoke() -> str:
    account = _account_of_form()
    with sandbox().store.write() as connection:
        sandbox().grants.revoke_account(connection, account.name)
    return account.name


def _expire() -> str:
    account = _account_of_form()
    with sandbox().store.write() as connection:
        sandbox().grants.expire_account(connection, account.name)
    return account.name


def _toggle_terms() -> str:
    account = _account_of_form()
    connections.accept_terms(account, accepted=not connections.terms_accepted(account))
    return account.name


def _change_by_form() -> str:
    account, form = _account_of_form(), request.form
    change, _, value = form.get("change", "").partition("=")
    farm = _known_farm(account, form.get("organization", ""))
    _change(account, farm, {change: value == "true"})
    return account.name


ACTIONS: dict[str, Callable[[], str]] = {
    "revoke": _revoke,
    "expire": _expire,
    "terms": _toggle_terms,
    "organization": _change_by_form,
}
"""What the buttons of the control page do; each gives the name of the account it was about."""


def _change(account: Account, farm: Farm, changes: dict[str, Any]) -> None:
    if unknown := changes.keys() - set(CHANGES):
        raise InputInvalid(f"Known are {', '.join(CHANGES)}, not {', '.join(sorted(unknown))}.")
    if not all(isinstance(value, bool) for value in changes.values()):
        raise InputInvalid(f"{', '.join(CHANGES)} are true or false.")
    if changes.get("connected") and not farm.can_share:
        raise InputInvalid(f"{account.name} has too low rights to share {farm.name}.")
    before = connections.standing(account, farm)
    new = Standing(
        left=changes.get("left", before.left),
        permitted=changes.get("permitted", before.permitted),
    )
    if changes.get("connected") and new.left:
        raise InputInvalid(f"{account.name} has left {farm.name}.")
    if new != before:
        connections.stand(account, farm, new)
    if "connected" in changes:
        others = connections.saved(account) - {farm.id}
        connections.save(account, others | {farm.id} if changes["connected"] else others)


def _account_of_form() -> Account:
    return _known_account(request.form.get("account", ""))


def _known_account(name: str) -> Account:
    account = sandbox().residents.account(name)
    if account is None:
        raise InputInvalid(f"There is no account {name!r}.")
    return account


def _known_farm(account: Account, id: str) -> Farm:
    for farm in account.farms:
        if farm.id == id:
            return farm
    raise InputInvalid(f"{account.name} has no organization {id!r}.")


def _account(account: Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "does": account.does,
        "terms_url": account.terms_url,
        "terms_accepted": connections.terms_accepted(account),
        "live_grants": len(sandbox().grants.live_of(account.name)),
        "organizations": _organizations(account),
    }


def _organizations(account: Account) -> list[dict[str, Any]]:
    connected = connections.saved(account)
    shown = []
    for farm in account.farms:
        standing = connections.standing(account, farm)
        shown.append(
            {
                "id": farm.id,
                "name": farm.name,
                "member": farm.member,
                "left": standing.left,
                "can_share": farm.can_share,
                "connected": farm.id in connected,
                "permitted": standing.permitted,
            }
        )
    return shown
