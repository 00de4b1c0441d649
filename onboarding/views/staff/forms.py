"""Forms about the accounts of staff, and the form that is only a button."""

from __future__ import annotations

from collections.abc import Iterable

from flask import abort
from wtforms import EmailField, HiddenField, PasswordField, SelectMultipleField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length
from wtforms.widgets import CheckboxInput, ListWidget

from onboarding.forms import Form
from onboarding.i18n import gettext as _
from onboarding.i18n import mark
from onboarding.staff.passwords import LONGEST

MISSING = mark("This is missing.")


def ticks(label: str, texts: Iterable[tuple[str, str]]) -> SelectMultipleField:
    """A field of which several can be ticked.

    :param texts: the value of each, and what stands at it
    """
    return SelectMultipleField(
        label,
        choices=[SelectChoice(value, _(text)) for value, text in texts],
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
    )


class Button(Form):
    """A button that carries nothing but what its address says."""


def only_by_button() -> None:
    """Refuse what no button of ours has sent."""
    if not Button().validate_on_submit():
        abort(400)


class SignIn(Form):
    """Address and password."""

    email = EmailField(
        _("E-mail address"),
        validators=[InputRequired(_(MISSING)), Length(max=254)],
        render_kw={"autocomplete": "username", "autofocus": True},
    )
    password = PasswordField(
        _("Password"),
        validators=[InputRequired(_(MISSING)), Length(max=LONGEST)],
        render_kw={"autocomplete": "current-password"},
    )
    next = HiddenField()


class Confirm(Form):
    """The password once more."""

    password = PasswordField(
        _("Password"),
        validators=[InputRequired(_(MISSING)), Length(max=LONGEST)],
        render_kw={"autocomplete": "current-password", "autofocus": True},
    )
    next = HiddenField()


class NewPassword(Form):
    """A password for an account."""

    password = PasswordField(
        _("New password"),
        validators=[InputRequired(_(MISSING))],
        render_kw={"autocomplete": "new-password"},
    )


class ChangePassword(Form):
    """Another password for one's own account."""

    current = PasswordField(
        _("Password until now"),
        validators=[InputRequired(_(MISSING)), Length(max=LONGEST)],
        render_kw={"autocomplete": "current-password"},
    )
    password = PasswordField(
        _("New password"),
        validators=[InputRequired(_(MISSING))],
        render_kw={"autocomplete": "new-password"},
    )
