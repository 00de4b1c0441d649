"""Where a grower ends the connection. Whoever may see its page may do it, and nobody else."""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, abort, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from onboarding.connections import disconnect as ending
from onboarding.connections import growers, history
from onboarding.errors import InputInvalid
from onboarding.forms import DisconnectForm
from onboarding.views.grower import accent_url, usable_link
from onboarding.views.limits import START_PER_ADDRESS, START_PER_LINK, limiter, link_in_path
from onboarding.views.parts import installation

bp = Blueprint("disconnect", __name__)


@bp.get("/c/<token>/disconnect")
def show(token: str) -> ResponseReturnValue:
    """What disconnecting means, and the button. It changes nothing."""
    with installation().database.reading() as session:
        link = usable_link(session, token)
        connection = growers.connection_of(session, link.grower_id)
    if not connection.can_be_disconnected:
        return redirect(url_for("connect.show", token=token), 303)
    partner = link.grower.partner
    return render_template(
        "connect/disconnect.html",
        partner=partner,
        accent_url=accent_url(partner),
        grower_name=link.grower.name,
        form=DisconnectForm(),
        link_token=token,
        has_reached_leaf=connection.handed_over_at is not None,
    )


@bp.post("/c/<token>/disconnect")
@limiter.limit(START_PER_ADDRESS)
@limiter.limit(START_PER_LINK, key_func=link_in_path)
def disconnect(token: str) -> ResponseReturnValue:
    """End the connection. The page that follows says how far that is."""
    if not DisconnectForm().validate_on_submit():
        abort(400)
    parts = installation()
    with parts.database.transaction() as session:
        connection = growers.connection_of(session, usable_link(session, token).grower_id)
        with suppress(InputInvalid):  # it has ended by now
            ending.ask(session, parts.queue, connection, who=history.GROWER)
    return redirect(url_for("connect.show", token=token), 303)
