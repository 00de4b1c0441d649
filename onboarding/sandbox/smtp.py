"""The simulated mail server: takes every mail and delivers none; they are read on `/mail`.

Faults strike it as they strike the other services: `status` is then an SMTP code, such as 451
(later) or 550 (never); `before` a mail is stored or `after`, when only the answer goes wrong.
"""

from __future__ import annotations

import re
import socket
import socketserver
import struct
import threading
from typing import cast

from onboarding.errors import SettingsInvalid
from onboarding.sandbox.faults import Fault, Faults
from onboarding.sandbox.mailbox import Mailbox

POINTS = frozenset({"mail.connect", "mail.sender", "mail.recipient", "mail.data"})
LINE_BYTES = 2000
MAIL_BYTES = 1024 * 1024
IDLE_SECONDS = 300.0
ADDRESS = re.compile(r"(?:FROM|TO):\s*<([^<>\s]*)>", re.IGNORECASE)


class Ended(Exception):
    """The other end is gone, or a fault has ended the connection."""


class Sink(socketserver.ThreadingTCPServer):
    """Listens on loopback, in threads of its own."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, mailbox: Mailbox, faults: Faults) -> None:
        """
        :raise SettingsInvalid: if the port can't be had
        """
        self.mailbox = mailbox
        self.faults = faults
        try:
            super().__init__(("127.0.0.1", port), _Session)
        except OSError as err:
            raise SettingsInvalid(
                f"SANDBOX_MAIL_PORT: {port} can't be used ({err.strerror})"
            ) from err
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.1}, name="mail", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self.shutdown()
        self.server_close()


class _Session(socketserver.StreamRequestHandler):
    """One connection (RFC 5321, as much of it as a client of ours needs)."""

    timeout = IDLE_SECONDS

    def handle(self) -> None:
        """Talk until one side ends it."""
        self._sender = self._recipient = ""
        try:
            self._answer_at("mail.connect", "220 sandbox: nothing is delivered")
            while self._command():
                pass
        except (Ended, OSError):
            return

    def _command(self) -> bool:
        verb, _, rest = self._line().partition(" ")
        match verb.upper():
            case "EHLO":
                self._say("250-sandbox", "250-8BITMIME", f"250 SIZE {MAIL_BYTES}")
            case "HELO" | "NOOP":
                self._say("250 sandbox")
            case "RSET":
                self._sender = self._recipient = ""
                self._say("250 Forgotten")
            case "MAIL":
                self._sender = _address(rest)
                self._answer_at("mail.sender", "250 Sender noted")
            case "RCPT":
                self._recipient = _address(rest)
                if not self._answer_at("mail.recipient", "250 Recipient noted"):
                    self._recipient = ""
            case "DATA" if self._recipient:
                self._say("354 End with a line that holds nothing but a dot")
                self._take()
            case "DATA":
                self._say("503 To whom?")
            case "QUIT":
                self._say("221 Goodbye")
                return False
            case _:
                self._say("502 That is not spoken here")
        return True

    def _take(self) -> None:
        lines: list[bytes] = []
        while (line := self.rfile.readline(LINE_BYTES)) != b".\r\n":
            if not line or sum(map(len, lines)) > MAIL_BYTES:
                raise Ended
            lines.append(line[1:] if line.startswith(b".") else line)
        if not self._struck("mail.data", "before"):
            self._sink.mailbox.put(self._sender, self._recipient, b"".join(lines))
            if not self._struck("mail.data", "after"):
                self._say("250 Taken")

    def _answer_at(self, point: str, answer: str) -> bool:
        if self._struck(point, "before"):
            return False
        self._say(answer)
        return True

    def _struck(self, point: str, when: str) -> bool:
        """Let a fault happen; whether that was the answer."""
        fault = self._sink.faults.next(point, when, {"recipient": self._recipient})
        if fault is None:
            return False
        if fault.kind == "reset":
            self._reset()
        if fault.kind in {"latency", "hang"}:
            self._sink.faults.strike(fault)
            return False
        self._say(_words(fault))
        return True

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)  # close with RST
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        raise Ended

    def _line(self) -> str:
        line = self.rfile.readline(LINE_BYTES)
        if not line.endswith(b"\n"):
            raise Ended
        return line.decode("utf-8", "replace").strip()

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

    @property
    def _sink(self) -> Sink:
        return cast(Sink, self.server)


def _address(rest: str) -> str:
    found = ADDRESS.match(rest)
    return found[1] if found else ""


def _words(fault: Fault) -> str:
    text = fault.body if isinstance(fault.body, str) else "A fault of the sandbox"
    return f"{fault.status or 451} {text}"
