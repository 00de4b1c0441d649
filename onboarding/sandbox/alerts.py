"""Leaf's alerts on their way: signed, tried again, and listed when they could not be delivered."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from onboarding import clock
from onboarding.sandbox.policies import Policies
from onboarding.sandbox.store import Store
from onboarding.states import Health
from onboarding.urls import is_loopback

KINDS = {
    Health.UNAUTHENTICATED: "credentialsUnauthenticated",
    Health.MISSING_PERMISSION: "credentialsLimitedPermission",
}
"""Which alert follows from which status; of the others Leaf has none."""
PING = "ping"
PING_BODY = json.dumps({"message": "confirmation of webhook upon registration"})
RETRY_MINUTES = (1, 30, 60, 240)
"""After each failure; then it is given up (GitHub Leaf-Agriculture/docs, alerts_endpoints.md)."""
POLLING_SECONDS = 0.1
TIMEOUT_SECONDS = 10.0
AT_ONCE = 50
ANSWER_CHARS = 500

log = logging.getLogger(__name__)


class Alerts:
    """What is to be delivered, in the store, and the thread that delivers it."""

    def __init__(self, store: Store, policies: Policies) -> None:
        self._store = store
        self._policies = policies
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, look: Callable[[], None]) -> None:
        """Deliver from now on.

        :param look: called before each round: lets Leaf look at its credentials
        """
        self._thread = threading.Thread(target=self._work, args=(look,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop delivering; what is on its way arrives first."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def webhooks(self) -> list[dict[str, Any]]:
        """All that are registered, with their secrets."""
        rows = self._store.all("SELECT data FROM leaf_webhooks ORDER BY rowid")
        return [json.loads(row["data"]) for row in rows]

    def ping(self, connection: sqlite3.Connection, webhook: dict[str, Any]) -> None:
        """Send what Leaf sends on registration: with no signature, and once."""
        self._enqueue(connection, webhook | {"secret": None}, PING, PING_BODY, due=clock.seconds())

    def announce(
        self,
        connection: sqlite3.Connection,
        credential: sqlite3.Row,
        kind: str,
        **changes: Any,
    ) -> int:
        """Send an alert about a credential to whoever is registered for it.

        :param changes: what its body says instead of the truth
        :return: how many are on their way now
        """
        policy = self._policies["leaf_alerts"]
        copies = {"never": 0, "twice": 2}.get(str(policy), 1)
        due = clock.seconds() + (self._minute() if policy == "out_of_order" else 0)
        webhooks = [webhook for webhook in self.webhooks() if kind in webhook["events"]]
        body = json.dumps(_body(credential, kind) | changes)
        for webhook in webhooks * copies:
            self._enqueue(connection, webhook, kind, body, due=due)
        return len(webhooks) * copies

    def shown(self) -> list[dict[str, Any]]:
        """Every delivery, newest first."""
        return [
            {
                "number": row["number"],
                "kind": row["kind"],
                "url": row["url"],
                "body": row["body"],
                "signed": row["secret"] is not None,
                "attempts": row["attempts"],
                "status": row["status"],
                "error": row["error"],
                "delivered": bool(row["delivered"]),
                "waits": row["due"] is not None,
            }
            for row in self._store.all("SELECT * FROM leaf_alerts ORDER BY number DESC")
        ]

    def failed(self) -> list[dict[str, Any]]:
        """What was given up, as Leaf lists it."""
        rows = self._store.all(
            "SELECT * FROM leaf_alerts WHERE due IS NULL AND delivered = 0 AND kind != ?"
            " ORDER BY number",
            PING,
        )
        return [_failed(row) for row in rows]

    def _enqueue(
        self,
        connection: sqlite3.Connection,
        webhook: dict[str, Any],
        kind: str,
        body: str,
        *,
        due: float,
    ) -> None:
        connection.execute(
            "INSERT INTO leaf_alerts (url, secret, kind, body, created, due)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (webhook["url"], webhook["secret"], kind, body, clock.seconds(), due),
        )

    def _work(self, look: Callable[[], None]) -> None:
        while not self._stopped.wait(POLLING_SECONDS):
            try:
                look()
                self._deliver_due()
            except Exception:
                log.exception("Alerts were not delivered")

    def _deliver_due(self) -> None:
        order = "ASC"
        if self._policies["leaf_alerts"] == "out_of_order":
            order = "DESC"
            if self._store.all(
                "SELECT 1 FROM leaf_alerts WHERE due > ? AND attempts = 0 LIMIT 1", clock.seconds()
            ):
                return  # the newest comes first, so all of them wait for it
        due = self._store.all(
            f"SELECT * FROM leaf_alerts WHERE due <= ? ORDER BY number {order} LIMIT ?",  # noqa: S608
            clock.seconds(),
            AT_ONCE,
        )
        for row in due:
            status, said, error = _post(row)
            delivered = status is not None and 200 <= status < 300
            with self._store.write() as connection:
                connection.execute(
                    "UPDATE leaf_alerts SET due = ?, attempts = attempts + 1, delivered = ?,"
                    " status = ?, response = ?, error = ? WHERE number = ?",
                    (self._next(row, delivered), delivered, status, said, error, row["number"]),
                )

    def _next(self, row: sqlite3.Row, delivered: bool) -> float | None:
        """When it is tried again; None if it is not."""
        if delivered or row["kind"] == PING or row["attempts"] >= len(RETRY_MINUTES):
            return None
        return clock.seconds() + RETRY_MINUTES[row["attempts"]] * self._minute()

    def _minute(self) -> float:
        """How many seconds a minute of the schedule has."""
        return int(self._policies["leaf_alert_minute_ms"]) / 1000


def _body(credential: sqlite3.Row, kind: str) -> dict[str, str]:
    status = next((status.value for status, of in KINDS.items() if of == kind), "OK")
    return {
        "credential": credential["client_key"],
        "provider": "JohnDeere",
        "credentialId": credential["id"],
        "message": f"The credential is {status}",
        "status": status,
        "type": kind,
        "timestamp": clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }


def _post(row: sqlite3.Row) -> tuple[int | None, str, str | None]:
    """Deliver once: status, what was answered, and what went wrong."""
    body = row["body"].encode()
    headers = {"Content-Type": "application/json", "Accept": "*/*"}
    if row["secret"] is not None:
        digest = hmac.digest(row["secret"].encode(), body, "sha256")
        headers["X-Leaf-Signature"] = base64.b64encode(digest).decode()
    parts = urlsplit(row["url"])
    if parts.scheme != "http" or not is_loopback(row["url"]):
        return None, "", "ConnectionError: the sandbox reaches this machine only"
    connection = HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", parts.path or "/", body, headers)
        answer = connection.getresponse()
        said = answer.read(ANSWER_CHARS).decode(errors="replace")
    except (OSError, HTTPException) as err:
        return None, "", f"ConnectionError: {type(err).__name__}"
    finally:
        connection.close()
    return answer.status, said, None


def _failed(row: sqlite3.Row) -> dict[str, Any]:
    created = datetime.fromtimestamp(row["created"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    call: dict[str, Any] = {"apiOwner": "sandbox", "createdAt": created, "url": row["url"]}
    if row["error"] is not None:
        return call | {"requestBody": row["body"], "connectionError": row["error"]}
    answer = {"status": row["status"], "response": row["response"]}
    return call | answer | {"requestBody": row["body"]}
