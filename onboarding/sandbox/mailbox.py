"""The mails that the simulated mail server took, as they came."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from onboarding import clock
from onboarding.sandbox.store import Store


class Mailbox:
    """The mails in the sandbox's store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, sender: str, recipient: str, raw: bytes) -> None:
        """Keep a mail as it came."""
        with self._store.write() as connection:
            connection.execute(
                "INSERT INTO mails (received, sender, recipient, raw) VALUES (?, ?, ?, ?)",
                (clock.seconds(), sender, recipient, raw),
            )

    def newest(self, limit: int, *, to: str | None = None) -> list[dict[str, Any]]:
        """Mails to an address or to all, the newest first."""
        rows = self._store.all(
            "SELECT * FROM mails WHERE ?1 IS NULL OR recipient = ?1 ORDER BY id DESC LIMIT ?2",
            to,
            limit,
        )
        return [_shown(row) for row in rows]

    def get(self, id: int) -> dict[str, Any] | None:
        """One of them."""
        row = self._store.one("SELECT * FROM mails WHERE id = ?", id)
        return _shown(row) if row else None


def _shown(row: Any) -> dict[str, Any]:
    message = message_from_bytes(row["raw"], policy=default)
    return {
        "id": row["id"],
        "received": datetime.fromtimestamp(row["received"], UTC).isoformat(timespec="seconds"),
        "sender": row["sender"],
        "recipient": row["recipient"],
        "subject": str(message["Subject"] or ""),
        "headers": [[name, str(value)] for name, value in message.items()],
        "text": _body(message, "plain"),
        "html": _body(message, "html"),
    }


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return part.get_content().replace("\r\n", "\n") if part is not None else ""
