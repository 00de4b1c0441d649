"""Those who live in the demo world: the simulated John Deere and Leaf say of them what we say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from markupsafe import escape

from onboarding import describe, schema, settings
from onboarding.clock import now
from onboarding.connections import checks, consent, incidents
from onboarding.installation import Installation, assemble
from onboarding.local import plan
from onboarding.local.world import making, residents, rows
from onboarding.models import Connection
from onboarding.states import Health
from tests.functional.sandbox.support import Grower, serving
from tests.support.control import Control
from tests.support.ports import free_port

HEALED = {
    "checking": "connected",
    "choice_unseen": "no_organization_chosen",
    "nothing_fetched": "connected",
    "organizations_unavailable": "no_organization_chosen",
    "unconfirmed": "connected",
}
"""What the next check finds to be well again, or to be known."""
OF_EACH = 2


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def parts(tmp_path: Path, port: int) -> Iterator[Installation]:
    """The app as `make run` sets it up."""
    made = plan.make({"SANDBOX_PORT": str(port), "PATH": os.environ["PATH"]}, tmp_path)
    environ = {name: value for name, value in made.environ.items() if name != "SANDBOX_CLOCK"}
    found = assemble(settings.load(environ, instance=tmp_path))
    schema.upgrade(found.database, found.settings.database_url)
    yield found
    found.database.engine.dispose()


@contextmanager
def _world(parts: Installation, folder: Path, port: int) -> Iterator[making.World]:
    world = making.make(parts.settings, now())
    file = folder / "residents.jsonl"
    residents.write(file, world.lives)
    with parts.database.transaction() as session:
        rows.write(session, parts.vault, world)
    with serving(folder / "sandbox.sqlite", port=port, residents=file):
        yield world


def _code(parts: Installation, connection: Connection) -> str:
    with parts.database.reading() as session:
        return describe.connection(
            connection,
            latest=consent.latest(session, connection.id),
            moment=now(),
            incident=incidents.of(session, connection),
        ).code


def test_a_check_of_anybody_finds_what_the_world_says(
    parts: Installation, port: int, tmp_path: Path
) -> None:
    leaf = parts.leaf()
    with _world(parts, tmp_path, port) as world:
        looked_at: dict[str, int] = {}
        for life, code in zip(world.lives, world.codes, strict=True):
            if not life.connection.is_at_leaf or looked_at.get(code, 0) == OF_EACH:
                continue
            looked_at[code] = looked_at.get(code, 0) + 1
            with parts.database.reading() as session:
                claimed = session.get_one(Connection, life.connection.id)
            # The first answer may owe a sync; what is known after the second is what stays.
            for _ in range(2):
                claimed = checks.note(parts.database, claimed, checks.ask(leaf, claimed))
            assert _code(parts, claimed) == HEALED.get(code, code)
    assert set(HEALED) < set(looked_at)


def test_leaf_takes_the_tokens_that_wait(parts: Installation, port: int, tmp_path: Path) -> None:
    leaf = parts.leaf()
    with _world(parts, tmp_path, port) as world:
        is_owed = {"waiting_for_leaf", "handing_over", "handing_over_late"}
        waiting = [
            life for life, code in zip(world.lives, world.codes, strict=True) if code in is_owed
        ]
        for life in waiting[:OF_EACH]:
            with parts.database.reading() as session:
                found = session.get_one(Connection, life.connection.id)
            taken = leaf.attach(
                found.grower.leaf_user_id or "",
                client_key=life.settings.deere_client_key,
                client_secret=life.settings.deere_client_secret,
                refresh_token=parts.vault.decrypt(
                    found.refresh_token or b"", place=found.token_place
                ),
                environment=life.settings.deere_environment,
            )
            assert taken.health is Health.OK


def test_they_can_sign_in_and_forgetting_everything_brings_them_back(
    parts: Installation, port: int, tmp_path: Path
) -> None:
    with _world(parts, tmp_path, port) as world:
        resident = next(life for life in world.lives if life.organizations)
        control = Control(f"http://127.0.0.1:{port}")
        control.reset()
        control.close()
        grower = Grower(f"http://127.0.0.1:{port}")
        signed_in = {
            "username": resident.person.email,
            "password": "sandbox",
            "next": "/connections",
        }
        page = grower.browser.post(f"{grower.url}/sign-in", data=signed_in, timeout=30)
        shared = [row.name for row in resident.organizations if row.connected]
        assert all(escape(name) in page.text for name in shared)
