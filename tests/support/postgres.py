"""A throw-away PostgreSQL server, made by Debian's own programs."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from uuid import uuid4

import psycopg

from onboarding.local.child import Child
from tests.support.wait import wait_until

SUPERUSER = "postgres"
START_SECONDS = 90.0
STOP_SECONDS = 60.0
SETTINGS = {"max_connections": "200", "listen_addresses": "", "timezone": "UTC"}
FAST_NOT_SAFE = {"fsync": "off", "full_page_writes": "off"}


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`, or None if there is no PostgreSQL server here.

    Debian keeps them off the PATH, in a folder for each version; the newest is taken.
    """
    on_path = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    versions = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=_version, reverse=True)
    for folder in [*map(Path, versions), *on_path]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


class Cluster:
    """A running server with a folder of its own; it is reached by a socket in that folder."""

    def __init__(self, folder_of_programs: Path, *, durable: bool = False) -> None:
        """
        :param durable: commit to the disk, as a real server does; tests are faster without
        """
        self._programs = folder_of_programs
        self._settings = SETTINGS if durable else SETTINGS | FAST_NOT_SAFE
        # Not below pytest's folders: as root, the server's user may not enter those.
        self._folder = Path(tempfile.mkdtemp(prefix="onboarding-postgres-"))
        self._as_user = _give_away(self._folder)
        self._log: list[str] = []
        self._server: Child | None = None
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        data = self._folder / "data"
        options = ["--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale"]
        subprocess.run(
            [*self._as_user, self._programs / "initdb", "-D", data, "-U", SUPERUSER, *options],
            check=True,
            capture_output=True,
            cwd=self._folder,
        )
        settings = self._settings | {"unix_socket_directories": str(self._folder)}
        self._server = Child(
            "postgres",
            [
                *self._as_user,
                str(self._programs / "postgres"),
                *["-D", str(data)],
                *(f"--{name}={value}" for name, value in settings.items()),
            ],
            env=os.environ,
            cwd=self._folder,
            sink=self._log.append,
            stop_with=signal.SIGINT,  # "fast": it does not wait for clients
        )
        wait_until(self._is_ready, what="PostgreSQL accepts connections", limit=START_SECONDS)

    def _is_ready(self) -> bool:
        if self._server is None or self._server.status is not None:
            raise RuntimeError("PostgreSQL ended:\n" + "\n".join(self._log))
        try:
            psycopg.connect(host=str(self._folder), user=SUPERUSER).close()
        except psycopg.OperationalError:
            return False
        return True

    def new_database(self, *, encoding: str = "UTF8", role: str = SUPERUSER) -> str:
        """Make an empty database.

        :param role: who uses it; any other one than the administrator may do there what everybody
            may
        :return: its URL, as for `DATABASE_URL`
        """
        name = f"test_{uuid4().hex}"
        with psycopg.connect(host=str(self._folder), user=SUPERUSER, autocommit=True) as server:
            server.execute(f"CREATE DATABASE \"{name}\" ENCODING '{encoding}' TEMPLATE template0")
            if role != SUPERUSER:
                server.execute(f'CREATE ROLE "{role}" LOGIN')
        return f"postgresql://{role}@/{name}?host={self._folder}"

    def stop(self) -> None:
        """End the server and remove its folder."""
        if self._server is not None:
            self._server.stop(STOP_SECONDS)
        shutil.rmtree(self._folder)


def _version(folder: str) -> float:
    try:
        return float(Path(folder).parent.name)
    except ValueError:
        return 0.0


def _give_away(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root. Returns what to put before its commands."""
    if os.geteuid() != 0:
        return []
    users = {user.pw_name: user for user in pwd.getpwall()}
    user = users.get("postgres") or users["nobody"]
    os.chown(folder, user.pw_uid, user.pw_gid)
    change = ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    return [shutil.which("setpriv") or "setpriv", *change, "--"]
