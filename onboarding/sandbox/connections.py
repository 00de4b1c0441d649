"""Which organizations are connected to the application, as John Deere keeps it."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from onboarding.sandbox.accounts import Account, Farm
from onboarding.sandbox.runtime import sandbox


@dataclass(frozen=True)
class Seen:
    """An organization and how the API shows it now."""

    farm: Farm
    connected: bool
    uri: str
    """The page to connect it, or to manage its connection."""


@dataclass(frozen=True)
class Standing:
    """How an account stands to an organization of its own."""

    left: bool
    """The account has left it, and sees it no more."""
    permitted: bool
    """Its connection allows all that the application asks for."""


def standing(account: Account, farm: Farm) -> Standing:
    """How an account stands to one of its organizations now."""
    row = sandbox().store.one(
        "SELECT * FROM standings WHERE account = ? AND organization = ?", account.name, farm.id
    )
    if row is None:
        return Standing(left=False, permitted=farm.permitted)
    return Standing(bool(row["has_left"]), bool(row["permitted"]))


def farms(account: Account) -> list[Farm]:
    """The organizations that an account belongs to now."""
    rows = sandbox().store.all(
        "SELECT organization FROM standings WHERE account = ? AND has_left = 1", account.name
    )
    gone = {row["organization"] for row in rows}
    return [farm for farm in account.farms if farm.id not in gone]


def saved(account: Account) -> frozenset[str]:
    """Ids of the organizations that are connected in truth, and that the account belongs to."""
    return _rows(account) & {farm.id for farm in farms(account)}


def lacks_permission(account: Account) -> bool:
    """Whether a connection of the account's own organizations allows less than is asked for."""
    connected = saved(account)
    return any(
        farm.id in connected and farm.member and not standing(account, farm).permitted
        for farm in account.farms
    )


def seen(account: Account) -> list[Seen]:
    """Every organization of an account as the API shows it, perhaps some reads too late."""
    connected = _shown(account)
    return [
        Seen(farm, farm.id in connected, _uri(farm, farm.id in connected))
        for farm in farms(account)
    ]


def count_read(account: Account) -> None:
    """One more read of the list: what was saved appears after the account's `hidden_reads`."""
    if account.hidden_reads and _hidden(account) is not None:
        with sandbox().store.write() as connection:
            connection.execute(
                "UPDATE hidden_reads SET remaining = remaining - 1 WHERE account = ?",
                (account.name,),
            )


def save(account: Account, chosen: Collection[str]) -> None:
    """Connect exactly these organizations. With the last one gone, the refresh tokens die."""
    before = saved(account)
    after = {farm.id for farm in farms(account) if farm.can_share} & set(chosen)
    unseen = _rows(account) - before
    with sandbox().store.write() as connection:
        connection.execute("DELETE FROM connections WHERE account = ?", (account.name,))
        connection.executemany(
            "INSERT INTO connections VALUES (?, ?)",
            [(account.name, id) for id in after | unseen],
        )
        if account.hidden_reads:
            connection.execute(
                "INSERT OR REPLACE INTO hidden_reads VALUES (?, ?, ?)",
                (account.name, account.hidden_reads, json.dumps(sorted(before))),
            )
        if before and not after:
            sandbox().grants.revoke_account(connection, account.name)


def stand(account: Account, farm: Farm, new: Standing) -> None:
    """Change how an account stands to one of its organizations."""
    with sandbox().store.write() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO standings VALUES (?, ?, ?, ?)",
            (account.name, farm.id, new.left, new.permitted),
        )


def terms_accepted(account: Account) -> bool:
    """Whether nothing stands in the way of the account's organizations."""
    row = sandbox().store.one("SELECT 1 FROM accepted_terms WHERE account = ?", account.name)
    return account.terms_url is None or row is not None


def accept_terms(account: Account, *, accepted: bool) -> None:
    """Accept John Deere's terms for an account, or take it back."""
    with sandbox().store.write() as connection:
        connection.execute("DELETE FROM accepted_terms WHERE account = ?", (account.name,))
        if accepted:
            connection.execute("INSERT INTO accepted_terms VALUES (?)", (account.name,))


def _rows(account: Account) -> frozenset[str]:
    rows = sandbox().store.all(
        "SELECT organization FROM connections WHERE account = ?", account.name
    )
    return frozenset(row["organization"] for row in rows)


def _shown(account: Account) -> frozenset[str]:
    hidden = _hidden(account) if account.hidden_reads else None
    return saved(account) if hidden is None else hidden


def _hidden(account: Account) -> frozenset[str] | None:
    row = sandbox().store.one(
        "SELECT shown FROM hidden_reads WHERE account = ? AND remaining > 0", account.name
    )
    return None if row is None else frozenset(json.loads(row["shown"]))


def _uri(farm: Farm, connected: bool) -> str:
    config = sandbox().config
    base = f"{config.url}/connections/{config.connections_id}"
    if connected:
        return f"{base}/connections-dialog?orgId={farm.id}"
    return f"{base}/select-organizations"
