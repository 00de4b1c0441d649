"""A mail server in this process that answers as a test says, with TLS and a sign-in if wanted."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from onboarding.mail.address import MailServer

USER, PASSWORD = "mailer", "pa55-word-of-the-mail-server"
GREETING = "220 ready"
SILENT = ""
"""As an answer: none comes."""
HELD = "held: "
"""Before an answer: it comes when a test sets `released`."""
GONE = "gone"
"""As an answer: the connection is closed."""


class Postbox(socketserver.ThreadingTCPServer):
    """Listens on loopback.

    :ivar answers: what to answer to a verb (or to `CONNECT`, or at the end of a mail to `.`)
        instead of the usual
    :ivar mails: each as sender, recipient, and what was between `DATA` and the dot
    :ivar said: every line that came, whatever it was
    :ivar encrypted: whether the last mail came through TLS
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self,
        *,
        context: ssl.SSLContext | None = None,
        implicit: bool = False,
        sign_in: bool = False,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.context, self.implicit, self.sign_in = context, implicit, sign_in
        self.answers: dict[str, str] = {}
        self.mails: list[tuple[str, str, bytes]] = []
        self.said: list[str] = []
        self.encrypted = False
        self.released = threading.Event()

    def handle_error(self, *_: Any) -> None:
        """A client that does not like our certificate hangs up."""

    def address(self, **fields: Any) -> MailServer:
        """Where it is, as settings would say it."""
        values: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.server_address[1],
            "implicit_tls": self.implicit,
            "is_here": True,
        }
        return MailServer(**values | fields)


class _Session(socketserver.StreamRequestHandler):
    timeout = 60

    def setup(self) -> None:
        if self._box.implicit:
            self._encrypt(self.request)
        super().setup()

    def handle(self) -> None:
        try:
            self._answer("CONNECT", GREETING)
            while line := self.rfile.readline():
                self._box.said.append(line.decode())
                if not self._obey(*line.decode().strip().partition(" ")[::2]):
                    return
        except OSError:
            return  # the other end is gone

    def finish(self) -> None:
        super().finish()
        self.request.close()  # the one with TLS, which the server does not know

    def _obey(self, verb: str, rest: str) -> bool:
        match verb.upper():
            case "EHLO":
                offers = ["250-here", "250-8BITMIME"]
                offers += ["250-STARTTLS"] if self._box.context and not self._is_encrypted else []
                offers += ["250-AUTH PLAIN"] if self._box.sign_in else []
                return self._answer("EHLO", "\r\n".join([*offers, "250 HELP"]))
            case "STARTTLS":
                self._answer("STARTTLS", "220 go on")
                self._encrypt(self.connection)
                super().setup()
                return True
            case "AUTH":
                right = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
                fits = rest == f"PLAIN {right}"
                return self._answer("AUTH", "235 welcome" if fits else f"535 not {rest}")
            case "MAIL":
                self._sender = rest
                return self._answer("MAIL", "250 ok")
            case "RCPT":
                self._recipient = rest
                return self._answer("RCPT", "250 ok")
            case "DATA":
                return self._answer("DATA", "354 go on") and self._take()
            case "QUIT":
                self._answer("QUIT", "221 bye")
                return False
            case _:
                return self._answer(verb, "250 ok")

    def _take(self) -> bool:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                return False  # the other end hung up in the middle of its mail
            lines.append(line)
        self._box.mails.append((self._sender, self._recipient, b"".join(lines)))
        self._box.encrypted = self._is_encrypted
        return self._answer(".", "250 taken")

    def _answer(self, verb: str, usual: str) -> bool:
        text = self._box.answers.get(verb, usual)
        if text == SILENT or text.startswith(HELD):
            self._box.released.wait(30)
        if text in {SILENT, GONE}:
            return False
        self.wfile.write(f"{text.removeprefix(HELD)}\r\n".encode())
        return True

    def _encrypt(self, connection: Any) -> None:
        assert self._box.context is not None
        self.request = self._box.context.wrap_socket(connection, server_side=True)

    @property
    def _is_encrypted(self) -> bool:
        return isinstance(self.connection, ssl.SSLSocket)

    @property
    def _box(self) -> Any:
        return self.server


@contextmanager
def postbox(**options: Any) -> Iterator[Postbox]:
    """A mail server for the time of a test."""
    with Postbox(**options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "mail.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file
