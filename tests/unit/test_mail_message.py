"""What is sent: headers that mail programs act on, two forms that say the same, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from typing import Any

import html5lib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboarding import describe
from onboarding.errors import MailRefused
from onboarding.mail import layout, letters, message
from onboarding.mail.address import Sender
from onboarding.mail.letters import Letter
from onboarding.models import Connection, Grower, Partner
from onboarding.states import Health, Stage
from tests.unit.cases import NOW, Case, every_case, organization

URL = "https://connect.example/c/AbC.def"
STOP_URL = "https://connect.example/m/GhI.jkl/stop"
MESSAGE_ID = "<0123456789abcdef0123456789abcdef@onboarding.example>"
SENDER = Sender(name="Farm data", address="connect@onboarding.example")
UNTIL = NOW + timedelta(days=14)


def grower(**fields: Any) -> Grower:
    """A grower; fields that begin with `partner_` are the partner's."""
    of_partner = {
        name.removeprefix("partner_"): value
        for name, value in fields.items()
        if name.startswith("partner_")
    }
    own = {name: value for name, value in fields.items() if not name.startswith("partner_")}
    partner = Partner(**{"slug": "demo", "name": "Prairie Co-op"} | of_partner)
    return Grower(
        **{"name": "Maple Farm", "email": "miller@farm.example", "partner": partner} | own
    )


def built(
    to: Grower, letter: Letter | None = None, *, stop_url: str | None = STOP_URL
) -> EmailMessage:
    """The message as the recipient's program reads it."""
    letter = letter or letters.invitation(to, until=UNTIL)
    laid = layout.lay_out(letter, to, url=URL, stop_url=stop_url)
    made = message.build(
        laid,
        subject=letter.subject,
        grower=to,
        sender=SENDER,
        message_id=MESSAGE_ID,
        stop_url=stop_url,
        moment=NOW,
    )
    return message_from_bytes(made.as_bytes(policy=SMTP), policy=default)


def test_headers_say_who_writes_to_whom_and_how_to_stop_it() -> None:
    made = built(
        grower(partner_support_name="Dana Whitfield", partner_support_email="help@prairie.example")
    )

    assert made.items() == [
        ("From", "Prairie Co-op via Farm data <connect@onboarding.example>"),
        ("To", "Maple Farm <miller@farm.example>"),
        ("Reply-To", "Dana Whitfield <help@prairie.example>"),
        ("Subject", "Prairie Co-op asks for your John Deere data"),
        ("Date", "Sun, 22 Nov 2026 12:00:00 +0000"),
        ("Message-ID", MESSAGE_ID),
        ("Auto-Submitted", "auto-generated"),
        ("List-Unsubscribe", f"<{STOP_URL}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("MIME-Version", "1.0"),
        ("Content-Type", made["Content-Type"]),
    ]
    assert made.get_content_type() == "multipart/alternative"
    kinds = [part.get_content_type() for part in made.iter_parts()]
    assert kinds == ["text/plain", "text/html"]


def test_mail_that_was_asked_for_says_so_and_does_not_claim_to_be_stopped() -> None:
    to = grower()
    made = built(to, letters.new_link(to, None, until=UNTIL), stop_url=None)

    assert made["Subject"] == "Prairie Co-op: your new link"
    assert not [name for name in made.keys() if name.startswith("List-")]  # noqa: SIM118
    for kind in ("plain", "html"):
        words = " ".join(_form(made, kind).split())
        assert "because a new link was asked for on the page of your old one" in words
        assert URL in words
        assert "No more such mails" not in words
        assert "/m/" not in words


def test_partner_without_a_support_address_gets_no_replies() -> None:
    assert built(grower())["Reply-To"] is None


def test_names_of_every_script_arrive_as_they_are() -> None:
    made = built(grower(name="Ñandú & Søn’s “Ранчо” 農場", partner_name="Großwanzleben <eG>"))

    assert made["To"].addresses[0].display_name == "Ñandú & Søn’s “Ранчо” 農場"
    assert made["From"].addresses[0].display_name == "Großwanzleben <eG> via Farm data"
    assert made["Subject"] == "Großwanzleben <eG> asks for your John Deere data"
    assert b"Gro\xc3\x9fwanzleben" not in made.as_bytes().split(b"\n\n")[0]


NAMES = st.text(
    alphabet=st.one_of(
        st.sampled_from("\r\n\t\0\x0b\x85\u2028\u202e:;,<>@\"'()[]\\=? "),
        st.characters(exclude_categories=["Cs"]),
    ),
    min_size=1,
    max_size=200,
)


@given(farm=NAMES, partner=NAMES, support=NAMES)
def test_no_name_adds_a_header_or_a_recipient(farm: str, partner: str, support: str) -> None:
    made = built(
        grower(
            name=farm,
            partner_name=partner,
            partner_support_name=support,
            partner_support_email="help@prairie.example",
        )
    )

    assert sorted(made.keys()) == sorted(built(grower(partner_support_email="a@b.example")).keys())
    assert [one.addr_spec for one in made["To"].addresses] == ["miller@farm.example"]
    assert [one.addr_spec for one in made["From"].addresses] == ["connect@onboarding.example"]
    assert [one.addr_spec for one in made["Reply-To"].addresses] == ["help@prairie.example"]
    assert made["List-Unsubscribe"] == f"<{STOP_URL}>"


@pytest.mark.parametrize(
    "address",
    [
        "a@x.example\r\nBcc: b@x.example",
        "a,b@x.example",
        "<a@x.example>",
        "a@x.example>,b@y.example",
        "a@b@x.example",
        "müller@farm.example",
        "a@" + "x" * 70 + ".example",
        "",
        None,
    ],
)
def test_address_that_is_none_is_refused(address: str | None) -> None:
    with pytest.raises(MailRefused, match="the address can't be used"):
        built(grower(email=address))


def test_domain_of_another_script_goes_out_as_servers_take_it() -> None:
    assert built(grower(email="a@müller.example"))["To"].addresses[0].domain == (
        "xn--mller-kva.example"
    )


def test_html_loads_nothing_from_elsewhere_and_runs_nothing() -> None:
    html = _form(built(grower(partner_name="<script>alert(1)</script>")), "html")

    parser = html5lib.HTMLParser(namespaceHTMLElements=False)
    root = parser.parse(html)
    assert [code for _, code, _ in parser.errors] == []
    tags = {element.tag for element in root.iter() if isinstance(element.tag, str)}
    assert not tags & {"script", "img", "link", "iframe", "form", "object", "base"}
    assert "url(" not in html
    assert "@import" not in html
    assert not [name for element in root.iter() for name in element.attrib if name == "src"]
    links = {element.get("href", "") for element in root.iter("a")}
    assert links == {URL, STOP_URL}


def test_a_mail_is_small() -> None:
    assert len(built(grower(partner_colour="#7a2e4d")).as_bytes()) < 16_000


def test_partners_colour_is_that_of_the_button_if_it_can_be_read() -> None:
    assert "background:#7a2e4d" in _form(built(grower(partner_colour="#7a2e4d")), "html")
    too_light = _form(built(grower(partner_colour="#ffee00")), "html")
    assert "#ffee00" not in too_light
    assert "background:#1d4b5c" in too_light


def every_letter() -> Iterator[tuple[Letter, Grower]]:
    """What is written in every state in which the grower is to do something, and when it works."""
    seen = set()
    for case, connection, latest in every_case():
        if not connection.is_at_leaf:
            continue
        told = describe.connection(connection, latest=latest, moment=NOW, incident=case.incident)
        if told.who != "grower" or told in seen:
            continue
        seen.add(told)
        for number in (1, 3):
            yield (
                letters.attention(
                    connection.grower, told, number=number, last=number == 3, until=UNTIL
                ),
                connection.grower,
            )


def test_every_reason_to_write_is_told_in_both_forms_with_the_link() -> None:
    count = 0
    for letter, to in every_letter():
        count += 1
        laid = layout.lay_out(letter, to, url=URL, stop_url=STOP_URL)
        words = " ".join(laid.text.split())
        for sentence in (*letter.paragraphs, letter.below, letter.why):
            assert " ".join(sentence.split()) in words
        for address in (URL, STOP_URL):
            assert f"\n{address}\n" in laid.text
            assert f'href="{address}"' in laid.html
        assert "!" not in letter.subject + "".join(letter.paragraphs)
        assert "page updates" not in words
    assert count >= 16


def test_lines_of_the_text_are_short_enough_for_every_program() -> None:
    for letter, to in every_letter():
        text = layout.lay_out(letter, to, url=URL, stop_url=STOP_URL).text
        assert max(len(line) for line in text.splitlines()) <= 78


def test_many_shared_organizations_are_counted_not_listed() -> None:
    subject = connected(shared=12)
    told = describe.connection(subject, latest=None, moment=NOW)
    shared = describe.organizations(subject, told)

    letter = letters.connected(subject.grower, told, shared, until=UNTIL)

    assert letter.paragraphs[1].endswith("and 7 more.")


def test_a_long_name_leaves_room_for_what_the_mail_is_about() -> None:
    to = grower(partner_name="Landwirtschaftliche " * 9)

    assert letters.invitation(to, until=UNTIL).subject.endswith("… asks for your John Deere data")


def connected(*, shared: int) -> Connection:
    """A working connection with so many shared organizations."""
    made = Case(Stage.CONNECTED, Health.OK, organizations="none").connection()
    made.organizations = [organization(f"{number:02}", connected=True) for number in range(shared)]
    return made


def _form(made: EmailMessage, kind: str) -> str:
    part = made.get_body((kind,))
    assert part is not None
    return str(part.get_content())
