"""Which organizations Leaf syncs for a user: SELECTED, PREVIEW or BLOCKED."""

from __future__ import annotations

import json
import sqlite3

from onboarding.sandbox import connections
from onboarding.sandbox.connections import Seen
from onboarding.sandbox.leaf import upstream
from onboarding.sandbox.runtime import sandbox
from onboarding.states import Health

SELECTED = "SELECTED"
PREVIEW = "PREVIEW"
BLOCKED = "BLOCKED"


def visible(account_name: str | None) -> list[Seen]:
    """What Leaf gets from John Deere; nothing without an account or before its terms."""
    if account_name is None:
        return []
    account = sandbox().residents.known(account_name)
    return connections.seen(account) if connections.terms_accepted(account) else []


def account_of(connection: sqlite3.Connection, leaf_user_id: str) -> str | None:
    """The John Deere account behind a user's newest credential, while it works, as Leaf knows."""
    row = connection.execute(
        "SELECT account, refresh_token, status FROM leaf_credentials WHERE leaf_user_id = ?"
        " ORDER BY number DESC",
        (leaf_user_id,),
    ).fetchone()
    if row is None or row["account"] is None:
        return None
    finds_out_late = bool(sandbox().policies["leaf_finds_out_after_seconds"])
    if not upstream.accepts(row["refresh_token"]) and not (
        finds_out_late and row["status"] != Health.UNAUTHENTICATED
    ):
        return None
    return str(row["account"])


def sync(connection: sqlite3.Connection, leaf_user_id: str, *, first: bool = False) -> None:
    """Look at John Deere again and note what may be synced.

    What was blocked and is connected now becomes PREVIEW, as Leaf's page says; whether that is so
    under `organizationDataSync: ALL`, too, is a policy (`leaf_connected_later`). What is connected
    when the credential arrives (`first`) starts as that setting says. Partners'
    organizations are left out: `syncPartnerData` is false by default. Without a working credential
    nothing changes.
    """
    account = account_of(connection, leaf_user_id)
    if account is None:
        return
    held = dict(
        connection.execute(
            "SELECT organization, status FROM leaf_choices WHERE leaf_user_id = ?", (leaf_user_id,)
        ).fetchall()
    )
    is_selected = first or sandbox().policies["leaf_connected_later"] == SELECTED
    fresh = SELECTED if is_selected and _syncs_all(connection, leaf_user_id) else PREVIEW
    connection.execute("DELETE FROM leaf_choices WHERE leaf_user_id = ?", (leaf_user_id,))
    for one in visible(account):
        if not one.farm.member:
            continue
        before = held.get(one.farm.id, BLOCKED)
        status = BLOCKED if not one.connected else fresh if before == BLOCKED else before
        connection.execute(
            "INSERT INTO leaf_choices VALUES (?, ?, ?)", (leaf_user_id, one.farm.id, status)
        )


def _syncs_all(connection: sqlite3.Connection, leaf_user_id: str) -> bool:
    row = connection.execute(
        "SELECT data FROM leaf_configs WHERE leaf_user_id = ?", (leaf_user_id,)
    ).fetchone()
    stored = json.loads(row["data"]) if row else {}
    return bool(stored.get("organizationDataSync", "ALL") == "ALL")


def set_choice(leaf_user_id: str, organization: str, status: str) -> None:
    """Note a choice."""
    with sandbox().store.write() as connection:
        connection.execute(
            "UPDATE leaf_choices SET status = ? WHERE leaf_user_id = ? AND organization = ?",
            (status, leaf_user_id, organization),
        )


def set_all(leaf_user_id: str, status: str) -> int:
    """Note the same choice for all that is shared; of how many it is another one."""
    with sandbox().store.write() as connection:
        changed = connection.execute(
            "UPDATE leaf_choices SET status = ?1"
            " WHERE leaf_user_id = ?2 AND status NOT IN (?1, ?3)",
            (status, leaf_user_id, BLOCKED),
        )
    return changed.rowcount
