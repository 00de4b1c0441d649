"""Whether the installation works."""

from __future__ import annotations

from collections.abc import Iterator

from flask import render_template
from flask.typing import ResponseReturnValue

from onboarding.i18n import gettext as _
from onboarding.installation import METADATA_COPY
from onboarding.staff import system as reading
from onboarding.staff.system import (
    CHECKS_LATE,
    HAND_OVER_LATE,
    MAIL_LATE,
    MANY,
    WEBHOOKS_LATE,
    System,
)
from onboarding.states import Role
from onboarding.version import VERSION
from onboarding.views.parts import installation
from onboarding.views.staff.parts import bp, member, staff_only

MEBIBYTE = 1024 * 1024


@bp.get("/system")
@staff_only(Role.VIEWER)
def system() -> ResponseReturnValue:
    """Workers, what waits, those whom we ask, keys, database.

    Who is limited to some partners sees what is about nobody's connections.
    """
    parts = installation()
    with parts.database.reading() as session:
        found = reading.read(session, parts.vault, metadata=METADATA_COPY)
    sees_all = member().partners is None
    return render_template(
        "staff/system.html",
        found=found,
        rows=found.rows,
        settings=parts.settings,
        sees_all=sees_all,
        wrong=[*_wrong_for_all(found), *(_wrong(found) if sees_all else ())],
        limit=MANY,
        database=parts.database.engine.dialect.name,
        mebibytes=found.rows.size / MEBIBYTE,
        version=VERSION,
    )


def _wrong_for_all(found: System) -> Iterator[str]:
    """What does not work, and what to do; the worst first."""
    if not found.workers:
        yield _(
            "No worker runs: nothing is handed to Leaf, checked or mailed. Start one with flask "
            "--app wsgi worker. Nothing is lost meanwhile."
        )
    if found.leaf.down_since is not None:
        yield _("Leaf does not answer. The workers go on by themselves once it does.")
    if found.leaf.paused_until is not None:
        yield _(
            "Leaf’s limit is reached, so the workers pause. If it happens often, set "
            "LEAF_REQUESTS_PER_MINUTE lower, or ask Leaf for more."
        )


def _wrong(found: System) -> Iterator[str]:
    rows = found.rows
    if rows.unreadable:
        yield _("ENCRYPTION_KEYS can’t read waiting tokens: bring the old key back, as well.")
    if found.is_late(rows.oldest_token, HAND_OVER_LATE):
        yield _("A hand-over has waited for more than an hour. Its page says why.")
    if found.is_late(rows.oldest_check, CHECKS_LATE):
        yield _(
            "Checks are more than a day late. Have the workers been away? Else there are more "
            "connections than LEAF_REQUESTS_PER_MINUTE allows to check each day."
        )
    if found.is_late(rows.oldest_mail, MAIL_LATE) and installation().settings.mail is not None:
        yield _("A mail has waited for more than an hour. Does the mail server answer?")
    if found.is_late(rows.oldest_webhook, WEBHOOKS_LATE):
        yield _(
            "A webhook has waited for more than an hour, though its endpoint works. Have the "
            "workers been away? Else start one more."
        )
