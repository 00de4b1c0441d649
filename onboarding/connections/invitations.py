"""Partners, growers and the links that they get."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import history
from onboarding.errors import InputInvalid
from onboarding.models import Connection, Grower, Link, Partner, locked
from onboarding.states import Cause, LinkKind, Stage
from onboarding.urls import HOST_AND_PORT, is_loopback

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
LEAF_USER = re.compile(r"[A-Za-z0-9-]{1,64}")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
PHONE = re.compile(r"\+?[0-9(][0-9 ()/.x-]{3,}")
SLUG_MAX = 64
NAME_MAX = 200
EXTERNAL_ID_MAX = 200
EMAIL_MAX = 254
PHONE_MAX = 40
URL_MAX = 500
LEAF_USER_MAX = 64
CHANGED = (
    *("name", "frame_origins", "return_urls", "select_organizations", "colour", "open_link"),
    *("support_name", "support_email", "support_phone", "support_url"),
)
"""What `change_partner` takes."""
USUAL_PORTS = {"https": 443, "http": 80}


def add_partner(
    session: Session,
    *,
    slug: str,
    name: str,
    frame_origins: Sequence[str] = (),
    return_urls: Sequence[str] = (),
    select_organizations: bool = False,
    open_link: bool = False,
    colour: str | None = None,
    support_name: str | None = None,
    support_email: str | None = None,
    support_phone: str | None = None,
    support_url: str | None = None,
) -> Partner:
    """A new partner.

    :param frame_origins: origins that may frame our pages, e.g. `https://portal.example.com`
    :param return_urls: where growers may be sent back to
    :param select_organizations: Leaf syncs nothing until organizations are chosen there
    :param open_link: whether anybody may ask for a link at `/j/<slug>`
    :raise InputInvalid: saying which value to change and how
    """
    if not SLUG.fullmatch(slug) or len(slug) > SLUG_MAX:
        raise InputInvalid(
            f"The slug must be at most {SLUG_MAX} small letters and digits, with single hyphens "
            f"between them; {slug!r} is not."
        )
    if session.scalar(sa.select(Partner.id).where(Partner.slug == slug)):
        raise InputInvalid(f"There is a partner {slug!r} already.")
    partner = Partner(slug=slug, created_at=now())
    change_partner(
        partner,
        name=name,
        frame_origins=frame_origins,
        return_urls=return_urls,
        select_organizations=select_organizations,
        open_link=open_link,
        colour=colour,
        support_name=support_name,
        support_email=support_email,
        support_phone=support_phone,
        support_url=support_url,
    )
    session.add(partner)
    return partner


def change_partner(
    partner: Partner,
    *,
    name: str,
    frame_origins: Sequence[str],
    return_urls: Sequence[str],
    select_organizations: bool,
    open_link: bool,
    colour: str | None,
    support_name: str | None,
    support_email: str | None,
    support_phone: str | None,
    support_url: str | None,
) -> None:
    """Give a partner these values, which are all checked first; its slug stays.

    :raise InputInvalid: saying which value to change and how
    """
    if colour and not COLOUR.fullmatch(colour):
        raise InputInvalid("The colour must look like #1a2b3c.")
    values = {
        "name": _text(name, "name", NAME_MAX),
        "colour": colour.lower() if colour else None,
        "support_name": _optional(support_name, "support name", NAME_MAX),
        "support_email": _email(support_email),
        "support_phone": _optional(support_phone, "support phone", PHONE_MAX),
        "support_url": _check_url(support_url, "support URL") if support_url else None,
        "frame_origins": [_origin(origin) for origin in frame_origins],
        "return_urls": [_check_url(url, "return URL") for url in return_urls],
        "select_organizations": select_organizations,
        "open_link": open_link,
    }
    for column, value in values.items():
        setattr(partner, column, value)


def invite(
    session: Session,
    *,
    partner_slug: str,
    external_id: str,
    name: str,
    lifetime: timedelta,
    email: str | None = None,
    phone: str | None = None,
    leaf_user_id: str | None = None,
) -> Link:
    """A new link for a grower, who is made or brought up to date first.

    :param external_id: the partner's own id of the grower
    :param leaf_user_id: the grower's Leaf user, if there is one already
    :raise InputInvalid: if the partner is unknown or a value can't be used
    """
    partner = session.scalar(partner_named(partner_slug))
    if partner is None:
        raise InputInvalid(
            f"There is no partner {partner_slug!r}. Add it with: "
            f"flask --app wsgi partner add {partner_slug} --name NAME"
        )
    name = _text(name, "name", NAME_MAX)
    grower = _grower(session, partner, _text(external_id, "external id", EXTERNAL_ID_MAX), name)
    bring_up_to_date(
        session, grower, name=name, email=email, phone=phone, leaf_user_id=leaf_user_id
    )
    return new_link(session, connection_of(session, grower.id), lifetime=lifetime)


def register(
    session: Session,
    partner: Partner,
    *,
    external_id: str,
    name: str,
    email: str | None = None,
    phone: str | None = None,
    leaf_user_id: str | None = None,
    who: str = history.STAFF,
) -> tuple[Grower, bool]:
    """A grower, made or brought up to date, without a link.

    :param who: tells it, for the history
    :return: also, whether they are new
    :raise InputInvalid: saying which value to change and how
    """
    name = _text(name, "name", NAME_MAX)
    external_id = _text(external_id, "external id", EXTERNAL_ID_MAX)
    known = session.scalar(
        sa.select(Grower.id).where(
            Grower.partner_id == partner.id, Grower.external_id == external_id
        )
    )
    grower = _grower(session, partner, external_id, name)
    bring_up_to_date(
        session,
        grower,
        name=name,
        email=email,
        phone=phone,
        leaf_user_id=leaf_user_id,
        who=who,
    )
    return grower, known is None


def bring_up_to_date(
    session: Session,
    grower: Grower,
    *,
    name: str,
    email: str | None = None,
    phone: str | None = None,
    leaf_user_id: str | None = None,
    who: str = history.STAFF,
) -> None:
    """Write down what is told of a grower. What is not told stays as it is.

    :param who: tells it, for the history
    :raise InputInvalid: saying which value to change and how
    """
    if leaf_user_id:
        # Before the grower is written: a worker, too, locks the connection first.
        leaf_user = _text(leaf_user_id, "Leaf user", LEAF_USER_MAX)
        _set_leaf_user(session, grower, leaf_user, who=who)
    if email:
        _set_address(session, grower, _email(email))
    if phone:
        grower.phone = check_phone(phone)
    grower.name = _text(name, "name", NAME_MAX)


def new_link(
    session: Session,
    connection: Connection,
    *,
    lifetime: timedelta,
    kind: LinkKind = LinkKind.INVITATION,
    return_url: str | None = None,
    who: str = history.STAFF,
) -> Link:
    """One more link for a grower. Those that they have go on working until they end.

    :param return_url: where the grower goes on afterwards; checked by the caller
    :param who: makes it, for the history
    """
    moment = now()
    link = Link(
        id=uuid4(),  # known before it is written
        grower=connection.grower,
        created_at=moment,
        expires_at=moment + lifetime,
        kind=kind,
        return_url=return_url,
    )
    session.add(link)
    if kind is LinkKind.INVITATION:
        history.record(session, connection, "link_made", who=who)
    return link


def partner_named(slug: str) -> sa.Select[Partner]:
    """The query for a partner."""
    return sa.select(Partner).where(Partner.slug == slug)


def revoke(session: Session, link: Link, *, who: str = history.STAFF) -> None:
    """Make a link worthless. Again is the same as once.

    :param who: does it, for the history
    """
    if link.revoked_at is None:
        link.revoked_at = now()
        history.record(session, connection_of(session, link.grower_id), "link_revoked", who=who)


def connection_of(session: Session, grower_id: UUID) -> Connection:
    """The grower's one John Deere connection."""
    return session.scalars(sa.select(Connection).where(Connection.grower_id == grower_id)).one()


def connection_id_of(session: Session, grower_id: UUID) -> UUID:
    """Its id alone, for who locks it next and reads it then."""
    return session.scalars(sa.select(Connection.id).where(Connection.grower_id == grower_id)).one()


def _grower(session: Session, partner: Partner, external_id: str, name: str) -> Grower:
    query = sa.select(Grower).where(
        Grower.partner_id == partner.id, Grower.external_id == external_id
    )
    if (known := session.scalar(query)) is not None:
        return known
    if not external_id.isprintable():
        raise InputInvalid("The external id must be one line of printable characters.")
    moment = now()
    try:
        with session.begin_nested():
            grower = Grower(partner=partner, external_id=external_id, name=name, created_at=moment)
            session.add(grower)
            session.add(Connection(grower=grower, created_at=moment))
            session.flush()
    except IntegrityError:
        return session.scalars(query).one()  # somebody else made it at this moment
    return grower


def _set_address(session: Session, grower: Grower, email: str | None) -> None:
    """Also the same once more: staff have made sure of it."""
    if grower.address_refused_at is not None:
        forget_refusal(session, locked(session, connection_id_of(session, grower.id)))
    grower.email = email


def forget_refusal(session: Session, connection: Connection) -> None:
    """Write to the grower again, also about what they could not be told meanwhile.

    :param connection: locked
    """
    connection.grower.address_refused_at = None
    connection.grower_acts_since = None  # so that the next look at Leaf owes the mail anew
    history.record(session, connection, "address_in_use_again")


def _set_leaf_user(session: Session, grower: Grower, leaf_user_id: str, *, who: str) -> None:
    owner = session.scalar(sa.select(Grower).where(Grower.leaf_user_id == leaf_user_id))
    if owner is not None and owner.id != grower.id:
        raise InputInvalid(
            f"Leaf user {leaf_user_id} belongs to grower {owner.external_id!r} of partner "
            f"{owner.partner.slug!r}; two growers can't share one."
        )
    if not LEAF_USER.fullmatch(leaf_user_id):
        raise InputInvalid(f"{leaf_user_id!r} is not the id of a Leaf user: copy it from Leaf.")
    connection = locked(session, connection_id_of(session, grower.id))
    session.refresh(grower)  # as it is under the lock
    if grower.leaf_user_id == leaf_user_id:
        return
    if grower.leaf_user_id and not _may_change_leaf_user(connection):
        raise InputInvalid(
            f"The grower has Leaf user {grower.leaf_user_id} already, and a credential there or "
            "on its way. If that is the wrong user, delete it at Leaf; once a hand-over has missed "
            "it there you can set another."
        )
    history.record(session, connection, "leaf_user_set", who=who, leaf_user=leaf_user_id)
    grower.leaf_user_id = leaf_user_id
    connection.post_began_at = None
    connection.credential_before_post = None
    if connection.stage is Stage.HANDING_OVER:
        # A try that has the old one in mind must not go on; the sweep enqueues the next.
        connection.hand_over_try += 1
        connection.hand_over_due_at = now()


def _may_change_leaf_user(connection: Connection) -> bool:
    """Whether no credential can be with the Leaf user that the grower has now."""
    traces = (connection.handed_over_at, connection.post_began_at, connection.stray_since)
    return connection.cause is Cause.LEAF_USER_MISSING or (
        connection.stage is not Stage.DISCONNECTING and not any(traces)
    )


def check_phone(value: str) -> str:
    """A telephone number as people write it.

    :raise InputInvalid: if it is none
    """
    number = value.strip()
    if len(number) > PHONE_MAX or not PHONE.fullmatch(number):
        raise InputInvalid(
            f"{value!r} is not a telephone number: write at most {PHONE_MAX} digits, spaces and "
            "+ ( ) / . -"
        )
    return number


def _text(value: str, what: str, limit: int) -> str:
    text = value.strip()
    if not text or len(text) > limit:
        raise InputInvalid(f"The {what} must have 1 to {limit} characters.")
    return text


def _optional(value: str | None, what: str, limit: int) -> str | None:
    return _text(value, what, limit) if value else None


def _email(value: str | None) -> str | None:
    if value and (len(value) > EMAIL_MAX or not EMAIL.fullmatch(value)):
        raise InputInvalid(f"{value!r} is not an e-mail address.")
    return value or None


def _check_url(value: str, what: str) -> str:
    _text(value, what, URL_MAX)
    if not _is_url(value):
        raise InputInvalid(f"The {what} must be an https:// URL; {value!r} is not.")
    return value


def _is_url(value: str) -> bool:
    """Whether a browser reads it as we do: what it would strip or repair is refused."""
    try:
        parts = urlsplit(value)
        secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(value))
        has_host = bool(HOST_AND_PORT.fullmatch(parts.netloc)) and parts.port != 0
    except ValueError:
        return False
    return secure and has_host and value.isprintable() and " " not in value


def _origin(value: str) -> str:
    """As browsers write it (RFC 6454): small letters, and no port where it is the usual one."""
    parts = urlsplit(_check_url(value, "frame origin"))
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    usual = parts.port in {None, USUAL_PORTS[parts.scheme]}
    origin = f"{parts.scheme}://{host}" if usual else f"{parts.scheme}://{host}:{parts.port}"
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise InputInvalid(
            f"A frame origin has a scheme, a host and perhaps a port, and no path: write "
            f"{origin} instead of {value!r}."
        )
    return origin
