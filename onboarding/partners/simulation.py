"""The sandbox's control API, as far as a partner's connections are moved by it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from onboarding import http
from onboarding.settings import Settings
from onboarding.states import SyncChoice

SERVICE = "the sandbox"


class Simulation:
    """The simulated John Deere and Leaf of an installation that has them.

    Every method raises `UpstreamError` if the sandbox does not do its part.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = "{0.scheme}://{0.netloc}/control".format(urlsplit(settings.deere_metadata_url))
        self._session = http.new_session(connections=1)

    def move_in(self, **person: Any) -> None:
        """Make a John Deere account: `name`, `farms`, `terms_url`, `access_seconds`."""
        self._call("POST", "/accounts", person)

    def consent(self, account: str, url: str) -> str:
        """Let an account allow what is asked at an address of John Deere's; the code."""
        return str(self._call("POST", "/consents", {"account": account, "url": url})["code"])

    def say(self, leaf_user_id: str, status: str | None) -> int:
        """Let Leaf say a status, or none yet if it is empty; of how many credentials.

        :param status: None: what Leaf finds out itself
        """
        body = {"leafUserId": leaf_user_id, "status": status}
        return int(self._call("POST", "/leaf/status", body)["credentials"])

    def lose(self, leaf_user_id: str) -> int:
        """Let Leaf lose what it holds of a grower; how many credentials."""
        return int(self._call("DELETE", f"/leaf/credentials?leafUserId={leaf_user_id}")["lost"])

    def choose_nothing(self, leaf_user_id: str) -> int:
        """Let somebody choose at Leaf that it fetches nothing of a grower; how many it fetched."""
        body = {"leafUserId": leaf_user_id, "status": SyncChoice.PREVIEW.value}
        return int(self._call("POST", "/leaf/choices", body)["changed"])

    def disturb(self, fault: Mapping[str, Any], **match: str) -> None:
        """Let requests to a point fail, until it is mended.

        :param fault: `where` and `kind`, and what else the sandbox knows of it
        :param match: whose requests: of an `account`, or of a `leaf_user_id`
        """
        self._call("POST", "/faults", {**fault, "match": match})

    def mend(self, *, accounts: Collection[str], leaf_user_id: str | None) -> None:
        """End all disturbances of requests of these accounts, or of a Leaf user."""
        own = [{"account": name} for name in accounts]
        if leaf_user_id is not None:
            own.append({"leaf_user_id": leaf_user_id})
        for fault in self._call("GET", "/faults"):
            if fault["match"] in own:
                self._call("DELETE", f"/faults/{fault['id']}")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        return http.call(
            self._session, method, self._url + path, service=SERVICE, action="move", json=body
        ).body
