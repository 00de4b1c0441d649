"""Faults that are switched on from the control page: what a bad day looks like on the wire."""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from flask import Response

from onboarding.errors import InputInvalid
from onboarding.sandbox.store import Store

KINDS = ("latency", "hang", "reset", "status", "html", "json")
MOMENTS = ("before", "after")
MATCHES = ("account", "external_id", "leaf_user_id", "recipient")
LONGEST_SECONDS = 120.0
DEFAULT_SECONDS = {"latency": 1.0, "hang": LONGEST_SECONDS}
HTML_PAGE = "<!doctype html><title>Service unavailable</title><h1>We will be back soon</h1>"


@dataclass(eq=False)
class Fault:
    """One fault. `seconds` is for latency and hang; `status`, `headers`, `body` for the answers."""

    where: str
    kind: str
    when: str = "before"
    times: int | None = None
    """How often it still strikes; None: always."""
    seconds: float | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    match: dict[str, str] = field(default_factory=dict)
    id: int = 0
    struck: int = 0

    def fits(self, where: str, when: str, who: Mapping[str, str | None]) -> bool:
        """Whether it strikes now."""
        return (
            self.where == where
            and self.when == when
            and (self.times is None or self.times > 0)
            and all(who.get(name) == value for name, value in self.match.items())
        )


class Reset(Response):
    """An answer that never comes: the TCP connection is closed with RST instead."""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Called by Flask in place of sending the answer."""
        sock = environ.get("gunicorn.socket") or environ["werkzeug.socket"]
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The server still holds the socket object and will close it in its own time. Putting
        # another socket under the same descriptor closes the connection here and now, with RST.
        ours, other = socket.socketpair()
        with ours, other:
            os.dup2(ours.fileno(), sock.fileno())
        raise ConnectionResetError(errno.ECONNRESET, "reset by a sandbox fault")


class Faults:
    """The faults switched on. Kept in memory for speed and in the store for a restart."""

    def __init__(self, store: Store, points: Iterable[str]) -> None:
        self._store = store
        self._points = frozenset(points)
        self._changed = threading.Condition()
        row = store.one("SELECT value FROM meta WHERE key = 'faults'")
        self._faults = [Fault(**data) for data in json.loads(row["value"])] if row else []
        self._last_id = max((fault.id for fault in self._faults), default=0)

    @property
    def points(self) -> list[str]:
        """Where a fault can strike."""
        return sorted(self._points)

    def shown(self) -> list[dict[str, Any]]:
        """All of them as JSON objects, in the order they were added."""
        with self._changed:
            return [asdict(fault) for fault in self._faults]

    def replace(self, described: Any) -> None:
        """Switch on exactly these; a request held by a fault that is gone goes on.

        :param described: a list of objects with the fields of `Fault`
        :raise InputInvalid: if one of them is wrong; then nothing changes
        """
        if not isinstance(described, list):
            raise InputInvalid("Faults are a list of objects.")
        faults = [self._parsed(one) for one in described]
        with self._changed:
            self._faults = [self._numbered(fault) for fault in faults]
            self._keep()

    def add(self, described: Any) -> int:
        """Switch on one more; its id.

        :raise InputInvalid: if it is wrong
        """
        fault = self._parsed(described)
        with self._changed:
            self._faults.append(self._numbered(fault))
            self._keep()
        return fault.id

    def remove(self, id: int | None = None) -> None:
        """Switch off one, or all."""
        with self._changed:
            self._faults = [fault for fault in self._faults if id is not None and fault.id != id]
            self._keep()

    def next(self, where: str, when: str, who: Mapping[str, str | None]) -> Fault | None:
        """The first fault that fits, one time less from now on; to be handed to `strike`."""
        with self._changed:
            fault = next((one for one in self._faults if one.fits(where, when, who)), None)
            if fault is not None:
                fault.struck += 1
                if fault.times is not None:
                    fault.times -= 1
                    self._keep()
        return fault

    def strike(self, fault: Fault) -> Response | None:
        """Let a fault happen.

        :return: the answer to send; None if the request goes on (after a pause)
        """
        if fault.kind == "latency":
            time.sleep(fault.seconds or 0)
        elif fault.kind == "hang":
            with self._changed:
                self._changed.wait_for(lambda: fault not in self._faults, fault.seconds)
        return _answer(fault)

    def _numbered(self, fault: Fault) -> Fault:
        self._last_id += 1
        fault.id = self._last_id
        return fault

    def _keep(self) -> None:
        with self._store.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO meta VALUES ('faults', ?)",
                (json.dumps([asdict(fault) for fault in self._faults]),),
            )
        self._changed.notify_all()

    def _parsed(self, described: Any) -> Fault:
        if not isinstance(described, dict):
            raise InputInvalid("A fault is an object.")
        given = {key: value for key, value in described.items() if key not in {"id", "struck"}}
        try:
            fault = Fault(**given)
        except TypeError as err:
            raise InputInvalid(f"A fault has where and kind, and perhaps: {_OPTIONAL}") from err
        if fault.where not in self._points:
            raise InputInvalid(f"where is one of: {', '.join(sorted(self._points))}")
        _check(fault)
        fault.seconds = _seconds(fault)
        return fault


_OPTIONAL = "when, times, seconds, status, headers, body, match"


def _check(fault: Fault) -> None:
    if fault.kind not in KINDS:
        raise InputInvalid(f"kind is one of: {', '.join(KINDS)}")
    if fault.when not in MOMENTS:
        raise InputInvalid(f"when is one of: {', '.join(MOMENTS)}")
    if fault.times is not None and (type(fault.times) is not int or fault.times < 0):
        raise InputInvalid("times is a whole number or null")
    if fault.status is not None and (
        type(fault.status) is not int or not 200 <= fault.status <= 599
    ):
        raise InputInvalid("status is an HTTP status from 200 to 599")
    if not _is_text(fault.headers) or not _is_text(fault.match):
        raise InputInvalid("headers and match are objects of texts")
    if unknown := fault.match.keys() - set(MATCHES):
        raise InputInvalid(f"match knows {', '.join(MATCHES)}, not {', '.join(sorted(unknown))}")


def _is_text(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _seconds(fault: Fault) -> float | None:
    if fault.kind not in DEFAULT_SECONDS:
        return fault.seconds
    seconds = DEFAULT_SECONDS[fault.kind] if fault.seconds is None else fault.seconds
    if type(seconds) not in {int, float} or not 0 <= seconds <= LONGEST_SECONDS:
        raise InputInvalid(f"seconds is a number from 0 to {LONGEST_SECONDS:.0f}")
    return float(seconds)


def _answer(fault: Fault) -> Response | None:
    if fault.kind in DEFAULT_SECONDS:
        return None
    if fault.kind == "reset":
        return Reset()
    answer = _html(fault) if fault.kind == "html" else _json(fault)
    answer.headers.update(fault.headers)
    return answer


def _html(fault: Fault) -> Response:
    body = fault.body if isinstance(fault.body, str) else HTML_PAGE
    return Response(body, fault.status or 200, content_type="text/html;charset=UTF-8")


def _json(fault: Fault) -> Response:
    status = fault.status or (500 if fault.kind == "status" else 200)
    default = {"title": "A fault of the sandbox", "status": status}
    body = default if fault.body is None else fault.body
    return Response(json.dumps(body), status, content_type="application/json")
