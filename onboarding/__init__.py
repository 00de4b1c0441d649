"""Connects growers' John Deere accounts to Leaf."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from onboarding.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """The web application, complete with its commands.

    :param settings: default: read from the environment
    :raise SettingsInvalid: naming every missing and wrong setting. On the command line it is
        reported by the command instead, since `keys new` must work without any
    """
    # Imported here: the sandbox and the settings live in this package, too, and start in a
    # fraction of the time without the application.
    from onboarding.app import build

    return build(settings)
