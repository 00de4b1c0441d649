"""The sandbox's mail server: it takes mails, fails as it is told, and shows what it took."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Iterator
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import requests

from onboarding.errors import SettingsInvalid
from onboarding.sandbox import create_app
from tests.functional.sandbox.support import TIMEOUT_SECONDS, serving
from tests.support.control import Control
from tests.support.ports import free_port

FROM, TO = "connect@onboarding.example", "grower@farm.example"
HTML = "<html><head></head><body><h1>Hello</h1><script>alert(1)</script></body></html>"


class Served:
    """A sandbox with a mail server."""

    def __init__(self, url: str, port: int) -> None:
        self.url, self.port = url, port
        self.control = Control(url)

    def send(self, subject: str = "Hello", to: str = TO) -> None:
        """A mail with both forms and with lines that begin with a dot."""
        mail = EmailMessage()
        mail["Subject"], mail["To"] = subject, to
        mail.set_content("A line.\n.\n..\nThe last line.\n")
        mail.add_alternative(HTML, subtype="html")
        with smtplib.SMTP("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS) as smtp:
            smtp.send_message(mail, FROM, [to])

    def get(self, path: str) -> requests.Response:
        """A page of it."""
        return requests.get(self.url + path, timeout=TIMEOUT_SECONDS)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A sandbox as new."""
    port = free_port()
    with serving(tmp_path / "sandbox.sqlite", mail_port=port) as url:
        made = Served(url, port)
        yield made
        made.control.close()


def test_mail_is_kept_and_shown_as_it_came(served: Served) -> None:
    served.send("Grüße")
    (mail,) = served.control.mails(TO)
    assert (mail["sender"], mail["recipient"], mail["subject"]) == (FROM, TO, "Grüße")
    assert mail["text"] == "A line.\n.\n..\nThe last line.\n"
    assert mail["html"].strip() == HTML
    assert ["To", TO] in mail["headers"]
    assert "Grüße" in served.get("/mail").text
    page = served.get(f"/mail/{mail['id']}").text
    assert "The last line." in page
    assert f'src="/mail/{mail["id"]}/html"' in page
    assert served.get("/mail/99").status_code == 404


def test_html_of_a_mail_runs_nothing_and_loads_nothing(served: Served) -> None:
    served.send()
    answer = served.get("/mail/1/html")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';")
    assert "sandbox allow-popups" in policy
    assert "allow-scripts" not in policy
    assert '<base target="_blank">' in answer.text


def test_mails_outlive_a_restart_and_end_with_a_reset(tmp_path: Path) -> None:
    database, port = tmp_path / "sandbox.sqlite", free_port()
    with serving(database, mail_port=port) as url:
        Served(url, port).send()
    with serving(database, mail_port=port) as url:
        again = Served(url, port)
        assert len(again.control.mails(TO)) == 1
        again.control.reset()
        assert again.control.mails(TO) == []
        again.control.close()


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("mail.connect", smtplib.SMTPConnectError),
        ("mail.sender", smtplib.SMTPSenderRefused),
        ("mail.recipient", smtplib.SMTPRecipientsRefused),
        ("mail.data", smtplib.SMTPDataError),
    ],
)
def test_every_step_can_be_refused_once(served: Served, where: str, error: type[Exception]) -> None:
    served.control.add_fault(where, "status", status=451, times=1, body="4.3.0 Not now")
    with pytest.raises(error) as caught:
        served.send()
    assert "451" in str(caught.value)
    assert "4.3.0 Not now" in str(caught.value)
    served.send()
    assert len(served.control.mails(TO)) == 1


@pytest.mark.parametrize(("when", "kept"), [("before", 0), ("after", 1)])
def test_connection_can_be_cut_before_a_mail_is_kept_or_after(
    served: Served, when: str, kept: int
) -> None:
    served.control.add_fault("mail.data", "reset", when=when, times=1)
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionResetError)):
        served.send()
    assert len(served.control.mails(TO)) == kept


def test_fault_can_be_for_one_recipient(served: Served) -> None:
    served.control.add_fault("mail.data", "status", status=550, match={"recipient": TO})
    served.send(to="other@farm.example")
    with pytest.raises(smtplib.SMTPDataError):
        served.send()


def test_whatever_is_not_spoken_is_refused_and_the_talk_goes_on(served: Served) -> None:
    with smtplib.SMTP("127.0.0.1", served.port, timeout=TIMEOUT_SECONDS) as smtp:
        assert smtp.docmd("VRFY", "root")[0] == 502
        assert smtp.docmd("DATA")[0] == 503
        assert smtp.noop()[0] == 250
    with socket.create_connection(("127.0.0.1", served.port), TIMEOUT_SECONDS) as raw:
        with raw.makefile("rb") as answers:
            assert answers.readline().startswith(b"220 ")
        with suppress(ConnectionError):  # it may hang up before all of it is there
            raw.sendall(b"x" * 100_000)
    served.send()


@pytest.mark.parametrize("value", ["port", "-1"])
def test_wrong_port_is_named(tmp_path: Path, value: str) -> None:
    environ: dict[str, Any] = {
        "SANDBOX_DATABASE": str(tmp_path / "sandbox.sqlite"),
        "SANDBOX_MAIL_PORT": value,
    }
    with pytest.raises(SettingsInvalid, match="SANDBOX_MAIL_PORT must be a port number"):
        create_app(environ)


def test_busy_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        environ = {
            "SANDBOX_DATABASE": str(tmp_path / "sandbox.sqlite"),
            "SANDBOX_MAIL_PORT": str(other.getsockname()[1]),
        }
        with pytest.raises(SettingsInvalid, match=r"SANDBOX_MAIL_PORT: .* can't be used"):
            create_app(environ)
