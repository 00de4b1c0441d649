"""Two partners, each with an application of its own at John Deere."""

from __future__ import annotations

import subprocess

from onboarding.local import commands
from onboarding.states import Environment, Outcome
from tests.support.people import People, Person
from tests.support.stack import Stack

KEY, SECRET = "sandbox-second-client", "sandbox-second-secret"
SLUG = "second"


def add_application(stack: Stack, name: str) -> None:
    """As a person does: the secret comes by standard input."""
    arguments = ("application", "add", name, "--environment", "PRODUCTION", "--client-key", KEY)
    done = subprocess.run(
        commands.flask(*arguments),
        env=stack.environment,
        cwd=stack.folder,
        input=f"{SECRET}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def given(person: Person) -> list[tuple[str, str]]:
    """Client key and environment of what Leaf was given for a grower."""
    return [(held["clientKey"], held["clientEnvironment"]) for held in person.at_leaf()]


def test_each_grower_connects_with_the_application_of_their_partner(
    stack: Stack, people: People
) -> None:
    add_application(stack, "Own")
    people.partner(SLUG, name="Second Co-op")
    stack.cli("partner", "edit", SLUG, "--application", "Own")
    first, second = people.invited(), people.invited(partner=SLUG)
    first.connect("one-farm")
    second.connect("already-connected")
    for person in (first, second):
        person.wait_for_code("connected")
    assert given(first) == [("sandbox-client", "STAGE")]
    assert given(second) == [(KEY, "PRODUCTION")], "the simulated Leaf also compares the secret"
    assert (second.connection().client_key, second.connection().environment) == (
        KEY,
        Environment.PRODUCTION,
    )
    assert SECRET not in str(stack.logs())

    # An attempt ends with the application that it began with.
    late = people.invited(partner=SLUG)
    callback = late.until_callback("one-farm")
    stack.cli("partner", "edit", SLUG, "--application", "")
    late.open(callback)
    late.wait_for_code("connected", "choose_organizations")
    assert given(late) == [(KEY, "PRODUCTION")]
    assert [attempt.outcome for attempt in late.attempts()] == [Outcome.AUTHORIZED]
