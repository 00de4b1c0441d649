"""Reading settings from an environment, with every complaint at once."""

from __future__ import annotations

from collections.abc import Mapping

from onboarding.errors import SettingsInvalid
from onboarding.urls import fault_of_url

LARGEST_NUMBER = 100_000


class Reader:
    """Collects complaints instead of stopping at the first.

    :ivar missing: names of settings that must be there and are not
    :ivar wrong: sentences about the others
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.missing: list[str] = []
        self.wrong: list[str] = []

    def get(self, name: str) -> str:
        """A setting that may be left out; an empty one counts as left out."""
        return self._environ.get(name, "").strip()

    def text(self, name: str) -> str:
        """One that must be there."""
        value = self.get(name)
        if not value:
            self.missing.append(name)
        return value

    def number(self, name: str, *, default: int, least: int, most: int = LARGEST_NUMBER) -> int:
        """A whole number within bounds, both included."""
        text = self.get(name)
        if not text:
            return default
        number = int(text) if text.isdecimal() and len(text) <= len(str(LARGEST_NUMBER)) else -1
        if not least <= number <= most:
            self.wrong.append(f"{name} must be a whole number, {least} to {most}")
            return default
        return number

    def url(self, name: str, *, default: str = "", origin: bool = False) -> str:
        """The address of a service, without a slash at its end.

        :param default: empty: it must be there
        :param origin: whether it must have no path
        """
        value = (self.get(name) or default).rstrip("/")
        if not value:
            self.missing.append(name)
            return value
        if fault := fault_of_url(value, origin=origin):
            self.wrong.append(f"{name} {fault}")
        return value

    def complain(self) -> None:
        """Stop if there is a complaint.

        :raise SettingsInvalid: with all of them
        """
        lines = []
        if self.missing:
            lines.append("Missing settings: " + ", ".join(self.missing))
        lines += self.wrong
        if lines:
            lines.append("Set them in the environment or in .env; .env.example explains each.")
            raise SettingsInvalid("\n".join(lines))
