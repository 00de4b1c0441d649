"""Checks an installation and says, one line each, what is wrong and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from onboarding import clock, describe, schema
from onboarding.connections import applications, attention, checks, incidents, mails, pace
from onboarding.connections.registration import CREDENTIAL_EVENTS
from onboarding.connections.workers import SILENT_AFTER
from onboarding.errors import MailDelayed, TokenUnreadable, UpstreamError
from onboarding.installation import METADATA_COPY, Installation
from onboarding.models import Application, Connection, Organization, Worker
from onboarding.settings import SECRET_KEY_MIN_CHARS
from onboarding.staff import system
from onboarding.states import Environment
from onboarding.vault import HEAD_BYTES

STAGE_ORGANIZATIONS = 5
CHECKS_LATE = timedelta(days=1)


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    fine: bool
    text: str


def examine(installation: Installation) -> Iterator[Finding]:
    """Every check in turn; a check that fails does not stop the next."""
    yield _world(installation)
    yield from _database(installation)
    yield _deere(installation)
    yield from _applications(installation)
    leaf = _leaf(installation)
    yield leaf
    if leaf.fine:
        yield _alerts(installation)
    yield _mail(installation)
    yield from _redirect_uris(installation)
    yield from _company(installation)


def _world(installation: Installation) -> Finding:
    settings = installation.settings
    if settings.is_sandbox:
        ahead = clock.ahead() / timedelta(days=1)
        moved = f" Its clock is ahead of the real time, in days: {ahead:.4g}." if ahead else ""
        return Finding(True, f"Sandbox: nothing reaches John Deere or Leaf.{moved}")
    return Finding(True, f"Real services, John Deere application in {settings.deere_environment}.")


def _database(installation: Installation) -> Iterator[Finding]:
    database = installation.database
    kind = database.engine.dialect.name
    try:
        current = schema.is_current(database)
    except SQLAlchemyError:
        yield Finding(False, f"Database ({kind}) can't be reached: check DATABASE_URL.")
        return
    if not current:
        unfitness = schema.unfitness(database) or "run flask --app wsgi db upgrade"
        yield Finding(False, f"Database ({kind}) is not up to date: {unfitness}")
        return
    yield Finding(True, f"Database ({kind}) is up to date.")
    yield _keys(installation)
    yield _worker(installation)
    yield from _incidents(installation)
    yield _attention(installation)
    yield _pace(installation)
    yield _checks(installation)
    yield from _undelivered(installation)
    yield from _webhooks(installation)
    yield from _stage_limits(installation)


def _keys(installation: Installation) -> Finding:
    """Whether the keys are there with which the waiting tokens were encrypted.

    Of applications `_applications` says it, one by one.
    """
    head = sa.func.substr(Connection.refresh_token, 1, HEAD_BYTES, type_=sa.LargeBinary)
    waiting = sa.select(head).where(Connection.refresh_token.is_not(None))
    with installation.database.reading() as session:
        heads = session.scalars(waiting.distinct()).all()
    if not all(map(installation.vault.has_key_of, heads)):
        return Finding(
            False, "ENCRYPTION_KEYS can't read a waiting token: bring the old key back, as well."
        )
    count = len(installation.settings.encryption_keys)
    return Finding(
        True,
        f"Keys: SECRET_KEY has {SECRET_KEY_MIN_CHARS} characters or more, ENCRYPTION_KEYS has "
        f"{count}.",
    )


def _worker(installation: Installation) -> Finding:
    alive_since = clock.real() - SILENT_AFTER
    with installation.database.reading() as session:
        alive = session.scalar(
            sa.select(sa.func.count()).select_from(Worker).where(Worker.seen_at > alive_since)
        )
    if not alive:
        return Finding(False, "No worker runs: start one with flask --app wsgi worker")
    return Finding(True, f"Workers running: {alive}.")


def _incidents(installation: Installation) -> Iterator[Finding]:
    """Trouble of many at once: one finding of a kind, instead of one for each of them."""
    with installation.database.reading() as session:
        found = incidents.present(session)
    for incident in found:
        yield Finding(False, describe.incident_for_staff(incident))
    if not found:
        yield Finding(True, "No incident at John Deere is known.")


def _attention(installation: Installation) -> Finding:
    with installation.database.reading() as session:
        waiting = attention.count(session)
    if waiting:
        return Finding(
            False, f"Connections that wait for staff: {waiting}. flask --app wsgi connection list"
        )
    return Finding(True, "No connection waits for staff.")


def _pace(installation: Installation) -> Finding:
    """What the workers have found out about Leaf."""
    with installation.database.reading() as session:
        known = pace.word(session)
    if known.down_since is not None:
        return Finding(
            False,
            f"Leaf is down for the workers since {known.down_since:%Y-%m-%d %H:%M} UTC "
            f"({known.reason}). They go on by themselves once it answers.",
        )
    if known.paused_until is not None:
        return Finding(
            False,
            f"Leaf's limit is reached: workers wait until {known.paused_until:%H:%M:%S} UTC. If "
            "it happens often, set LEAF_REQUESTS_PER_MINUTE lower, or ask Leaf for more.",
        )
    return Finding(True, "The workers may ask Leaf.")


def _checks(installation: Installation) -> Finding:
    """Whether Leaf's limit leaves room for a check of every connection each day."""
    with installation.database.reading() as session:
        late = checks.late_by(session)
    if late < CHECKS_LATE:
        return Finding(True, "Checks come in time.")
    return Finding(
        False,
        f"Checks are {late / timedelta(hours=1):.0f} hours late. Have the workers been away? Else "
        "there are more connections than LEAF_REQUESTS_PER_MINUTE allows to check each day.",
    )


def _undelivered(installation: Installation) -> Iterator[Finding]:
    with installation.database.reading() as session:
        count = mails.count_undelivered(session)
    if count:
        yield Finding(False, f"Growers whom no mail reaches: {count}. flask --app wsgi mail list")


def _webhooks(installation: Installation) -> Iterator[Finding]:
    """Whether partners' programs are told, as the system page says it."""
    with installation.database.reading() as session:
        found = system.read(session, installation.vault, metadata=METADATA_COPY)
    rows = found.rows
    if rows.endpoints_failing:
        yield Finding(
            False,
            f"Webhook endpoints that fail, or are paused since they failed: "
            f"{rows.endpoints_failing}. The partner's page says with what: flask --app wsgi "
            "webhook list SLUG",
        )
    if rows.oldest_webhook is not None and found.is_late(rows.oldest_webhook, system.WEBHOOKS_LATE):
        yield Finding(
            False,
            f"A webhook has waited since {rows.oldest_webhook:%Y-%m-%d %H:%M} UTC, though its "
            "endpoint works. Have the workers been away? Else start one more.",
        )
    if rows.endpoints:
        told = [f"Webhook endpoints that take what is sent: {rows.endpoints_working}"]
        if rows.endpoints_failing_lately:
            told.append(f"failing for less than an hour: {rows.endpoints_failing_lately}")
        if rows.endpoints_paused:
            told.append(f"paused by hand: {rows.endpoints_paused}")
        yield Finding(True, "; ".join(told) + ".")


def _stage_limits(installation: Installation) -> Iterator[Finding]:
    """An application in STAGE can connect five organizations; the sixth grower is refused."""
    settings = installation.settings
    default = (settings.deere_client_key, settings.deere_environment)
    known = (Connection.client_key, Connection.environment)
    used = (
        sa.select(*known, sa.func.count(Organization.deere_id.distinct()))
        .join(Organization, Organization.connection_id == Connection.id)
        .where(Organization.connected)
        .group_by(*known)
    )
    with installation.database.reading() as session:
        counts: Counter[tuple[str, Environment]] = Counter()
        for client_key, environment, number in session.execute(used):
            counts[client_key or default[0], environment or default[1]] += number
        names = {
            (one.client_key, one.environment): f"Application {one.name}: "
            for one in session.scalars(sa.select(Application))
        }
    for application, name in {default: "", **names}.items():
        if application[1] is not Environment.STAGE:
            continue
        text = (
            f"{name}STAGE allows {STAGE_ORGANIZATIONS} organizations in all, "
            f"{counts[application]} are connected."
        )
        if counts[application] < STAGE_ORGANIZATIONS or settings.is_sandbox:
            yield Finding(True, text)
        else:
            yield Finding(False, f"{text} Ask John Deere for production, or end connections there.")


def _deere(installation: Installation) -> Finding:
    def sign() -> None:
        installation.deere.check_metadata()

    issuer = installation.settings.deere_issuer
    return _call(
        sign,
        fine=f"John Deere's metadata is there, its issuer is {issuer}.",
        wrong="Check DEERE_METADATA_URL and the way out of this network.",
    )


def _applications(installation: Installation) -> Iterator[Finding]:
    """Each application besides the default one: its secret can be read, its sign-in is there."""
    try:
        with installation.database.reading() as session:
            found = session.scalars(sa.select(Application).order_by(Application.name)).all()
    except SQLAlchemyError:
        return  # said already
    for application in found:
        yield _application(installation, application)


def _application(installation: Installation, application: Application) -> Finding:
    named = f"Application {application.name} ({application.environment})"
    try:
        own = applications.complete(installation.settings, installation.vault, application)
    except TokenUnreadable:
        return Finding(
            False,
            f"{named}: no key in ENCRYPTION_KEYS reads its secret. Bring the old key back, or give "
            "the secret again: flask --app wsgi application replace-secret",
        )
    return _call(
        lambda: installation.clients.of(own).check_metadata(),
        fine=f"{named}: its secret can be read, its issuer is {own.deere_issuer}.",
        wrong=f"Check the metadata URL of {named}, and the way out of this network.",
    )


def _leaf(installation: Installation) -> Finding:
    return _call(
        installation.leaf().sign_in,
        fine=f"Leaf accepts the sign-in of {installation.settings.leaf_username}.",
        wrong="Check LEAF_USERNAME, LEAF_PASSWORD and LEAF_API_URL.",
    )


def _mail(installation: Installation) -> Finding:
    mailing = installation.settings.mail
    if mailing is None:
        return Finding(True, "Mail is off: MAIL_URL is not set.")
    try:
        mails.check(installation.settings)
    except MailDelayed as err:
        return Finding(False, f"Mail server {mailing.server.host}: {err}. Check MAIL_URL.")
    signed_in = "accepts our sign-in" if mailing.server.user else "answers, without a sign-in"
    return Finding(
        True, f"Mail server {mailing.server.host} {signed_in}; from {mailing.sender.address}."
    )


def _call(action: Callable[[], None], *, fine: str, wrong: str) -> Finding:
    try:
        action()
    except UpstreamError as err:
        return Finding(False, f"{err}. {wrong}")
    return Finding(True, fine)


def _redirect_uris(installation: Installation) -> Iterator[Finding]:
    settings = installation.settings
    for url in (settings.callback_url, settings.organizations_url):
        yield Finding(True, f"Redirect URI to register at John Deere: {url}")


def _company(installation: Installation) -> Iterator[Finding]:
    """Whether staff can sign in by the company's identity provider, if they are to."""
    company = installation.company
    if company is None:
        return
    yield _call(
        company.check,
        fine="The company’s sign-in is there, with its keys.",
        wrong="Check STAFF_OIDC_METADATA_URL and the way out of this network.",
    )
    url = installation.settings.company_callback_url
    yield Finding(True, f"Redirect URI to register at the company’s sign-in: {url}")


def _alerts(installation: Installation) -> Finding:
    """Whether Leaf tells us when a credential stops working."""
    settings = installation.settings
    if not settings.leaf_alert_secret:
        return Finding(
            True,
            "Leaf's alerts are off: LEAF_ALERT_SECRET is not set. Trouble is found within a day.",
        )
    try:
        found = installation.leaf().webhooks.all(secret=settings.leaf_alert_secret)
    except UpstreamError as err:
        return Finding(False, f"{err}. Whether Leaf's alerts are registered is not known.")
    ours = [
        one for one in found if one.url == settings.alerts_url and one.holds_secret is not False
    ]
    events = {event for webhook in ours for event in webhook.events}
    if events.issuperset(CREDENTIAL_EVENTS):
        return Finding(True, f"Leaf sends its alerts to {settings.alerts_url}.")
    return Finding(
        settings.is_sandbox,
        f"Leaf does not send its alerts to {settings.alerts_url}: run flask --app wsgi leaf alerts "
        "register",
    )
