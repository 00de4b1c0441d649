"""John Deere and Leaf in one process, answering at once with as little work as possible.

Not the sandbox: that checks what it is sent and keeps a journal, and would cost more than the
product which is measured. This one knows only what one whole flow asks for.

    python -m benchmarks.upstream PORT
    PUT /delays?token=3&leaf=30        seconds that the token endpoint and Leaf take from now on
    PUT /arrivals                      forget when Leaf was asked
    GET /arrivals                      when it was asked, in seconds, oldest first
    GET /made                          how often each user and each credential was made at Leaf
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from itertools import count
from urllib.parse import parse_qs

ISSUER = "/oauth2/aus78tnlaysMraFhC1t7"
USERS = "/services/usermanagement/api/users"
SWEPT = "swept-"
"""Leaf users whose names begin so have always had a credential."""
ARRIVALS = 500_000
SCOPES = "ag1 ag2 ag3 eq1 org1 files offline_access"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
BEARER = re.compile(rb"\r\nauthorization: *bearer ([^\r]+)", re.IGNORECASE)
CREDENTIALS = re.compile(USERS + r"/([^/]+)/john-deere-credentials(/status)?")
EVENTS = re.compile(USERS + r"/[^/]+/john-deere-credentials/events")
ORGANIZATIONS = re.compile(USERS + r"/[^/]+/organizations/JohnDeere")
CHOICES = re.compile(USERS + r"/[^/]+/JohnDeere/organizations")
FAILED_CALLS = "/services/alerts/api/alerts/webhooks/failed-calls"
SUMMARY = "/services/integrations/api/resources"
SYNC = re.compile(USERS + r"/[^/]+/JohnDeere/organizations/sync")

Reply = tuple[int, object]


class Upstream:
    """What is remembered: which tokens have seen the organizations, and who has a credential."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.delays = {"token": 0.0, "leaf": 0.0}
        self._numbers = count(1)
        self._seen: set[bytes] = set()
        self._attached: set[str] = set()
        self._user_ids: dict[str, str] = {}
        self._users_made = Counter[str]()
        self._posts = Counter[str]()
        self._deletes = Counter[str]()
        self._arrivals: deque[float] = deque(maxlen=ARRIVALS)

    def answer(self, method: str, path: str, query: str, head: bytes, body: bytes) -> Reply:
        """The status and the JSON of an answer."""
        if path.startswith(("/services/", "/api/")):
            self._arrivals.append(time.monotonic())
        if path.startswith("/services/"):
            return self._leaf(method, path, query, body)
        replies: dict[tuple[str, str], Callable[[], Reply]] = {
            ("POST", f"{ISSUER}/v1/token"): self._tokens,
            ("GET", "/platform/organizations"): lambda: self._organizations(head),
            ("POST", "/api/authenticate"): lambda: (200, {"id_token": "benchmark-leaf-token"}),
            ("GET", f"{ISSUER}/.well-known/oauth-authorization-server"): self._metadata,
            ("PUT", "/delays"): lambda: self._set_delays(query),
            ("GET", "/arrivals"): lambda: (200, list(self._arrivals)),
            ("PUT", "/arrivals"): self._forget_arrivals,
            ("GET", "/done"): self._done,
        }
        reply = replies.get((method, path))
        return reply() if reply else _unknown(method, path)

    def delay(self, path: str) -> float:
        """Seconds that pass before the answer."""
        if path.endswith("/v1/token"):
            return self.delays["token"]
        return self.delays["leaf"] if path.startswith(("/services/", "/api/")) else 0.0

    def _set_delays(self, query: str) -> Reply:
        self.delays = {name: float(values[0]) for name, values in parse_qs(query).items()}
        return 200, self.delays

    def _done(self) -> Reply:
        return 200, {"users": self._users_made, "posts": self._posts, "deletes": self._deletes}

    def _forget_arrivals(self) -> Reply:
        self._arrivals.clear()
        return 200, {}

    def _metadata(self) -> Reply:
        issuer = self.url + ISSUER
        return 200, {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/v1/authorize",
            "token_endpoint": f"{issuer}/v1/token",
        }

    def _tokens(self) -> Reply:
        number = next(self._numbers)
        return 200, {
            "access_token": f"access-token-{number:06}",
            "refresh_token": f"refresh-token-{number:06}",
            "scope": SCOPES,
            "expires_in": 43200,
            "token_type": "Bearer",
        }

    def _organizations(self, head: bytes) -> Reply:
        """Not shared at a token's first look, one of two shared at every later one."""
        found = BEARER.search(head)
        if found is None:
            return 401, {}
        chosen = found[1] in self._seen
        self._seen.add(found[1])
        return 200, {
            "values": [self._organization(1, shared=chosen), self._organization(2, shared=False)]
        }

    def _organization(self, number: int, *, shared: bool) -> dict[str, object]:
        rel = "manage_connections" if shared else "connections"
        uri = f"{self.url}/connections/benchmark/select-organizations"
        return {
            "id": str(number),
            "name": f"Maple Farm {number}",
            "member": True,
            "links": [{"rel": rel, "uri": uri}],
        }

    def _leaf(self, method: str, path: str, query: str, body: bytes) -> Reply:
        if path == USERS:
            return self._users(method, query, body)
        if match := CREDENTIALS.fullmatch(path):
            return self._credential(method, match[1], body)
        if EVENTS.fullmatch(path):
            return 200, []
        if ORGANIZATIONS.fullmatch(path):
            shared, other = ({"id": str(n), "name": f"Maple Farm {n}"} for n in (1, 2))
            return 200, {"connectedOrganizations": [shared], "notConnectedOrganizations": [other]}
        if CHOICES.fullmatch(path):
            return 200, [{"providerOrgId": "1", "status": "SELECTED"}]
        if path == FAILED_CALLS:
            return 200, []
        if path == SUMMARY:
            arrived = {"provider": "JohnDeere", "growers": 1, "farms": 4, "fields": 37}
            return 200, {"message": "SUCCESS", "summaries": [arrived]}
        if SYNC.fullmatch(path):
            return 200, {}
        return _unknown(method, path)

    def _users(self, method: str, query: str, body: bytes) -> Reply:
        if method == "GET":
            asked = parse_qs(query).get("externalId", [""])[0]
            found = self._user_ids.get(asked)
            return 200, [{"id": found, "externalId": asked}] if found else []
        sent = json.loads(body)
        user = {"id": f"leaf-user-{next(self._numbers)}", "name": sent["name"]}
        self._user_ids[sent["externalId"]] = user["id"]
        self._users_made[sent["externalId"]] += 1
        return 201, user | {"externalId": sent["externalId"]}

    def _credential(self, method: str, user: str, body: bytes) -> Reply:
        if method == "POST":
            self._attached.add(user)
            self._posts[user] += 1
        elif not self._has_credential(user):
            return 404, {}
        if method == "DELETE":
            self._attached.discard(user)
            self._deletes[user] += 1
            return 200, {}
        return (201 if method == "POST" else 200), {"id": f"credential-{user}", "status": "OK"}

    def _has_credential(self, user: str) -> bool:
        always = user.startswith(SWEPT) and not self._deletes[user]
        return always or user in self._attached


class Connection(asyncio.Protocol):
    """One client's connection: HTTP/1.1, kept alive, one request at a time."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        wanted = int(length[1]) if length else 0
        if not found or len(rest) < wanted:
            return
        self._buffer = b""
        method, target, _ = head.partition(b"\r\n")[0].decode().split(" ")
        path, _, query = target.partition("?")
        status, body = self._upstream.answer(method, path, query, head, rest)
        answer = _http(status, json.dumps(body).encode())
        if delay := self._upstream.delay(path):
            asyncio.get_running_loop().call_later(delay, self._transport.write, answer)
        else:
            self._transport.write(answer)


def _unknown(method: str, path: str) -> Reply:
    print(f"Nothing is prepared for {method} {path}", file=sys.stderr, flush=True)
    return 501, {}


def _http(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


async def serve(port: int) -> None:
    """Answer on loopback until the process is ended."""
    upstream = Upstream(port)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(upstream), "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
