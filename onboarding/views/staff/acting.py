"""What all actions on one connection have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from flask import flash, redirect
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from onboarding.errors import InputInvalid
from onboarding.models import Connection
from onboarding.staff import audit
from onboarding.views.parts import installation
from onboarding.views.staff.forms import only_by_button
from onboarding.views.staff.parts import connection_url, member, visible_connection

P = ParamSpec("P")


@dataclass(frozen=True)
class Done:
    """Something was done."""

    said: str = ""
    """To who did it."""
    audited: Mapping[str, Any] = field(default_factory=dict)
    """What else the audit has of it."""
    url: str = ""
    """Where they go on; default: the connection's page."""


Deed = Callable[Concatenate[Session, Connection, P], Done | tuple[str, int]]


def acts(action: str) -> Callable[[Deed[P]], Callable[..., ResponseReturnValue]]:
    """Make a view of what is done with a connection that the member sees.

    It is done and put down in the audit by one transaction. What can't be done is said on the
    connection's page. Where the deed answers by a page, nothing was done: the form is shown again.

    :param action: as the audit names it
    """

    def decorate(deed: Deed[P]) -> Callable[..., ResponseReturnValue]:
        @wraps(deed)
        def view(reference: str, *more: P.args, **given: P.kwargs) -> ResponseReturnValue:
            only_by_button()
            here = connection_url(reference.upper())
            try:
                with installation().database.transaction() as session:
                    found = visible_connection(session, reference)
                    done = deed(session, found, *more, **given)
                    if not isinstance(done, Done):
                        return done
                    audit.record(session, member(), action, connection=found, **done.audited)
            except InputInvalid as err:
                flash(str(err), "error")
                return redirect(here, 303)
            if done.said:
                flash(done.said, "message")
            return redirect(done.url or here, 303)

        return view

    return decorate
