"""The pages a grower sees at the simulated John Deere: sign-in, consent, connections."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, g, make_response, redirect, render_template, request

from onboarding.sandbox import connections, oauth
from onboarding.sandbox.accounts import ACCOUNTS, PASSWORD, Account
from onboarding.sandbox.config import AUTHORIZATION_SERVER
from onboarding.sandbox.connections import Standing
from onboarding.sandbox.runtime import at, sandbox

bp = Blueprint("pages", __name__)

SESSION_COOKIE = "sandbox_session"


@bp.after_request
def cut_off(response: Response) -> Response:
    """Perhaps from the page that opened the window: John Deere may send this at any time."""
    if sandbox().policies["deere_opener"] == "severed":
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return response


@bp.route(f"{AUTHORIZATION_SERVER}/v1/authorize", methods=["GET", "POST"])
@at("deere.authorize")
def authorize() -> Response:
    """Ask for consent; POST is the answer of the consent page."""
    try:
        grant = oauth.check_request()
    except oauth.Refused as refused:
        return refused.response or _page("refused.html", 400, text=refused.text)
    prompts = set(request.args.get("prompt", "").split())
    account = _signed_in()
    if account is None or "login" in prompts:
        if prompts == {"none"}:
            return oauth.refuse_silent(grant, "login_required")
        return _to_sign_in(_without_login(prompts))
    if request.method == "POST" and request.form.get("decision") != "allow":
        return oauth.refuse(grant, oauth.DENIED)
    if account.refused:
        return oauth.refuse(grant, oauth.POLICY_FAILED)
    return _consent(grant, account, prompts)


@bp.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> Response:
    """Choose an account. A browser stays signed in until it chooses another."""
    target = request.values.get("next", "/control")
    if not target.startswith("/") or target.startswith("//"):
        return _page("refused.html", 400, text="next must be a path of the sandbox.")
    if request.method == "GET":
        return _sign_in_page(target)
    name = request.form.get("account") or request.form.get("username", "")
    account = sandbox().residents.account(name)
    chosen_from_list = "account" in request.form
    if account is None or not (chosen_from_list or request.form.get("password") == PASSWORD):
        return _sign_in_page(target, wrong=True)
    session = secrets.token_urlsafe(24)
    with sandbox().store.write() as connection:
        connection.execute("INSERT INTO sessions VALUES (?, ?)", (session, account.name))
    response = make_response(redirect(target, 303))
    response.set_cookie(SESSION_COOKIE, session, httponly=True, samesite="Lax")
    return response


@bp.route("/connections/<id>/select-organizations", methods=["GET", "POST"])
@at("deere.connections")
def select_organizations(id: str) -> Response:
    """Tick the organizations to share."""
    return _connections_page(id, only=None)


@bp.route("/connections/<id>/connections-dialog", methods=["GET", "POST"])
@at("deere.connections")
def connections_dialog(id: str) -> Response:
    """The connection of one organization."""
    return _connections_page(id, only=request.args.get("orgId", ""))


@bp.route("/connections", methods=["GET", "POST"])
@at("deere.connections")
def all_connections() -> Response:
    """What an account shares with the application, and the way to end it, one by one."""
    account = _signed_in()
    if account is None:
        return _to_sign_in({})
    saved = connections.saved(account)
    if request.method == "POST":
        connections.save(account, saved - {request.form.get("organization")})
        return make_response(redirect(request.path, 303))
    farms = [farm for farm in connections.farms(account) if farm.id in saved]
    return _page("all_connections.html", farms=farms)


def _consent(grant: Any, account: Account, prompts: set[str]) -> Response:
    asked = request.args.get("scope", "").split()
    new = [scope for scope in asked if scope not in _consented(account)]
    if request.method == "POST":
        _remember(account, asked)
        return oauth.answer(grant, account)
    if "consent" in prompts:
        new = asked
    if not new:
        return oauth.answer(grant, account)
    if prompts == {"none"}:
        return oauth.refuse_silent(grant, "consent_required")
    return _page("consent.html", scopes=[(scope, oauth.SCOPES[scope]) for scope in new])


def _consented(account: Account) -> set[str]:
    rows = sandbox().store.all("SELECT scope FROM consents WHERE account = ?", account.name)
    return {row["scope"] for row in rows}


def _remember(account: Account, scopes: list[str]) -> None:
    with sandbox().store.write() as connection:
        connection.executemany(
            "INSERT OR IGNORE INTO consents VALUES (?, ?)",
            [(account.name, scope) for scope in scopes],
        )


def _connections_page(id: str, *, only: str | None) -> Response:
    config = sandbox().config
    known = {name for one in config.applications for name in (one.connections_id, one.client_key)}
    if id not in known:
        return _page("refused.html", 404, text="There is no such application.")
    back = request.args.get("redirect_uri")
    if back is not None and back not in config.redirect_uris:
        return _page("refused.html", 400, text="redirect_uri is not registered.")
    account = _signed_in()
    if account is None:
        return _to_sign_in(request.args.to_dict())
    if request.method == "POST" and request.form.get("decision") != "save":
        return _go_back(back)
    if request.method == "GET":
        return _choice(account, only)
    if account.application_full:
        return _choice(account, only, refused=True)
    chosen = _chosen(account, only)
    connections.save(account, chosen)
    _permit(account, only, chosen)
    return _go_back(back)


def _permit(account: Account, only: str | None, chosen: frozenset[str]) -> None:
    """Allow all that is asked for, if that is ticked on the page of one organization."""
    for farm in connections.farms(account):
        if farm.id == only and farm.id in chosen and farm.id in request.form.getlist("permission"):
            connections.stand(account, farm, Standing(left=False, permitted=True))


def _chosen(account: Account, only: str | None) -> frozenset[str]:
    ticked = frozenset(request.form.getlist("organization"))
    if only is None:
        return ticked
    return (connections.saved(account) - {only}) | (ticked & {only})


def _choice(account: Account, only: str | None, *, refused: bool = False) -> Response:
    saved = connections.saved(account)
    farms = [farm for farm in connections.farms(account) if only is None or farm.id == only]
    limited = [
        farm.id for farm in farms if only and not connections.standing(account, farm).permitted
    ]
    return _page(
        "connections.html",
        409 if refused else 200,
        farms=farms,
        saved=saved,
        limited=limited,
        refused=refused,
    )


def _go_back(back: str | None) -> Response:
    if back is None:
        return _page("done.html")
    return make_response(redirect(back, 303))


def _signed_in() -> Account | None:
    session = request.cookies.get(SESSION_COOKIE)
    if not session:
        return None
    row = sandbox().store.one("SELECT account FROM sessions WHERE id = ?", session)
    account = sandbox().residents.account(row["account"]) if row else None
    g.account = account
    return account


def _without_login(prompts: set[str]) -> dict[str, str]:
    query = request.args.to_dict()
    query["prompt"] = " ".join(sorted(prompts - {"login"}))
    return {name: value for name, value in query.items() if value or name != "prompt"}


def _to_sign_in(query: dict[str, str]) -> Response:
    target = f"{request.path}?{urlencode(query)}" if query else request.path
    return make_response(redirect(f"/sign-in?{urlencode({'next': target})}", 303))


def _sign_in_page(target: str, *, wrong: bool = False) -> Response:
    return _page(
        "sign_in.html",
        400 if wrong else 200,
        target=target,
        wrong=wrong,
        accounts=ACCOUNTS.values(),
        password=PASSWORD,
    )


def _page(name: str, status: int = 200, **values: object) -> Response:
    html = render_template(f"sandbox/{name}", account=g.get("account"), **values)
    return make_response(html, status)
