"""The whole product as real processes: sandbox, web and workers on one database."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import sqlalchemy as sa

from onboarding import clock, settings
from onboarding.connections import invitations, partnership
from onboarding.installation import Installation, assemble
from onboarding.local import commands
from onboarding.local.child import Child
from onboarding.local.supervisor import answers
from onboarding.models import Connection, FigureCount, Incident, Mail, Pace
from tests.support.control import Control
from tests.support.ports import free_ports
from tests.support.wait import wait_until

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 120.0
COMMAND_SECONDS = 120.0
STOP_SECONDS = 60.0
INHERITED = ("HOME", "LANG", "PATH", "TMPDIR", "TZ")
WORKS = " works"
PARTNER = "demo"
WEB, WORKER, SANDBOX = "web", "w1", "sandbox"
USUAL = frozenset({SANDBOX, WEB, WORKER})


class Stack:
    """Processes that share one database, in a folder of their own, on free ports.

    `web`, `sandbox` and the workers (`w1`, …) are known by name. Each writes its output to
    `NAME.log`; a process that is started again appends to it.

    :ivar environment: what every process gets; change it before a start
    :ivar control: the sandbox's control API
    :ivar clock: the file that all of them follow
    """

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        self.database_url = database_url
        self._web_port, self._sandbox_port, self.mail_port = free_ports(3)
        self.public_url = f"http://localhost:{self._web_port}"
        self.sandbox_url = f"http://127.0.0.1:{self._sandbox_port}"
        self.clock = folder / "sandbox.clock"
        self.environment = self._environment()
        self.control = Control(self.sandbox_url)
        self._children: dict[str, Child] = {}
        self._logs: dict[str, TextIO] = {}

    def _environment(self) -> dict[str, str]:
        url = self.sandbox_url
        return {name: os.environ[name] for name in INHERITED if name in os.environ} | {
            # The processes run in the stack's folder, where no `.env` of a developer is.
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "SECRET_KEY": secrets.token_urlsafe(32),
            "ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "DATABASE_URL": self.database_url,
            "PUBLIC_URL": self.public_url,
            # Growers then come from as many addresses as a test wants (X-Forwarded-For).
            "TRUSTED_PROXIES": "1",
            "DEERE_CLIENT_KEY": "sandbox-client",
            "DEERE_CLIENT_SECRET": "sandbox-secret",
            "DEERE_ENVIRONMENT": "STAGE",
            "DEERE_METADATA_URL": (
                f"{url}/oauth2/aus78tnlaysMraFhC1t7/.well-known/oauth-authorization-server"
            ),
            "DEERE_API_URL": f"{url}/platform",
            "LEAF_API_URL": url,
            "LEAF_USERNAME": "sandbox@example.com",
            "LEAF_PASSWORD": "sandbox-password",
            "LEAF_ALERT_SECRET": secrets.token_urlsafe(32),
            "STAFF_OIDC_METADATA_URL": f"{url}/company/.well-known/openid-configuration",
            "STAFF_OIDC_CLIENT_ID": "sandbox-company",
            "STAFF_OIDC_CLIENT_SECRET": "sandbox-company-secret",
            # No test waits for its turn among the growers of others.
            "LEAF_REQUESTS_PER_MINUTE": "60000",
            "SANDBOX_URL": url,
            "SANDBOX_MAIL_PORT": str(self.mail_port),
            "MAIL_URL": f"smtp://127.0.0.1:{self.mail_port}",
            "MAIL_FROM": "Farm data <connect@onboarding.example>",
            "MAIL_PER_MINUTE": "6000",
            "SANDBOX_DATABASE": str(self.folder / "sandbox.sqlite"),
            "SANDBOX_CLOCK": str(self.clock),
            "WEBHOOKS_ALLOW_PRIVATE": "127.0.0.0/8",
        }

    def start(self) -> None:
        """Migrate the database and start sandbox, web and one worker, as far as not running."""
        if not (self.folder / "migrated").exists():
            self.cli("db", "upgrade")
            (self.folder / "migrated").touch()
        self._start(*(name for name in USUAL if not self.is_running(name)))

    def start_sandbox(self) -> None:
        """Start the simulated John Deere and Leaf, and wait until they answer."""
        self._start(SANDBOX)

    def start_web(self) -> None:
        """Start web, and wait until it is ready."""
        self._start(WEB)

    def start_worker(self, name: str = WORKER) -> None:
        """Start a worker, and wait until it has said that it works."""
        self._start(name)

    def is_running(self, name: str) -> bool:
        """Whether a process was started and has not ended."""
        child = self._children.get(name)
        return child is not None and child.status is None

    def pid(self, name: str) -> int:
        """The id of a running process; those that it started are below it."""
        return self._children[name].pid

    def kill(self, name: str) -> None:
        """`kill -9` of a process and of all that it started, at once."""
        self._children.pop(name).kill()

    def stop(self, name: str) -> int:
        """Ask a process to end, as a deployment does; its exit status."""
        return self._children.pop(name).stop(STOP_SECONDS)

    def restore(self) -> None:
        """Back to what `start` leaves: the usual processes, and a sandbox as new.

        What is still owed to the growers of earlier tests is dropped: it would meet the faults
        of the next one. Nor do they count as asked about or turned lately: several tests that take
        permissions away are no incident, and in a test of one nobody else is well.
        """
        for name in self._children.keys() - USUAL:
            self.kill(name)
        self.start()
        with self.installation.database.transaction() as session:
            session.execute(
                sa.update(Connection).values(
                    hand_over_try=Connection.hand_over_try + 1,
                    hand_over_due_at=None,
                    check_number=Connection.check_number + 1,
                    check_due_at=None,
                    checked_at=None,
                    health_since=None,
                )
            )
            session.execute(sa.delete(Incident))
            # A worker that was killed while it counted keeps others from it for minutes.
            session.execute(sa.update(FigureCount).values(due_at=clock.real()))
            session.execute(sa.delete(Pace))  # what was known of Leaf as it was
            session.execute(sa.delete(Mail))
        self.control.reset()

    def close(self) -> None:
        """End everything."""
        for name in list(self._children):
            self.kill(name)
        for log in self._logs.values():
            log.close()
        self.control.close()
        if "installation" in self.__dict__:
            self.installation.database.engine.dispose()

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `flask --app wsgi …` with the stack's settings.

        :param check: whether failing is a failure of the test
        """
        done = subprocess.run(
            commands.flask(*arguments),
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    @cached_property
    def installation(self) -> Installation:
        """The app's parts in this process: its database to look into, its queue, its links."""
        return assemble(settings.load(self.environment, instance=self.folder))

    def invite(
        self, external_id: str, *, partner: str = PARTNER, name: str = "Maple Farm", **more: Any
    ) -> str:
        """Make a link as `flask link` does, without the second that starting a process takes.

        :param partner: slug; the partner is added if there is none of that name
        :param more: as for `invitations.invite`
        :return: the URL of the link
        """
        parts = self.installation
        with parts.database.transaction() as session:
            if partnership.find(session, partner) is None:
                partnership.add_partner(session, slug=partner, name="Demo Co-op")
                session.flush()
            link = invitations.invite(
                session,
                partner_slug=partner,
                external_id=external_id,
                name=name,
                lifetime=timedelta(days=parts.settings.link_lifetime_days),
                **more,
            )
            session.flush()
            return f"{self.public_url}/c/{parts.links.token(link.id)}"

    def log(self, name: str) -> str:
        """All that a process has printed so far, in all of its lives."""
        path = self._log_path(name)
        return path.read_text() if path.exists() else ""

    def logs(self) -> dict[str, str]:
        """What every process has printed, by name."""
        return {name: self.log(name) for name in self._logs}

    def _log_path(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _start(self, *names: str) -> None:
        """Start processes at the same time, and wait until all are up."""
        ready = {name: self._launch(name) for name in names}
        for name, is_ready in ready.items():
            self._wait(name, is_ready)

    def _launch(self, name: str) -> Callable[[], bool]:
        assert not self.is_running(name), f"{name} is running"
        if name not in self._logs:
            self._logs[name] = self._log_path(name).open("a", buffering=1)
        log, said = self._logs[name], self.log(name).count(WORKS)
        command, ready = {
            SANDBOX: (
                commands.sandbox(self._sandbox_port),
                lambda: answers(f"{self.sandbox_url}/control/accounts"),
            ),
            WEB: (
                commands.web(self._web_port),
                lambda: answers(f"http://127.0.0.1:{self._web_port}/health/ready"),
            ),
        }.get(name, (commands.worker(), lambda: self.log(name).count(WORKS) > said))
        self._children[name] = Child(
            name,
            command,
            env=self.environment,
            cwd=self.folder,
            sink=lambda line: _write(log, line),
        )
        return ready

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        def ready_or_ended() -> bool:
            assert self.is_running(name), f"{name} ended:\n{self._children[name].last_output()}"
            return ready()

        wait_until(ready_or_ended, what=f"{name} is up", limit=START_SECONDS)


def _write(log: TextIO, line: str) -> None:
    log.write(f"{line}\n")
