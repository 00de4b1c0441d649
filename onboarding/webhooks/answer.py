"""What came of a request. Apart from what sends it, which web need not load."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Answer:
    """What came of a request."""

    at: datetime
    """When it was sent, by our clock."""
    milliseconds: int
    status: int | None
    """None: there was no answer."""
    text: str
    """How the answer began, redacted; or why there was none."""
    retry_after: float | None = None
    """Seconds to wait, if the server asked for that."""

    @property
    def is_delivered(self) -> bool:
        """Whether the server has taken it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def failure(self) -> str:
        """What went wrong, in a line; empty: nothing."""
        if self.is_delivered:
            return ""
        if self.status is None:
            return self.text
        if 300 <= self.status < 400:
            return f"{self.status}: redirects are not followed"
        return f"{self.status} {self.text}".strip()
