"""Which way the sandbox goes where the documentation of the real services is silent."""

from __future__ import annotations

import json
import threading
from typing import Any

from onboarding.errors import InputInvalid
from onboarding.sandbox.store import Store

Value = str | int

CHOICES: dict[str, tuple[str, ...]] = {
    "leaf_bad_token": ("refused", "found_later"),
    "leaf_wrong_client": ("refused", "found_later"),
    "leaf_wrong_environment": ("refused", "found_later"),
    "leaf_unknown_user": ("not_found", "bad_request"),
    "leaf_second_post": ("refused", "replaced", "doubled"),
    "leaf_connected_later": ("PREVIEW", "SELECTED"),
    "leaf_external_id_filter": ("contains", "exact"),
    "leaf_status_endpoint": ("present", "gone"),
    "leaf_answers": ("current", "older"),
    "leaf_initial_status": ("OK", "absent"),
    "leaf_uses_tokens": ("daily", "never"),
    "leaf_alerts": ("once", "twice", "out_of_order", "never"),
    "deere_refresh_tokens": ("persistent", "rotating"),
    "deere_client": ("accepted", "refused"),
    "deere_opener": ("kept", "severed"),
    "company_answers": (
        *("good", "other_key", "unsigned", "other_issuer", "other_audience", "other_nonce"),
        *("expired", "old_sign_in", "other_person", "mixed_up", "client_refused"),
    ),
}
"""Every policy of words; the first word is the default."""

NUMBERS: dict[str, tuple[int, int]] = {
    "leaf_requests_per_minute": (1000, 100_000),
    "deere_code_seconds": (60, 600),
    "deere_refresh_token_days": (365, 3650),
    "leaf_finds_out_after_seconds": (0, 100_000),
    "leaf_alert_minute_ms": (60_000, 60_000),
    "leaf_data_seconds": (60, 1_000_000),
    "company_key": (1, 100),
}
"""Every policy of a number: the default, and the highest; the lowest is 0."""

DEFAULTS: dict[str, Value] = {name: words[0] for name, words in CHOICES.items()} | {
    name: default for name, (default, _) in NUMBERS.items()
}


class Policies:
    """The choices in force. Kept in memory for speed and in the store for a restart."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        row = store.one("SELECT value FROM meta WHERE key = 'policies'")
        self._values: dict[str, Value] = DEFAULTS | (json.loads(row["value"]) if row else {})

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def shown(self) -> dict[str, Value]:
        """All of them, by name."""
        return dict(self._values)

    def change(self, changes: Any) -> None:
        """Change some.

        :param changes: an object of names and values
        :raise InputInvalid: if a name or a value is unknown; then nothing changes
        """
        if not isinstance(changes, dict):
            raise InputInvalid("Policies are an object of names and values.")
        for name, value in changes.items():
            _check(name, value)
        with self._lock:
            self._values = self._values | changes
            with self._store.write() as connection:
                connection.execute(
                    "INSERT OR REPLACE INTO meta VALUES ('policies', ?)",
                    (json.dumps(self._values),),
                )

    def reset(self) -> None:
        """Back to the defaults (the store was wiped by the caller)."""
        self._values = dict(DEFAULTS)


def _check(name: str, value: Any) -> None:
    if name in NUMBERS:
        highest = NUMBERS[name][1]
        if type(value) is not int or not 0 <= value <= highest:
            raise InputInvalid(f"{name} is a whole number from 0 to {highest}")
    elif name not in CHOICES:
        raise InputInvalid(f"There is no policy {name!r}. There are: {', '.join(DEFAULTS)}")
    elif value not in CHOICES[name]:
        raise InputInvalid(f"{name} is one of: {', '.join(CHOICES[name])}")
