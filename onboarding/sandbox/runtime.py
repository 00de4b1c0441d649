"""What every part of a running sandbox needs, in one place."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from flask import Response, current_app, request

from onboarding.errors import InputInvalid
from onboarding.sandbox.alerts import Alerts
from onboarding.sandbox.clock import Clock
from onboarding.sandbox.config import Config
from onboarding.sandbox.faults import Faults
from onboarding.sandbox.grants import Grants
from onboarding.sandbox.journal import Journal
from onboarding.sandbox.mailbox import Mailbox
from onboarding.sandbox.pace import Pace
from onboarding.sandbox.policies import Policies
from onboarding.sandbox.residents import Residents
from onboarding.sandbox.smtp import Sink
from onboarding.sandbox.store import Store

View = TypeVar("View", bound=Callable[..., Any])

POINT = "__sandbox_point__"


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """One running sandbox."""

    config: Config
    clock: Clock
    store: Store
    policies: Policies
    residents: Residents
    grants: Grants
    faults: Faults
    journal: Journal
    pace: Pace
    alerts: Alerts
    mailbox: Mailbox
    mail_server: Sink | None
    """None: no port was given for it."""

    def reset(self) -> None:
        """Forget everything: state, faults, policies, journal, and how far the clock stood ahead.

        Held requests go on.
        """
        self.store.wipe()
        self.residents.settle()
        self.policies.reset()
        self.journal.reset()
        self.pace.reset()
        self.faults.remove()
        self.clock.reset()

    def close(self) -> None:
        """Write what is still in memory and let port and database go."""
        self.alerts.close()
        if self.mail_server is not None:
            self.mail_server.close()
        self.journal.close()
        self.store.close()


def sandbox() -> Sandbox:
    """The sandbox that answers the current request."""
    return cast(Sandbox, current_app.extensions["sandbox"])


def at(point: str) -> Callable[[View], View]:
    """Name the point of a view: where faults strike and what the journal calls it."""

    def mark(view: View) -> View:
        setattr(view, POINT, point)
        return view

    return mark


def json_object() -> dict[str, Any]:
    """The JSON object that a request to the control API brings.

    :raise InputInvalid: if it is something else
    """
    body = request.get_json()
    if not isinstance(body, dict):
        raise InputInvalid("The body must be an object.")
    return body


def as_json(body: Any, status: int = 200, *, content_type: str = "application/json") -> Response:
    """A JSON answer."""
    return Response(json.dumps(body), status, content_type=content_type)
