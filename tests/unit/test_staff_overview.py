"""The overview: what is to be done, by whom, and how it has been."""

from __future__ import annotations

from datetime import date, timedelta
from xml.etree.ElementTree import Element

import html5lib
import pytest

from onboarding.clock import now
from onboarding.models import Figure, FigureCount, Incident, Pace, Partner
from onboarding.staff import partners
from onboarding.staff.overview import monday_of
from onboarding.states import FigureKind, IncidentKind, Role
from tests.support.desk import Desk
from tests.support.queries import counted
from tests.unit.rows import add_partner

DAY = timedelta(days=1)
FUNNEL = {"sent": 200, "opened": 150, "began": 90, "consented": 80, "at_leaf": 80, "connected": 71}


@pytest.fixture
def figured(desk: Desk) -> Desk:
    """Two partners; the second has twice as much of everything."""
    today = now().date()
    for times, slug in enumerate(("prairie", "valley"), 1):
        add_partner(desk.database, slug)
        with desk.database.transaction() as session:
            partner = partners.named(session, slug)
            partner.name = slug.title()

            def add(
                kind: FigureKind, day: date, key: str, number: int, of: Partner, times: int
            ) -> Figure:
                return Figure(kind=kind, day=day, partner_id=of.id, key=key, number=number * times)

            rows = [
                (FigureKind.NOW, today, "staff:failed", 1),
                (FigureKind.NOW, today, "grower:reconnect", 4),
                (FigureKind.NOW, today, "nobody:connected", 1000),
                (FigureKind.HEALTH, today, "works", 1000),
                (FigureKind.HEALTH, today, "grower", 4),
                (FigureKind.HEALTH, today - 60 * DAY, "works", 10),
                *((FigureKind.FUNNEL, monday_of(today), key, n) for key, n in FUNNEL.items()),
                (FigureKind.DURATION, monday_of(today), "120", 60),
                (FigureKind.DURATION, monday_of(today), "3600", 11),
            ]
            session.add_all(add(*row, partner, times) for row in rows)
    with desk.database.transaction() as session:
        session.add(FigureCount(id=1, due_at=now(), counted_at=now()))
    return desk


def parsed(text: str) -> Element:
    """The page; it is valid HTML."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    found: Element = parser.parse(text)
    return found


def text_of(element: Element | None) -> str:
    """All that is written in it."""
    return "" if element is None else " ".join("".join(element.itertext()).split())


def test_page_says_what_to_do_and_shows_how_it_has_been(figured: Desk) -> None:
    browser = figured.browser(Role.VIEWER)
    with counted(figured.app.extensions["onboarding"].database.engine) as sent:
        answer = browser.get("/staff/")
    assert len(sent) <= 6, sent
    page = parsed(answer.text)
    seen = text_of(page)

    assert "Hand-over failed Leaf did not take the permission." in seen
    links = {text_of(link): link.get("href") for link in page.iter("a")}
    assert links["12 Must connect again"] == "/staff/connections?status=reconnect&turn=grower"
    assert "3,000 Connected" in links
    assert "Of 600 invited, 213 are connected (36 %)." in seen
    assert "Most of the others opened it, and did not begin: 180." in seen
    assert "213 were connected in the same time. Half of them took 2 min at most" in seen


def test_picture_of_health_says_in_words_what_it_shows(figured: Desk) -> None:
    page = parsed(figured.browser(Role.VIEWER).get("/staff/").text)
    pictures = [one for one in page.iter() if str(one.tag).endswith("svg") and one.get("role")]
    assert len(pictures) == 2
    for picture in pictures:
        named = str(picture.get("aria-labelledby")).split()
        texts = {one.get("id"): text_of(one) for one in picture.iter() if one.get("id")}
        title, says = (texts[name] for name in named)
        assert title == "Health, day by day"
        first = (now().date() - 60 * DAY).isoformat()
        assert f"Works: 3,000, on {first} 30; " in says
        assert f"Grower must act: 12, on {first} 0; " in says
    rows = [[text_of(cell) for cell in row] for row in page.iter("tr")]
    assert [now().date().isoformat(), "3,000", "0", "0", "12", "0", "0", "0"] in rows


def test_figures_are_those_of_the_partner_that_is_asked_for(figured: Desk) -> None:
    browser = figured.browser(Role.VIEWER)
    page = text_of(parsed(browser.get("/staff/?partner=prairie").text))
    assert "Of 200 invited" in page
    week = (monday_of(now().date()) - 7 * DAY).isoformat()
    page = text_of(parsed(browser.get(f"/staff/?partner=prairie&week={week}").text))
    assert "Nobody was invited in this time." in page
    assert "1,000 Connected" in page


def test_figures_of_each_picture_are_a_click_away_as_a_file(figured: Desk) -> None:
    limited = figured.browser(Role.VIEWER, email="limited@example.com", partners=["prairie"])
    page = parsed(limited.get("/staff/").text)
    links = [str(link.get("href")) for link in page.iter("a")]
    today, monday = now().date().isoformat(), monday_of(now().date()).isoformat()
    last = {
        "now": "staff,failed,Hand-over failed,1",
        "health": f"{today},1000,0,0,4,0,0,0",
        "funnel": f"{monday},200,150,90,80,80,71",
        "durations": f"{monday},60,0,0,0,11,0,0,0",
    }
    for chart, line in last.items():
        path = f"/staff/figures/{chart}.csv"
        assert path in links
        answer = limited.get(path)
        assert answer.mimetype == "text/csv"
        assert answer.text.splitlines()[-1] == line
        assert limited.get(f"{path}?partner=valley").status_code == 404
    one = figured.browser(Role.VIEWER).get("/staff/figures/funnel.csv?partner=valley")
    assert one.text.splitlines()[-1] == f"{monday},400,300,180,160,160,142"
    assert f"figures-valley-funnel-{today}.csv" in one.headers["Content-Disposition"]
    told = figured.browser(Role.VIEWER).get("/staff/audit").text
    assert "Figures exported" in told


def test_who_is_limited_sees_no_figure_of_others(figured: Desk) -> None:
    with figured.database.transaction() as session:
        session.add(Incident(kind=IncidentKind.PAUSE, began_at=now(), turned=4711, asked=9999))
    limited = figured.browser(Role.VIEWER, email="limited@example.com", partners=["prairie"])
    for address in ("/staff/", "/staff/?partner=valley"):
        answer = limited.get(address).text
        assert "Of 200 invited" in answer
        assert "Valley" not in answer
        assert "many connections stopped working at once" in answer
        assert "4711" not in answer
    assert "4711" in figured.browser(Role.VIEWER).get("/staff/").text


def test_leaf_that_does_not_answer_is_told_above_all(figured: Desk) -> None:
    with figured.database.transaction() as session:
        down = {"down_since": now() - DAY, "reason": "Leaf: look: no answer"}
        session.add(Pace(service="Leaf", next_at=now(), **down))
    page = text_of(parsed(figured.browser(Role.VIEWER).get("/staff/").text))
    assert "Leaf does not answer since 1 day ago: Leaf: look: no answer." in page


def test_figures_that_no_worker_has_counted_for_long_are_called_old(figured: Desk) -> None:
    old = "These figures are old: the workers count them, and none has since 2 h ago."
    browser = figured.browser(Role.VIEWER)
    assert "These figures are old" not in browser.get("/staff/").text
    with figured.database.transaction() as session:
        session.get_one(FigureCount, 1).counted_at = now() - DAY / 12
    assert old in text_of(parsed(browser.get("/staff/").text))


def test_page_says_so_while_nothing_has_been_counted(desk: Desk) -> None:
    page = text_of(parsed(desk.browser(Role.VIEWER).get("/staff/").text))
    assert "Nothing has been counted yet. A worker does it: does one run?" in page
