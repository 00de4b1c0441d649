"""Those who are here before the first visitor, so that a demo does not begin in an empty country.

`SANDBOX_RESIDENTS` names a file with a JSON object in each line: a person with a John Deere
account, what they share, and what Leaf has of them. They are in no list, but can sign in by name:

    {"name": "erin@maple.example", "leaf_status": "OK", "withheld_scopes": [], "terms_url": null,
     "access_seconds": 43200,
     "farms": [{"id": "1", "name": "Maple Farm", "member": true, "connected": true,
                "permitted": true, "fields": 37}],
     "grant": {"refresh_token": "…", "scope": "ag1 …", "created": 1764000000, "revoked": false,
               "client_key": "…"},
     "leaf_user": {"id": "…", "name": "…", "email": null, "external_id": "…", "syncs": "ALL"},
     "credential": {"id": "…", "created": "2026-09-01T10:00:00.000000Z", "status": "OK",
                    "forced": null},
     "choices": {"1": "SELECTED"}}

`access_seconds` may be left out; `grant`, `leaf_user` and `credential` may be null. `client_key` is
that of one of the applications that are registered.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from onboarding.errors import InputInvalid
from onboarding.sandbox.accounts import ACCESS_SECONDS, ACCOUNTS, Account, Farm
from onboarding.sandbox.config import Config, Registered
from onboarding.sandbox.store import Store
from onboarding.states import Health

NOBODY: dict[str, Any] = {
    "farms": [],
    "withheld_scopes": [],
    "terms_url": None,
    "leaf_status": "OK",
    "access_seconds": ACCESS_SECONDS,
}
"""What is said of a person of whom nothing is said."""


class Residents:
    """The accounts of the file, beside those of the table."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._config = config

    def account(self, name: str) -> Account | None:
        """An account of either kind; None if there is none of that name."""
        if name in ACCOUNTS:
            return ACCOUNTS[name]
        row = self._store.one("SELECT data FROM residents WHERE name = ?", name)
        return None if row is None else _account(json.loads(row["data"]))

    def known(self, name: str) -> Account:
        """An account that somebody has signed in with.

        :raise KeyError: if there is none
        """
        found = self.account(name)
        if found is None:
            raise KeyError(name)
        return found

    def move_in(self, person: dict[str, Any]) -> Account:
        """Let one more person live here; who has the name already is another person from now on.

        :param person: `name`, and perhaps the others of `NOBODY`, as in the file
        :raise InputInvalid: if that can't be an account
        """
        try:
            account = _account(person)
        except (TypeError, KeyError, ValueError) as err:
            raise InputInvalid(
                "An account has a name, farms as in the file, terms_url, access_seconds."
            ) from err
        if account.name in ACCOUNTS:
            raise InputInvalid(f"{account.name} is an account of the list.")
        with self._store.write() as connection:
            for table in ("connections", "standings", "accepted_terms", "hidden_reads"):
                connection.execute(f"DELETE FROM {table} WHERE account = ?", (account.name,))  # noqa: S608 - own table names
            _Settlement(connection, self._config).settle(person)
        return account

    def settle(self) -> None:
        """Let those of the file move in, unless they are here already."""
        file = self._config.residents
        if file is None or not file.exists():
            return
        stamp = str(file.stat().st_mtime_ns)
        row = self._store.one("SELECT value FROM meta WHERE key = 'residents'")
        if row is not None and row["value"] == stamp:
            return
        with self._store.write() as connection, file.open() as lines:
            _Settlement(connection, self._config).take_in(map(json.loads, lines))
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('residents', ?)", (stamp,))


def _account(person: dict[str, Any]) -> Account:
    said = {**NOBODY, **person}
    return Account(
        name=said["name"],
        does="Lives here.",
        farms=tuple(Farm(**farm) for farm in said["farms"]),
        withheld_scopes=frozenset(said["withheld_scopes"]),
        terms_url=said["terms_url"],
        leaf_status=Health(said["leaf_status"]),
        access_seconds=int(said["access_seconds"]),
    )


class _Settlement:
    """Writes what John Deere and Leaf have of each."""

    def __init__(self, connection: sqlite3.Connection, config: Config) -> None:
        self._connection = connection
        self._config = config

    def take_in(self, people: Iterable[dict[str, Any]]) -> None:
        for number, one in enumerate(people, start=1):
            self._at_deere(one)
            if user := one["leaf_user"]:
                self._at_leaf(number, one, user)

    def settle(self, one: dict[str, Any]) -> None:
        """Make the account, and connect what it shares."""
        account = _account(one)
        said = {key: one[key] for key in ("name", *NOBODY) if key in one}
        self._write("residents", account.name, json.dumps(said))
        for farm in account.farms:
            if farm.connected:
                self._write("connections", account.name, farm.id)

    def _at_deere(self, one: dict[str, Any]) -> None:
        self.settle(one)
        if grant := one["grant"]:
            made = self._connection.execute(
                "INSERT INTO grants (account, client_id, scope, created, revoked)"
                " VALUES (?, ?, ?, ?, ?)",
                (
                    one["name"],
                    self._application(one).client_key,
                    grant["scope"],
                    grant["created"],
                    grant["revoked"],
                ),
            )
            self._write("refresh_tokens", grant["refresh_token"], made.lastrowid, 0, 0)

    def _at_leaf(self, number: int, one: dict[str, Any], user: dict[str, Any]) -> None:
        given = (user["name"], user["email"], None, None, user["external_id"])
        self._write("leaf_users", user["id"], number, *given)
        self._write("leaf_configs", user["id"], json.dumps({"organizationDataSync": user["syncs"]}))
        for organization, status in one["choices"].items():
            self._write("leaf_choices", user["id"], organization, status)
        if held := one["credential"]:
            self._hold(number, one, user["id"], held)

    def _hold(
        self, number: int, one: dict[str, Any], leaf_user_id: str, held: dict[str, Any]
    ) -> None:
        grant, asked_as = one["grant"], self._application(one)
        token = grant["refresh_token"]
        application = (asked_as.client_key, asked_as.client_secret, asked_as.environment)
        tokens = (token, token, f"access-{held['id']}", one["name"], grant["scope"])
        says = (held["created"], held["status"], 0, 0, held["forced"])
        key = (held["id"], number, leaf_user_id)
        self._write("leaf_credentials", *key, *application, *tokens, *says)

    def _application(self, one: dict[str, Any]) -> Registered:
        found = self._config.registered(one["grant"]["client_key"])
        return found or self._config.applications[0]

    def _write(self, table: str, *values: Any) -> None:
        marks = ", ".join("?" * len(values))
        self._connection.execute(
            f"INSERT OR REPLACE INTO {table} VALUES ({marks})",  # noqa: S608 - own table names
            values,
        )
