"""The forms that growers send. Most are a button; what they carry is checked all the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from flask_wtf import FlaskForm
from wtforms import EmailField, Field, StringField, TelField
from wtforms.validators import AnyOf, DataRequired, Length, Optional, ValidationError

from onboarding.connections.accepted import EMAIL, EMAIL_MAX, PHONE, PHONE_MAX
from onboarding.connections.open_link import Asked
from onboarding.i18n import gettext as _
from onboarding.i18n import mark
from onboarding.mail.address import on_the_wire
from onboarding.redaction import one_line

POPUP = "popup"
"""What `window` says of a window that a frame has opened."""
TYPED_MAX = 100
"""Characters of a name that anybody may type."""
ALL_OF_IT = 10_000
DOMAIN = re.compile(r"([A-Za-z0-9-]+\.)+[A-Za-z][A-Za-z0-9-]+")
"""A name, and not the number of a machine: anybody may type it."""


class Form(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """What all forms are; those of staff, too."""


def _window() -> StringField:
    """`popup`: a frame opened the page in a window of its own."""
    return StringField(validators=[Optional(), AnyOf([POPUP])])


class StartForm(Form):
    """Begin an attempt.

    `prompt=login` asks John Deere for another sign-in.
    """

    prompt = StringField(validators=[Optional(), AnyOf(["login"])])
    window = _window()


class StopForm(Form):
    """Stop mails, or have them sent again: a button that carries nothing."""


class NewLinkForm(Form):
    """Have a new link mailed: a button that carries nothing."""


class OrganizationsForm(Form):
    """Go to John Deere's page for organizations, perhaps for one of them."""

    organization = StringField(validators=[Optional(), Length(max=64)])
    window = _window()


class DisconnectForm(Form):
    """End the connection."""


def _line(text: str | None) -> str:
    return one_line(text or "", limit=ALL_OF_IT)


def _at_most(limit: int, text: str) -> Callable[[Any, Field], None]:
    """Not by `Length`, whose `maxlength` lets browsers cut what is pasted without a word."""

    def check(_form: Any, field: Field) -> None:
        if len(field.data) > limit:
            raise ValidationError(_(text) % {"limit": limit})

    return check


def _is_address(_form: Any, field: Field) -> None:
    address = on_the_wire(field.data) if EMAIL.fullmatch(field.data) else None
    if address is None or not DOMAIN.fullmatch(address.rpartition("@")[2]):
        raise ValidationError(_("Write the whole address, like anna@farm.example."))


def _is_phone(_form: Any, field: Field) -> None:
    if field.data and (len(field.data) > PHONE_MAX or not PHONE.fullmatch(field.data)):
        raise ValidationError(_("Write it with digits, spaces and + ( ) / . - only, or leave it."))


TOO_LONG = mark("Make it shorter: at most %(limit)s characters.")


class OpenLinkForm(Form):
    """Ask for a link of one's own.

    `website` is for programs: people do not see it, and leave it empty.
    """

    farm = StringField(
        _("Farm"),
        filters=[_line],
        validators=[
            DataRequired(_("Write the name of your farm.")),
            _at_most(TYPED_MAX, TOO_LONG),
        ],
        render_kw={"autocomplete": "organization"},
    )
    person = StringField(
        _("Your name"),
        filters=[_line],
        validators=[DataRequired(_("Write your name.")), _at_most(TYPED_MAX, TOO_LONG)],
        render_kw={"autocomplete": "name"},
    )
    email = EmailField(
        _("E-mail"),
        filters=[_line],
        validators=[
            DataRequired(_("Write your e-mail address: your link comes there.")),
            _at_most(EMAIL_MAX, TOO_LONG),
            _is_address,
        ],
        render_kw={
            "autocomplete": "email",
            "inputmode": "email",
            "autocapitalize": "none",
            "spellcheck": "false",
        },
    )
    phone = TelField(
        _("Phone (if you like)"),
        filters=[_line],
        validators=[_is_phone],
        render_kw={"autocomplete": "tel", "inputmode": "tel"},
    )
    website = StringField(_("Leave this empty"))

    @property
    def first_wrong(self) -> str | None:
        """The name of the first field with something to change."""
        typed = (self.farm, self.person, self.email, self.phone)
        return next((field.name for field in typed if field.errors), None)

    def asked(self) -> Asked:
        """What was typed, as the use case takes it."""
        return Asked(
            farm=self.farm.data,
            person=self.person.data,
            email=self.email.data,
            phone=self.phone.data or None,
        )

    @property
    def is_by_a_program(self) -> bool:
        """Whether something was typed where people see no field."""
        return bool(self.website.data)
