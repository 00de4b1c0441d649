"""The sandbox's control API, as far as a partner's connections are moved by it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from onboarding import http
from onboarding.settings import Settings

SERVICE = "the sandbox"


class Simulation:
    """The simulated John Deere and Leaf of an installation that has them.

    Every method raises `UpstreamError` if the sandbox does not do its part.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = "{0.scheme}://{0.netloc}/control".format(urlsplit(settings.deere_metadata_url))
        self._session = http.new_session(connections=1)

    def move_in(self, **person: Any) -> None:
        """Make a John Deere account: `name`, `farms`, `terms_url`."""
        self._call("POST", "/accounts", person)

    def consent(self, account: str, url: str) -> str:
        """Let an account allow what is asked at an address of John Deere's; the code."""
        return str(self._call("POST", "/consents", {"account": account, "url": url})["code"])

    def say(self, leaf_user_id: str, status: str | None) -> int:
        """Let Leaf say a status; of how many credentials. None: what it finds out itself."""
        body = {"leafUserId": leaf_user_id, "status": status}
        return int(self._call("POST", "/leaf/status", body)["credentials"])

    def lose(self, leaf_user_id: str) -> int:
        """Let Leaf lose what it holds of a grower; how many credentials."""
        return int(self._call("DELETE", f"/leaf/credentials?leafUserId={leaf_user_id}")["lost"])

    def disturb(self, where: str, status: int, *, times: int | None = None, **match: str) -> None:
        """Let requests to a point be answered by a status, until it is mended."""
        fault = {"where": where, "kind": "status", "status": status, "times": times}
        self._call("POST", "/faults", fault | {"match": match})

    def mend(self, **match: str) -> None:
        """End all disturbances of exactly these requests."""
        for fault in self._call("GET", "/faults"):
            if fault["match"] == match:
                self._call("DELETE", f"/faults/{fault['id']}")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        return http.call(
            self._session, method, self._url + path, service=SERVICE, action="move", json=body
        ).body
