"""Nothing secret is left lying: whole walks, good and bad, and then a search through everything."""

from __future__ import annotations

import re
import socket
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from tests.support.contents import everything, forms
from tests.support.control import Control
from tests.support.people import People, Person
from tests.support.stack import SANDBOX, Stack
from tests.support.wait import wait_until

JWT = re.compile(rb"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")
GIVEN_OUT = {
    "code": "SELECT code FROM codes",
    "refresh token": "SELECT token FROM refresh_tokens",
    "access token": "SELECT token FROM access_tokens",
    "token that Leaf holds": "SELECT refresh_token FROM leaf_credentials",
    "access token that Leaf holds": "SELECT access_token FROM leaf_credentials",
}
OURS = (
    "SECRET_KEY",
    "ENCRYPTION_KEYS",
    "DEERE_CLIENT_SECRET",
    "LEAF_PASSWORD",
    "LEAF_ALERT_SECRET",
)


@dataclass
class Search:
    """Gathers what must not be found, and what was said about it on the way."""

    stack: Stack
    people: People
    verifiers: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """What commands printed."""

    def until_callback(self, grower: Person, account: str) -> str:
        """Walk to just before the callback, and note state and verifier of the attempt."""
        callback = grower.until_callback(account)
        self.states.append(parse_qs(urlsplit(callback).query)["state"][0])
        attempt = grower.attempts()[-1]
        assert attempt.code_verifier
        vault = self.stack.installation.vault
        self.verifiers.append(vault.decrypt(attempt.code_verifier, place=attempt.verifier_place))
        return callback

    def walk(self, grower: Person, account: str, *organizations: str) -> None:
        """The whole way, without waiting for Leaf.

        :param organizations: names of those to share; default: all
        """
        grower.open(self.until_callback(grower, account))
        if grower.page.find("Save"):
            grower.choose(organizations or None)

    def run(self, *command: str) -> None:
        """Run a command, and keep what it prints."""
        done: subprocess.CompletedProcess[str] = self.stack.cli(*command, check=False)
        self.said.append(done.stdout + done.stderr)

    def show(self, grower: Person) -> None:
        """Look the grower up as staff do."""
        self.run("connection", "show", grower.connection().reference)

    def secrets(self) -> dict[str, set[str]]:
        """Every secret so far, by what it is."""
        found = {name: set(self._at_deere(query)) for name, query in GIVEN_OUT.items()}
        assert all(found.values()), found.keys()
        found |= {name: {self.stack.environment[name]} for name in OURS}
        return found | {"state": set(self.states), "verifier": set(self.verifiers)}

    def links(self) -> dict[str, set[str]]:
        """The links, which may stand on pages and nowhere else."""
        return {"link": {person.link.rpartition("/")[2] for person in self.people.all}}

    def assert_nothing_found(self) -> None:
        """Search everything that we write or say."""
        secrets, links = self.secrets(), self.links()
        _assert_absent(secrets | links, self._logs())
        _assert_absent(secrets | links, self._stored())
        _assert_absent(secrets, self._answers())
        for place, content in (*self._logs(), *self._stored(), *self._answers()):
            assert not JWT.search(content), f"{place} holds something like a token"

    def _at_deere(self, query: str) -> Iterator[str]:
        with closing(sqlite3.connect(self.stack.environment["SANDBOX_DATABASE"])) as store:
            yield from (str(row[0]) for row in store.execute(query))

    def _logs(self) -> list[tuple[str, bytes]]:
        logs = [log for log in self.stack.logs().items() if log[0] != SANDBOX]
        assert all(log for _, log in logs)
        said = [(f"command {number}", text) for number, text in enumerate(self.said)]
        return [(f"log of {name}", text.encode()) for name, text in (*logs, *said)]

    def _stored(self) -> list[tuple[str, bytes]]:
        return list(everything(self.stack.installation.database.engine).items())

    def _answers(self) -> Iterator[tuple[str, bytes]]:
        for person in self.people.all:
            for answer in person.answers:
                if answer.url.endswith("/start") and answer.status_code == 303:
                    continue  # names the state to John Deere, and nothing else: test_security.py
                place = f"{answer.request.method} {answer.url} {answer.status_code}"
                yield place, answer.content + repr(answer.raw.headers.items()).encode()


def test_no_secret_is_left_anywhere(people: People, control: Control, stack: Stack) -> None:
    search = Search(stack, people)
    _connect_change_and_reconnect(search)
    _fail_at_leaf(search, control)
    _fail_at_the_token_endpoint(search, control)
    _fail_at_the_organizations(search, control)
    _deny_and_attack(search)
    _send_garbage(search)
    search.run("leaf", "alerts", "register")
    search.run("leaf", "alerts", "list")
    search.run("doctor")
    search.assert_nothing_found()


def test_waiting_token_cannot_be_read_in_the_database(
    people: People, control: Control, stack: Stack
) -> None:
    search = Search(stack, people)
    control.add_fault("leaf.authenticate", "status", status=503)
    grower = people.invited()
    control.expire_leaf_tokens()
    search.walk(grower, "one-farm")
    wait_until(lambda: grower.connection().waiting_since, what="Leaf has been asked in vain")
    assert grower.connection().refresh_token
    (token,) = search._at_deere(GIVEN_OUT["refresh token"])
    _assert_absent({"refresh token": {token}}, search._stored())
    control.clear_faults()
    grower.wait_for_code("connected")
    search.assert_nothing_found()


def _connect_change_and_reconnect(search: Search) -> None:
    grower = search.people.invited()
    search.walk(grower, "three-farms", "Oak Hollow")
    grower.wait_for_code("connected")
    grower.choose_more()
    grower.choose()
    grower.start(other_account=True)
    grower.sign_in("no-refresh-token")
    grower.allow()


def _fail_at_leaf(search: Search, control: Control) -> None:
    """Leaf's errors repeat everything that it was sent."""
    grower = search.people.invited()
    of_grower = {"external_id": grower.external_id}
    control.add_fault("leaf.users.list", "hang", match=of_grower)
    search.walk(grower, "already-connected")
    control.wait_for(
        lambda one: one["fault"] == "hang" and one["external_id"] == grower.external_id,
        what="Leaf is being asked",
    )
    echo = {"title": "Echo", "detail": _sentence(search, "DEERE_CLIENT_SECRET", "LEAF_PASSWORD")}
    control.set_faults(
        _fault("leaf.credentials.create", 500, echo, times=1),
        _fault("leaf.credentials.create", 400, echo),
    )
    wait_until(lambda: grower.connection().waiting_since, what="the 500 has come")
    _assert_absent(search.secrets(), search._stored())
    grower.wait_for_code("failed")
    search.show(grower)
    control.clear_faults()
    search.run("connection", "retry", grower.connection().reference)
    grower.wait_for_code("connected")


def _fail_at_the_token_endpoint(search: Search, control: Control) -> None:
    """John Deere's errors repeat code, verifier and client secret."""
    for status, error in ((400, "invalid_grant"), (401, "invalid_client"), (500, "server_error")):
        grower = search.people.invited()
        callback = search.until_callback(grower, "already-connected")
        echo = {"error": error, "error_description": _sentence(search, "DEERE_CLIENT_SECRET")}
        control.set_faults(_fault("deere.token", status, echo))
        grower.open(callback)
    control.set_faults(
        {"where": "deere.token", "kind": "html", "status": 502, "body": _sentence(search)}
    )
    grower = search.people.invited()
    grower.open(search.until_callback(grower, "already-connected"))
    control.clear_faults()


def _fail_at_the_organizations(search: Search, control: Control) -> None:
    grower = search.people.invited()
    control.set_faults(_fault("deere.organizations", 503, {}))
    search.walk(grower, "one-farm")
    echo = {"errors": [{"message": _sentence(search)}]}
    for status in (401, 500, 403):
        control.set_faults(
            _fault("deere.organizations", status, echo),
            _fault("leaf.organizations", status, echo),
            _fault("leaf.status", status, echo),
        )
        grower.open()
        grower.choose_more()
    control.clear_faults()


def _deny_and_attack(search: Search) -> None:
    grower, thief = search.people.invited(), search.people.invited()
    callback = search.until_callback(grower, "already-connected")
    own = search.until_callback(thief, "one-farm")
    thief.open(callback)
    state = parse_qs(urlsplit(own).query)["state"][0]
    sentence = _sentence(search)[:2000]  # of a URL gunicorn reads 4 kB
    said = {"state": state, "error": "access_denied", "error_description": sentence}
    thief.open(f"{own.partition('?')[0]}?{urlencode(said)}")
    grower.open(callback)
    grower.open(callback)
    grower.wait_for_code("connected")
    grower.open(f"{callback}{'x' * 2000}")
    grower.open(callback.replace("/callback", "/nothing"))
    grower.expire_link()
    grower.open()


def _send_garbage(search: Search) -> None:
    """What gunicorn refuses by itself, it logs by itself."""
    stack, grower = search.stack, search.people.invited()
    callback = urlsplit(search.until_callback(grower, "already-connected"))
    target = f"{callback.path}?{callback.query}"
    link = urlsplit(grower.link).path
    cookie = "; ".join(f"{one.name}={one.value}" for one in grower.session.cookies)
    host = urlsplit(stack.public_url)
    for request in (
        f"GET {target} HTTP/9.9\r\n\r\n",
        f"GET {target}{'x' * 9000} HTTP/1.1\r\n\r\n",
        f"GET {target} HTTP/1.1\r\nCookie\x00: {cookie}\r\n\r\n",
        f"G\x01T {link} HTTP/1.1\r\n\r\n",
        f"POST {link}/start?{callback.query} HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        f"GET {target} HTTP/1.1\r\nCookie: {cookie}{'x' * 9000}\r\n\r\n",
        f"GET {quote(target)}\r\nHost: a\r\nHost: b\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", host.port or 80), timeout=10) as sock:
            sock.sendall(request.encode())
            assert sock.recv(100)


def _sentence(search: Search, *sent: str) -> str:
    """An error message with every secret so far in it.

    :param sent: settings that were sent with the request; the others are named, as in JSON or a
        form, since nobody can tell a short password in the middle of a sentence
    """
    secrets = search.secrets()
    named = [f'"{name.lower()}":"{one}"' for name in OURS for one in secrets[name]]
    plain = [one for name, ones in secrets.items() if name not in OURS for one in ones]
    plain += [search.stack.environment[name] for name in sent]
    # Long texts are cut: the newest secrets come first.
    return f"Refused: {' '.join(reversed(plain))} {', '.join(named)}"


def _fault(where: str, status: int, body: object, times: int | None = None) -> dict[str, object]:
    return {"where": where, "kind": "json", "status": status, "body": body, "times": times}


def _assert_absent(secrets: dict[str, set[str]], places: Iterable[tuple[str, bytes]]) -> None:
    wanted = [(name, form) for name, ones in secrets.items() for one in ones for form in forms(one)]
    for place, content in places:
        for name, form in wanted:
            assert form not in content, f"{place} holds a {name}"
