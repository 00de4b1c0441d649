"""The sandbox's control API, as tests use it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import requests

from tests.support.wait import wait_until

TIMEOUT_SECONDS = 60.0
Entry = dict[str, Any]


class Control:
    """Switches faults and policies of one sandbox, and reads what it was sent.

    The fields of faults, policies and entries are those of `onboarding/sandbox`.
    """

    def __init__(self, sandbox_url: str) -> None:
        self._url = sandbox_url
        self._session = requests.Session()
        self._session.trust_env = False

    def faults(self) -> list[dict[str, Any]]:
        """The faults that are switched on, with how often each struck."""
        return self._list("GET", "/control/faults")

    def set_faults(self, *faults: dict[str, Any]) -> None:
        """Switch on exactly these; a request held by a fault that is gone goes on."""
        self._call("PUT", "/control/faults", json=list(faults))

    def add_fault(self, where: str, kind: str, **fields: Any) -> None:
        """Switch on one more.

        :param where: the point, for example `leaf.credentials.create`
        :param kind: `latency`, `hang`, `reset`, `status`, `html` or `json`
        """
        self._call("POST", "/control/faults", json={"where": where, "kind": kind, **fields})

    def clear_faults(self) -> None:
        """Switch off all."""
        self._call("DELETE", "/control/faults")

    def policies(self) -> dict[str, Any]:
        """Which way it goes where the documentation is silent."""
        found: dict[str, Any] = self._call("GET", "/control/policies")
        return found

    def set_policies(self, **policies: str | int) -> None:
        """Change some."""
        self._call("PATCH", "/control/policies", json=policies)

    def journal(self, *, after: int = 0, **fields: Any) -> list[Entry]:
        """API requests it got, oldest first.

        :param after: only entries with a greater `seq`
        :param fields: only entries with these values, for example `point="leaf.users.create"`
        """
        entries = self._list("GET", "/control/journal", params={"after": after})
        return [entry for entry in entries if fields.items() <= entry.items()]

    def last_seq(self) -> int:
        """The number of the newest entry, to be given to `journal(after=…)`; 0 if none."""
        return max((entry["seq"] for entry in self.journal()), default=0)

    def wait_for(
        self, condition: Callable[[Entry], bool], *, what: str, after: int = 0, limit: float = 15.0
    ) -> Entry:
        """Wait for a request; returns its entry."""

        def find() -> Entry | None:
            return next((one for one in self.journal(after=after) if condition(one)), None)

        found = wait_until(find, what=what, limit=limit)
        assert found is not None
        return found

    def credentials(self, external_id: str) -> list[dict[str, Any]]:
        """The John Deere credentials that Leaf holds for a grower."""
        return self._list("GET", "/control/leaf/credentials", params={"externalId": external_id})

    def accounts(self) -> list[dict[str, Any]]:
        """The John Deere accounts and what each does."""
        found: list[dict[str, Any]] = self._call("GET", "/control/accounts")["accounts"]
        return found

    def accept_terms(self, account: str) -> None:
        """Accept John Deere's terms for an account."""
        self._call("POST", f"/control/accounts/{account}/terms", json={"accepted": True})

    def set_leaf_status(self, leaf_user_id: str, status: str | None) -> None:
        """Make Leaf say a status for a user's credential; None: what it finds out itself."""
        body = {"leafUserId": leaf_user_id, "status": status}
        self._call("POST", "/control/leaf/status", json=body)

    def alerts(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What Leaf sends, newest first: `kind`, `body`, `attempts`, `status`, `waits`.

        :param kind: only these; `ping` is that of a registration
        """
        found = self._list("GET", "/control/leaf/alerts")
        return [alert for alert in found if kind in {None, alert["kind"]}]

    def send_alert(self, leaf_user_id: str, kind: str) -> int:
        """Make Leaf send an alert, true or not; to how many webhooks."""
        body = {"leafUserId": leaf_user_id, "type": kind}
        return int(self._call("POST", "/control/leaf/alerts", json=body)["sent"])

    def expire_leaf_tokens(self) -> None:
        """Make every bearer token of Leaf worthless."""
        self._call("POST", "/control/leaf/tokens/expire")

    def revoke(self, account: str) -> None:
        """Kill an account's refresh tokens, as when the grower removes the connection."""
        self._call("POST", "/control/grants/revoke", json={"account": account})

    def move_clock(self, by: timedelta) -> None:
        """Let time pass in all processes, and in this one, at once; only ahead."""
        self._call("POST", "/control/clock", json={"seconds": int(by.total_seconds())})

    def expire(self, account: str) -> None:
        """Let an account's refresh tokens expire, as when nobody uses them for a year."""
        self._call("POST", "/control/grants/expire", json={"account": account})

    def change_organization(self, account: str, id: str, **changes: bool) -> dict[str, Any]:
        """Change what an account has of an organization: `connected`, `left`, `permitted`.

        :return: the account as it is then
        """
        path = f"/control/accounts/{account}/organizations/{id}"
        changed: dict[str, Any] = self._call("PATCH", path, json=changes)
        return changed

    def lose_credentials(self, external_id: str | None = None) -> int:
        """Let Leaf lose a grower's credentials, or all; how many it had."""
        params = {} if external_id is None else {"externalId": external_id}
        return int(self._call("DELETE", "/control/leaf/credentials", params=params)["lost"])

    def mails(self, to: str) -> list[dict[str, Any]]:
        """The mails that the mail server took for an address, oldest first."""
        return self._list("GET", "/control/mails", params={"to": to})

    def reset(self) -> None:
        """Forget all users, grants, faults, policies and the journal; the clock is real again."""
        self._call("POST", "/control/reset")

    def _list(self, method: str, path: str, **options: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call(method, path, **options)
        assert isinstance(found, list), found
        return found

    def _call(self, method: str, path: str, **options: Any) -> Any:
        answer = self._session.request(
            method, self._url + path, timeout=TIMEOUT_SECONDS, allow_redirects=False, **options
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def close(self) -> None:
        """Close its connections."""
        self._session.close()


def points(entries: Iterable[Entry]) -> list[str]:
    """The points that entries of the journal are about, in their order."""
    return [entry["point"] for entry in entries]


def hold(control: Control, where: str, *, when: str = "before", **match: str) -> None:
    """Let the first request to a point hang until the faults are cleared."""
    control.add_fault(where, "hang", when=when, times=1, match=match)


def wait_for_held(control: Control, where: str, **fields: str) -> None:
    """Wait until a request to a point hangs."""
    control.wait_for(
        lambda entry: (
            entry["point"] == where and entry["fault"] == "hang" and fields.items() <= entry.items()
        ),
        what=f"a request to {where} is held",
    )
