"""The product as it is deployed, its upstreams and the bare page, each in its own processes."""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from benchmarks import bare, processes
from onboarding import settings
from onboarding.connections import consent, disconnect, history, invitations, partnership
from onboarding.db import Database
from onboarding.deere import Tokens
from onboarding.local.child import Child
from onboarding.local.supervisor import answers
from onboarding.models import Attempt, Connection, Link
from onboarding.states import Stage
from tests.support.ports import free_ports
from tests.support.stack import PARTNER, ROOT, WEB, WORKER, Stack
from tests.support.wait import wait_until

UPSTREAM, BARE, GROWERS = "upstream", "bare", "growers"
PYTHON = (sys.executable, "-m")
GUNICORN_CONFIG = str(ROOT / "gunicorn.conf.py")
NO_LIMIT = "100000"
"""Requests per minute to Leaf: so many that the limit is not what is measured."""
INVITED_AT_ONCE = 100
AT_LEAF = (Stage.CHOOSING_ORGANIZATIONS, Stage.CONNECTED)
START_SECONDS = 60.0
IDLE_SECONDS = 300.0


class Site:
    """Everything of one run on one kind of database.

    :ivar stack: web and worker, started and stopped by their names
    :ivar parts: the product's own parts in this process, to invite growers and to look at rows
    """

    def __init__(self, folder: Path, database_url: str, bare_url: str) -> None:
        """
        :param folder: of its own; databases and logs are written there
        :param database_url: of an empty database for the product
        :param bare_url: of another one of the same kind for the bare page
        """
        self.stack = Stack(folder, database_url)
        self.stack.environment |= {"LEAF_REQUESTS_PER_MINUTE": NO_LIMIT}
        self.web_port = int(self.stack.public_url.rpartition(":")[2])
        # The stack's own sandbox is never started; the upstream takes its place.
        self._upstream_port = int(self.stack.sandbox_url.rpartition(":")[2])
        (self.bare_port,) = free_ports(1)
        self._bare_environment = self.stack.environment | {"DATABASE_URL": bare_url}
        self._bare_database = Database(settings.load(self._bare_environment).database_url)
        self._children: dict[str, Child] = {}

    def start(self) -> None:
        """Start the upstream, web and the bare page; the worker waits until it is asked for."""
        self.stack.cli("db", "upgrade")
        self.parts = self.stack.installation
        bare.visits.create(self._bare_database.engine)
        with self.parts.database.transaction() as session:
            partnership.add_partner(session, slug=PARTNER, name="Demo Co-op")
        gunicorn = ["gunicorn", "--config", GUNICORN_CONFIG, "benchmarks.bare:serve()"]
        self._start(UPSTREAM, ["benchmarks.upstream", str(self._upstream_port)])
        self._start(BARE, [*gunicorn, "--bind", f"127.0.0.1:{self.bare_port}"])
        self.stack.start_web()
        url = f"http://127.0.0.1:{self.bare_port}/"
        wait_until(lambda: answers(url), what="the bare page is up", limit=START_SECONDS)

    def close(self) -> None:
        """End everything."""
        self.stack.close()
        for child in self._children.values():
            child.kill()
        self._bare_database.engine.dispose()

    def pid(self, name: str) -> int:
        """The first process of `web`, `w1`, `upstream` or `bare`."""
        return self._children[name].pid if name in self._children else self.stack.pid(name)

    def cpu_seconds(self) -> dict[str, float]:
        """Seconds of CPU so far, by name; `growers` is this process."""
        running = [name for name in (WEB, WORKER) if self.stack.is_running(name)]
        running += self._children
        found = {name: processes.cpu_seconds(self.pid(name)) for name in running}
        return found | {GROWERS: sum(os.times()[:2])}

    def done_at_leaf(self) -> dict[str, dict[str, int]]:
        """How often each user was made (by external id), and its credential made and deleted."""
        connection = http.client.HTTPConnection("127.0.0.1", self._upstream_port, timeout=30)
        try:
            connection.request("GET", "/done")
            found: dict[str, dict[str, int]] = json.loads(connection.getresponse().read())
            return found
        finally:
            connection.close()

    def delay(self, *, token: float, leaf: float) -> None:
        """Let John Deere's token endpoint and Leaf take so many seconds from now on."""
        connection = http.client.HTTPConnection("127.0.0.1", self._upstream_port, timeout=10)
        try:
            connection.request("PUT", f"/delays?token={token}&leaf={leaf}")
            connection.getresponse().read()
        finally:
            connection.close()

    def invite(self, count: int) -> list[str]:
        """Make growers; the paths of their links."""
        paths: list[str] = []
        for begin in range(0, count, INVITED_AT_ONCE):
            with self.parts.database.transaction() as session:
                links = [
                    self._invite(session) for _ in range(begin, min(begin + INVITED_AT_ONCE, count))
                ]
                session.flush()
                paths += [f"/c/{self.parts.links.token(link.id)}" for link in links]
        return paths

    def owe_hand_overs(self, count: int) -> None:
        """Let growers come back from consent, without web: all of them in one transaction."""
        with self.parts.database.transaction() as session:
            for number in range(count):
                self._owe_hand_over(session, number)

    def owe_disconnects(self, condition: sa.ColumnElement[bool]) -> None:
        """Let staff end the connections that are so, all of them in one transaction."""
        with self.parts.database.transaction() as session:
            for connection in session.scalars(
                sa.select(Connection).where(condition).order_by(Connection.id)
            ):
                disconnect.ask(
                    session, self.parts.queue, connection, who=history.STAFF, reason="a benchmark"
                )

    def wait_until_idle(self) -> None:
        """Wait until every token is at Leaf and has been checked there once."""
        wait_until(self._is_idle, what="the worker has done all", limit=IDLE_SECONDS)

    def put_checks_off(self) -> None:
        """Cancel the later checks, which would run in the middle of another measurement."""
        with self.parts.database.transaction() as session:
            session.execute(sa.update(Connection).values(check_due_at=None))

    def count(self, condition: sa.ColumnElement[bool]) -> int:
        """How many connections are so."""
        query = sa.select(sa.func.count()).select_from(Connection).where(condition)
        with self.parts.database.reading() as session:
            return session.scalar(query) or 0

    def hand_over_times(self) -> list[float]:
        """When each token was handed over, in seconds since 1970, in order."""
        query = sa.select(Connection.handed_over_at).where(Connection.handed_over_at.is_not(None))
        with self.parts.database.reading() as session:
            return sorted(moment.timestamp() for moment in session.scalars(query) if moment)

    def _start(self, name: str, command: list[str]) -> None:
        self._children[name] = Child(
            name,
            [*PYTHON, *command],
            env=self._bare_environment,
            cwd=self.stack.folder,
            sink=self._log(name),
        )

    def _log(self, name: str) -> Callable[[str], None]:
        path = self.stack.folder / f"{name}.log"

        def write(line: str) -> None:
            with path.open("a") as log:
                log.write(f"{line}\n")

        return write

    def _is_idle(self) -> bool:
        if not self.stack.is_running(WORKER):
            raise RuntimeError(f"the worker has ended:\n{self.stack.log(WORKER)}")
        never_checked = sa.and_(Connection.stage.in_(AT_LEAF), Connection.checked_at.is_(None))
        return self.count(sa.or_(Connection.stage == Stage.HANDING_OVER, never_checked)) == 0

    def _invite(self, session: Session) -> Link:
        return invitations.invite(
            session,
            partner_slug=PARTNER,
            external_id=f"benchmark-{uuid4()}",
            name="Maple Farm",
            lifetime=timedelta(days=1),
        )

    def _owe_hand_over(self, session: Session, number: int) -> None:
        parts = self.parts
        link = self._invite(session)
        session.flush()
        started = consent.start(session, parts.vault, parts.settings, link)
        attempt = session.get_one(Attempt, started.attempt_id)
        consent.use(session, parts.vault, attempt)
        tokens = Tokens(
            access_token=f"access-token-{number}",
            refresh_token=f"refresh-token-{number}",
            scopes=frozenset(parts.settings.deere_scopes),
            expires_in=43200,
        )
        consent.receive(
            session, parts.vault, parts.queue, parts.settings, attempt=attempt, tokens=tokens
        )
