"""What the authorization server remembers: codes, grants, tokens."""

from __future__ import annotations

import base64
import json
import secrets
import sqlite3
from dataclasses import dataclass
from typing import Any

from onboarding import clock
from onboarding.sandbox.accounts import Account
from onboarding.sandbox.policies import Policies
from onboarding.sandbox.residents import Residents
from onboarding.sandbox.store import Store

DAY_SECONDS = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Code:
    """An authorization code that was given out, with what it was asked with."""

    code: str
    account: Account
    client_id: str
    redirect_uri: str
    scope: str
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        """Authlib's name for it."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Authlib's name for it."""
        return self.scope


@dataclass(frozen=True, kw_only=True, repr=False)
class Issued:
    """Tokens just made."""

    account: Account
    access_token: str
    refresh_token: str | None
    scope: str

    def answer(self) -> dict[str, Any]:
        """The token answer in the shape and order that was recorded from John Deere."""
        answer: dict[str, Any] = {
            "token_type": "Bearer",
            "expires_in": self.account.access_seconds,
            "access_token": self.access_token,
            "scope": self.scope,
        }
        if self.refresh_token is not None:
            answer["refresh_token"] = self.refresh_token
        return answer


class Grants:
    """Codes and tokens in the store. Each method is one transaction."""

    def __init__(self, store: Store, policies: Policies, residents: Residents) -> None:
        self._store = store
        self._policies = policies
        self._residents = residents

    def save_code(self, code: Code) -> None:
        """Keep a code until it is redeemed."""
        with self._store.write() as connection:
            connection.execute(
                "INSERT INTO codes VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (
                    code.code,
                    code.account.name,
                    code.client_id,
                    code.redirect_uri,
                    code.scope,
                    code.code_challenge,
                    code.code_challenge_method,
                    clock.seconds(),
                ),
            )

    def code(self, code: str) -> Code | None:
        """A code that can still be redeemed: not used, not too old."""
        oldest = clock.seconds() - int(self._policies["deere_code_seconds"])
        row = self._store.one(
            "SELECT * FROM codes WHERE code = ? AND used = 0 AND created > ?", code, oldest
        )
        if row is None:
            return None
        return Code(
            code=row["code"],
            account=self._residents.known(row["account"]),
            client_id=row["client_id"],
            redirect_uri=row["redirect_uri"],
            scope=row["scope"],
            code_challenge=row["code_challenge"],
            code_challenge_method=row["code_challenge_method"],
        )

    def redeem(self, code: Code) -> Issued | None:
        """Use a code up and make its grant; None if another request was faster."""
        scope = _granted(code)
        with self._store.write() as connection:
            used = connection.execute(
                "UPDATE codes SET used = 1 WHERE code = ? AND used = 0", (code.code,)
            )
            if used.rowcount == 0:
                return None
            grant = connection.execute(
                "INSERT INTO grants (account, client_id, scope, created) VALUES (?, ?, ?, ?)",
                (code.account.name, code.client_id, scope, clock.seconds()),
            ).lastrowid
            refresh_token = None
            if "offline_access" in scope.split() and code.account.gives_refresh_token:
                refresh_token = _new_refresh_token(connection, grant)
            access_token = _new_access_token(connection, grant, scope, code.account)
        return Issued(
            account=code.account,
            access_token=access_token,
            refresh_token=refresh_token,
            scope=scope,
        )

    def refresh(self, refresh_token: str, *, client_id: str) -> Issued | None:
        """Use a refresh token; None if it is dead or not the client's.

        When refresh tokens rotate, a token that was rotated away and comes back kills its whole
        family (Okta's reuse detection, without a grace period).
        """
        with self._store.write() as connection:
            row = _grant_of(connection, refresh_token)
            if row is None or row["client_id"] != client_id or self._is_over(row):
                return None
            if row["rotated"]:
                connection.execute("UPDATE grants SET revoked = 1 WHERE id = ?", (row["id"],))
                return None
            connection.execute(
                "UPDATE refresh_tokens SET uses = uses + 1 WHERE token = ?", (refresh_token,)
            )
            connection.execute(
                "UPDATE grants SET used = ? WHERE id = ?", (clock.now().timestamp(), row["id"])
            )
            if self._policies["deere_refresh_tokens"] == "rotating":
                connection.execute(
                    "UPDATE refresh_tokens SET rotated = 1 WHERE token = ?", (refresh_token,)
                )
                refresh_token = _new_refresh_token(connection, row["id"])
            account = self._residents.known(row["account"])
            access_token = _new_access_token(connection, row["id"], row["scope"], account)
        return Issued(
            account=account,
            access_token=access_token,
            refresh_token=refresh_token,
            scope=row["scope"],
        )

    def is_live(self, refresh_token: str, *, used_daily: bool = False) -> bool:
        """Whether a refresh token would be accepted now; has no effect.

        :param used_daily: by somebody whose uses are not noted one by one
        """
        with self._store.read() as connection:
            row = _grant_of(connection, refresh_token)
        return row is not None and not row["rotated"] and not self._is_over(row, used_daily)

    def note_daily_use(self, refresh_token: str) -> None:
        """Note that a live refresh token has been used within the last day."""
        with self._store.read() as connection:
            row = _grant_of(connection, refresh_token)
        moment = clock.now().timestamp()
        if row is None or _last_used(row) > moment - DAY_SECONDS:
            return
        with self._store.write() as connection:
            connection.execute("UPDATE grants SET used = ? WHERE id = ?", (moment, row["id"]))

    def owner(self, access_token: str) -> Account | None:
        """Whose access token it is; None if it is unknown, too old or revoked."""
        row = self._store.one(
            "SELECT account FROM access_tokens JOIN grants ON grants.id = grant_id"
            " WHERE token = ? AND access_tokens.revoked = 0 AND expires > ?",
            access_token,
            clock.seconds(),
        )
        return None if row is None else self._residents.known(row["account"])

    def described(self, refresh_token: str) -> dict[str, Any] | None:
        """What a test may want to know about a refresh token; None if it was never given out."""
        with self._store.read() as connection:
            row = _grant_of(connection, refresh_token)
        if row is None:
            return None
        return {
            "account": row["account"],
            "scopes": sorted(row["scope"].split()),
            "live": not row["rotated"] and not self._is_over(row),
            "revoked": bool(row["revoked"]),
            "expired": self._is_expired(row),
            "rotated": bool(row["rotated"]),
            "uses": row["uses"],
        }

    def revoke(self, token: str, *, client_id: str) -> None:
        """Revoke what a token belongs to: a refresh token's grant, or one access token."""
        with self._store.write() as connection:
            connection.execute(
                "UPDATE grants SET revoked = 1 WHERE client_id = ?"
                " AND id = (SELECT grant_id FROM refresh_tokens WHERE token = ?)",
                (client_id, token),
            )
            connection.execute("UPDATE access_tokens SET revoked = 1 WHERE token = ?", (token,))

    def revoke_account(self, connection: sqlite3.Connection, account: str) -> int:
        """Kill every refresh token of an account; how many grants that were."""
        return connection.execute(
            "UPDATE grants SET revoked = 1 WHERE account = ? AND revoked = 0", (account,)
        ).rowcount

    def expire_account(self, connection: sqlite3.Connection, account: str) -> int:
        """Let every refresh token of an account expire as if unused for too long; how many grants.

        Those that are dead already are left out.
        """
        live = self.live_of(account)
        connection.executemany(
            "UPDATE grants SET expired = 1 WHERE id = ?", [(grant,) for grant in live]
        )
        return len(live)

    def live_of(self, account: str) -> list[int]:
        """The ids of an account's grants whose refresh tokens are neither revoked nor expired."""
        rows = self._store.all("SELECT * FROM grants WHERE account = ? AND revoked = 0", account)
        return [row["id"] for row in rows if not self._is_over(row)]

    def _is_over(self, grant: sqlite3.Row, used_daily: bool = False) -> bool:
        return bool(grant["revoked"]) or self._is_expired(grant, used_daily)

    def _is_expired(self, grant: sqlite3.Row, used_daily: bool = False) -> bool:
        """A refresh token lives for 365 days, counted anew from each use."""
        if grant["expired"] or used_daily:
            return bool(grant["expired"])
        lifetime = int(self._policies["deere_refresh_token_days"]) * DAY_SECONDS
        return _last_used(grant) + lifetime <= clock.now().timestamp()


def _granted(code: Code) -> str:
    """The scopes granted; in another order than asked, as it was recorded."""
    scopes = set(code.scope.split()) - code.account.withheld_scopes
    return " ".join(sorted(scopes, key=lambda scope: scope[::-1]))


def _last_used(grant: sqlite3.Row) -> float:
    return float(grant["created"] if grant["used"] is None else grant["used"])


def _grant_of(connection: sqlite3.Connection, refresh_token: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "SELECT grants.*, rotated, uses FROM refresh_tokens JOIN grants ON grants.id = grant_id"
        " WHERE token = ?",
        (refresh_token,),
    ).fetchone()
    return row


def _new_refresh_token(connection: sqlite3.Connection, grant: int | None) -> str:
    token = secrets.token_urlsafe(32)
    connection.execute("INSERT INTO refresh_tokens (token, grant_id) VALUES (?, ?)", (token, grant))
    return token


def _new_access_token(
    connection: sqlite3.Connection, grant: int | None, scope: str, account: Account
) -> str:
    expires = clock.seconds() + account.access_seconds
    claims = {"jti": secrets.token_urlsafe(16), "exp": int(expires), "scp": scope.split()}
    token = ".".join((_segment({"alg": "RS256"}), _segment(claims), secrets.token_urlsafe(64)))
    connection.execute(
        "INSERT INTO access_tokens (token, grant_id, expires) VALUES (?, ?, ?)",
        (token, grant, expires),
    )
    return token


def _segment(value: dict[str, Any]) -> str:
    """A part that looks like a JWT's: John Deere's access tokens are JWTs that nobody parses."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
