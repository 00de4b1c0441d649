"""The page of attempts that failed, and the figures behind it."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from uuid import UUID

import html5lib
import sqlalchemy as sa

from onboarding.clock import now, real
from onboarding.db import Database
from onboarding.models import Figure, FigureCount, Grower
from onboarding.staff import figures
from onboarding.staff.attempts import FAILURES, MEANINGS, PAGE
from onboarding.states import FigureKind, Outcome, Role
from tests.support.desk import Desk
from tests.support.queries import counted
from tests.unit.rows import attempted, connection_of, invited

DAY = timedelta(days=1)


def failed_figures(database: Database) -> dict[tuple[str, UUID, str], int]:
    """What is kept, by day, partner and outcome."""
    query = sa.select(Figure).where(Figure.kind == FigureKind.FAILED)
    with database.reading() as session:
        found = session.scalars(query).all()
    return {(one.day.isoformat(), one.partner_id, one.key): one.number for one in found}


def test_figures_of_failures_are_those_that_one_counts_by_hand(fresh_database: Database) -> None:
    chance, moment = random.Random(4), now()
    links = [invited(fresh_database, f"g-{number}", partner=f"p-{number % 2}") for number in (1, 2)]
    with fresh_database.reading() as session:
        partner_of = {one.id: one.partner_id for one in session.scalars(sa.select(Grower))}
    expected: Counter[tuple[str, UUID, str]] = Counter()
    for _ in range(40):
        link, outcome = chance.choice(links), chance.choice(list(Outcome))
        ended = moment - chance.random() * 4 * DAY
        attempted(fresh_database, link, outcome, ended=ended)
        if outcome is not Outcome.AUTHORIZED:
            day = ended.date().isoformat()
            expected[day, partner_of[link.grower_id], outcome.value] += 1

    figures.count(fresh_database, moment)
    assert failed_figures(fresh_database) == expected

    attempted(fresh_database, links[0], Outcome.DENIED, ended=moment)
    expected[moment.date().isoformat(), partner_of[links[0].grower_id], "denied"] += 1
    figures.count(fresh_database, moment)
    assert failed_figures(fresh_database) == expected


def test_figures_older_than_what_is_shown_are_forgotten(fresh_database: Database) -> None:
    link, moment = invited(fresh_database), now()
    attempted(fresh_database, link, Outcome.DENIED, ended=moment - 90 * DAY + timedelta(hours=1))
    figures.count(fresh_database, moment)
    assert len(failed_figures(fresh_database)) == 1
    figures.count(fresh_database, moment + 2 * DAY)
    assert failed_figures(fresh_database) == {}


def test_figures_of_a_clock_that_was_ahead_keep_none_of_today_from_being_counted(
    fresh_database: Database,
) -> None:
    link, moment = invited(fresh_database), now()
    attempted(fresh_database, link, Outcome.DENIED, ended=moment + 100 * DAY)
    figures.count(fresh_database, moment + 100 * DAY)
    attempted(fresh_database, link, Outcome.EXPIRED, ended=moment)
    figures.count(fresh_database, moment)
    counted = {(day, key) for day, _, key in failed_figures(fresh_database)}
    assert (moment.date().isoformat(), "expired") in counted


def test_only_one_worker_counts_at_a_time_and_not_again_at_once(fresh_database: Database) -> None:
    figures.count_if_due(fresh_database)
    with fresh_database.reading() as session:
        first = session.scalars(sa.select(FigureCount)).one()
    assert first.counted_at is not None
    assert first.due_at >= first.counted_at + figures.SHORTEST_PAUSE
    attempted(fresh_database, invited(fresh_database), Outcome.DENIED, ended=now())

    figures.count_if_due(fresh_database)
    assert failed_figures(fresh_database) == {}

    with fresh_database.transaction() as session:
        session.execute(sa.update(FigureCount).values(due_at=real() - DAY))
    figures.count_if_due(fresh_database)
    assert sum(failed_figures(fresh_database).values()) == 1


def test_page_says_of_each_cause_how_many_the_last_and_what_to_do(desk: Desk) -> None:
    link, moment = invited(desk.database), now()
    for number, outcome in enumerate(FAILURES):
        for _ in range(number + 1):
            attempted(desk.database, link, outcome, ended=moment - DAY, detail=f"said {outcome}")
    figures.count(desk.database, moment)
    reference = connection_of(desk.database, link).reference

    with counted(desk.app.extensions["onboarding"].database.engine) as sent:
        page = desk.browser(Role.VIEWER).get("/staff/attempts")

    assert page.status_code == 200
    assert len(sent) <= 6, sent
    html5lib.HTMLParser(strict=True).parse(page.text)
    for number, outcome in enumerate(FAILURES):
        assert MEANINGS[outcome].to_do in page.text
        assert f"{number + 1} in 30 days, {number + 1} of them in the last 7" in page.text
        assert f"said {outcome}" in page.text
    assert f'href="/staff/connections/{reference}"' in page.text


def test_attempts_come_page_by_page_and_by_cause(desk: Desk) -> None:
    link, moment = invited(desk.database), now()
    for number in range(PAGE + 3):
        ended = moment - timedelta(minutes=number // 2)  # two at a time
        attempted(desk.database, link, Outcome.DENIED, ended=ended, detail=f"({number})")
    attempted(desk.database, link, Outcome.EXPIRED, ended=moment, detail="(expired)")
    browser, seen = desk.browser(Role.VIEWER), list[int]()
    url: str | None = "/staff/attempts?outcome=denied&days=7"
    while url:
        page = browser.get(url).text
        assert "(expired)" not in page
        seen += [number for number in range(PAGE + 3) if f"({number})" in page]
        older = html5lib.parse(page, namespaceHTMLElements=False).find(".//a[@rel='next']")
        url = None if older is None else older.get("href")
    assert sorted(seen) == list(range(PAGE + 3))


def test_attempt_that_has_not_been_counted_yet_is_in_the_list(desk: Desk) -> None:
    link, moment = invited(desk.database), now()
    attempted(desk.database, link, Outcome.DENIED, ended=moment - 20 * DAY, detail="long ago")
    figures.count(desk.database, moment)
    attempted(desk.database, link, Outcome.EXPIRED, ended=moment, detail="just now")
    browser = desk.browser(Role.VIEWER)
    for question, seen in (
        ("", 2),
        ("?outcome=expired", 1),
        ("?outcome=denied", 1),
        ("?days=7", 1),
    ):
        page = browser.get(f"/staff/attempts{question}").text
        assert page.count("long ago") + page.count("just now") == seen, question


def test_reference_code_finds_the_connection_and_no_other_partners(desk: Desk) -> None:
    ours, others = invited(desk.database, "a", partner="ours"), invited(desk.database, "b")
    attempted(desk.database, others, Outcome.DENIED, ended=now(), detail="of others")
    attempted(desk.database, ours, Outcome.DENIED, ended=now(), detail="of ours")
    figures.count(desk.database, now())
    code = connection_of(desk.database, ours).reference
    other = connection_of(desk.database, others).reference
    browser = desk.browser(Role.VIEWER, email="limited@example.com", partners=["ours"])

    typed = f"{code[:4].lower()} {code[4:]}"
    answer = browser.get("/staff/attempts", query_string={"reference": typed})
    assert (answer.status_code, answer.location) == (303, f"/staff/connections/{code}")

    page = browser.get(f"/staff/attempts?reference={other}&partner=demo").text
    assert f"No connection that you see has the code {other}" in page
    assert "of ours" in page
    assert "of others" not in page
    assert "Demo Co-op" in page, "both partners of this test have that name"
    assert "1 in 30 days" in page
