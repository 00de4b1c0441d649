"""The forms that growers send. Each is a button; what they carry is checked all the same."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import StringField
from wtforms.validators import AnyOf, Length, Optional


class StartForm(FlaskForm):  # type: ignore[misc]
    """Begin an attempt.

    `prompt=login` asks John Deere for another sign-in; `window=popup` says that a frame opened the
    page in a window of its own.
    """

    prompt = StringField(validators=[Optional(), AnyOf(["login"])])
    window = StringField(validators=[Optional(), AnyOf(["popup"])])


class StopForm(FlaskForm):  # type: ignore[misc]
    """Stop mails, or have them sent again: a button that carries nothing."""


class NewLinkForm(FlaskForm):  # type: ignore[misc]
    """Have a new link mailed: a button that carries nothing."""


class OrganizationsForm(FlaskForm):  # type: ignore[misc]
    """Go to John Deere's page for organizations, perhaps for one of them."""

    organization = StringField(validators=[Optional(), Length(max=64)])


class DisconnectForm(FlaskForm):  # type: ignore[misc]
    """End the connection."""
