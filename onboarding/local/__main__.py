"""Start everything: `python -m onboarding.local`, or `make run`.

With arguments it runs that one command of the app with the same settings, for example
`python -m onboarding.local link demo --external-id 7 --name "Oak Hollow"`.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from onboarding import settings
from onboarding.errors import OnboardingError, SettingsInvalid
from onboarding.local import commands
from onboarding.local import plan as planning
from onboarding.local.plan import PORTS, Plan
from onboarding.local.supervisor import ProgramEnded, StopAsked, Supervisor, answers
from onboarding.settings import Settings, read_environment

INSTANCE = Path("instance")
READY_SECONDS = 60.0
DEMO_PARTNER = "demo"
PORTAL_KEY = "portal-key"
RULE = "=" * 78
WIDTH = 26


def main(arguments: Sequence[str]) -> int:
    """Run until Ctrl-C.

    :return: exit status: 0 when stopped, 1 if a program ended by itself, 2 for wrong settings
    """
    try:
        plan = planning.make(read_environment(), INSTANCE)
        if arguments:
            command = commands.flask(*arguments)
            # No shell is meant to be between: what was typed is handed on word by word.
            os.execve(command[0], command, dict(plan.environ))  # noqa: S606
        mode = _mode(settings.load(plan.environ, instance=INSTANCE))
        _check_ports(plan)
    except SettingsInvalid as err:
        _write(str(err))
        return 2
    try:
        with Supervisor(plan.environ, _say) as supervisor:
            _write(f"{mode}. Starting…")
            world = _start(supervisor, plan)
            _write(_in_short(supervisor, plan, mode, world))
            supervisor.watch()
    except (StopAsked, KeyboardInterrupt):
        _write("Stopped.")
        return 0
    except OnboardingError as err:
        _write(f"{err}\nEverything is stopped.")
        return 1
    return 0


def _start(supervisor: Supervisor, plan: Plan) -> dict[str, Any]:
    """Start all of it.

    :return: what there is to tell of the demo world; empty without it
    """
    supervisor.command("db upgrade", commands.flask("db", "upgrade"))
    world = _make_world(supervisor, plan)
    if plan.sandbox:
        supervisor.start("sandbox", commands.sandbox(plan.sandbox_port))
    portal = _prepare_portal(supervisor, plan, world.get("partner")) if plan.sandbox else {}
    supervisor.start("web", commands.web(plan.port))
    supervisor.start("worker", commands.worker())
    if plan.sandbox:
        supervisor.wait_until(
            lambda: answers(f"{plan.sandbox_url}/control/accounts"),
            limit=READY_SECONDS,
            what="the sandbox",
        )
    supervisor.wait_until(
        lambda: answers(
            f"http://127.0.0.1:{plan.port}/health/ready", host=urlsplit(plan.public_url).netloc
        ),
        limit=READY_SECONDS,
        what=f"{plan.public_url}/health/ready",
    )
    if plan.sandbox:
        supervisor.start("portal", commands.portal(plan.portal_port), portal)
    return world


def _prepare_portal(supervisor: Supervisor, plan: Plan, partner: str | None) -> dict[str, str]:
    """Let the sample portal show frames, and have a key: the whole environment of its program.

    :param partner: one of the demo world; None: the demo partner, who is made if need be
    """
    if partner is None:
        _add_demo_partner(supervisor)
    slug, kept = partner or DEMO_PARTNER, INSTANCE / PORTAL_KEY
    supervisor.command("portal", commands.portal_key(slug, plan.portal_url, kept))
    own = {"CONNECT_URL": plan.public_url, "CONNECT_PARTNER": slug}
    inherited = {
        name: plan.environ[name] for name in ("PATH", "PYTHONPATH") if name in plan.environ
    }
    return inherited | own | {"CONNECT_KEY": kept.read_text().strip()}


def _make_world(supervisor: Supervisor, plan: Plan) -> dict[str, Any]:
    if plan.residents is None:
        return {}
    made: dict[str, Any] = json.loads(supervisor.command("world", commands.world(plan.residents)))
    return made


def _in_short(supervisor: Supervisor, plan: Plan, mode: str, world: Mapping[str, Any]) -> str:
    what = _open_sandbox(supervisor, plan, world) if plan.sandbox else _open_app(plan)
    return "\n".join(["", RULE, f"  {mode.upper()}", RULE, *what, "", "  Stop: Ctrl-C", RULE])


def _mode(found: Settings) -> str:
    if found.is_sandbox:
        return "Sandbox: nothing here reaches John Deere or Leaf"
    return f"The real John Deere ({found.deere_environment}) and the real Leaf"


def _open_link(plan: Plan, world: Mapping[str, Any]) -> list[str]:
    if not world.get("open_link"):
        return []
    return [f"  For who has none: {plan.public_url}/j/{world['partner']}"]


def _open_sandbox(supervisor: Supervisor, plan: Plan, world: Mapping[str, Any]) -> list[str]:
    link = _demo_link(supervisor, world.get("partner"))
    # The address is of our own making, of the sandbox that was just started here.
    with urllib.request.urlopen(f"{plan.sandbox_url}/control/accounts", timeout=10) as answer:  # noqa: S310
        known = json.load(answer)
    width = max(len(account["name"]) for account in known["accounts"])
    return [
        "",
        f"  A grower's link:  {link}",
        *_open_link(plan, world),
        "",
        f"  The dashboard:    {plan.public_url}/staff/",
        *_staff(world.get("staff", [])),
        "",
        f"  Sandbox accounts (password: {known['password']})",
        *(f"    {account['name']:{width}}  {account['does']}" for account in known["accounts"]),
        "",
        f"  Faults, policies and everything that was sent: {plan.sandbox_url}/control",
        f"  Mails to growers: {plan.sandbox_url}/mail",
        f"  A partner's portal, with the frame: {plan.portal_url}",
        *_more(plan),
    ]


def _staff(known: Sequence[Mapping[str, Any]]) -> list[str]:
    """Who can sign in to the dashboard, and how."""
    lines = [
        f"    {one['email']:{WIDTH}}  {one['password'] or 'as printed':{WIDTH}}  "
        f"{one['role']}, sees {one['sees']}"
        for one in known
    ]
    if known and not known[0]["password"]:
        lines.append("    They were printed when the demo world was made, and no copy is kept:")
        lines.append("    “staff link” below makes a link to set another one.")
    return lines


def _open_app(plan: Plan) -> list[str]:
    return [
        "",
        f"  The app: {plan.public_url}",
        "",
        "  To be registered at John Deere as redirect URIs, exactly so:",
        f"    {plan.public_url}/deere/callback",
        f"    {plan.public_url}/deere/organizations",
        *_more(plan),
    ]


def _more(plan: Plan) -> list[str]:
    ports = [f"{name}={port} " for name, port in plan.ports.items() if port != PORTS[name]]
    own = f"{''.join(ports)}{os.path.relpath(sys.executable)} -m onboarding.local"
    return [
        "",
        "  In another window, with the same settings:",
        f'    {own} partner add SLUG --name "Name of the company"',
        f'    {own} link SLUG --external-id ID --name "Name of the grower"',
        f"    {own} staff add EMAIL --role administrator",
        *([f"    {own} staff link EMAIL"] if plan.sandbox else []),
        f"    {own} doctor",
    ]


def _demo_link(supervisor: Supervisor, partner: str | None) -> str:
    """A link for a grower who stays the same from run to run.

    It is mailed as well, so that the sandbox's mail server has something to show.

    :param partner: one of the demo world; None: the demo partner, who is made if need be
    """
    if partner is None:
        _add_demo_partner(supervisor)
    grower = ["--external-id", "demo-1", "--name", "Maple Farm"]
    grower += ["--email", "maple@farm.example", "--send"]
    return supervisor.command(
        "link", commands.flask("link", partner or DEMO_PARTNER, *grower)
    ).strip()


def _add_demo_partner(supervisor: Supervisor) -> None:
    try:
        supervisor.command(
            "partner add", commands.flask("partner", "add", DEMO_PARTNER, "--name", "Demo Co-op")
        )
    except ProgramEnded as err:
        if "already" not in str(err):
            raise


def _check_ports(plan: Plan) -> None:
    for name, port in plan.ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as err:
                raise SettingsInvalid(
                    f"Port {port} can't be used ({err.strerror}). Is another `make run` running? "
                    f"Stop what uses it, or choose another port: make run {name}={port + 10}"
                ) from err


def _say(name: str, line: str) -> None:
    _write(f"{name:8}| {line}")


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
