"""Pages of the dashboard that no address leads to: what has to be done to see them."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from playwright.sync_api import Page, expect

from onboarding.models import Staff
from onboarding.staff import accounts
from tests.browser.staff import World

Step = Callable[[World, Page], None]


def _arrives(page: Page, title: str) -> None:
    expect(page.locator("h1")).to_have_text(title)


def _bulk_confirm(world: World, page: Page) -> None:
    world.open(page, "/staff/connections")
    page.locator("#pick-all").check()
    page.get_by_role("button", name="Send mail").click()
    _arrives(page, "Invitations by mail")


def _import_without_file(world: World, page: Page) -> None:
    world.open(page, "/staff/imports")
    page.locator("main form").first.evaluate("(form) => (form.noValidate = true)")
    page.get_by_role("button", name="Show what would happen").click()
    expect(page.locator("[aria-invalid]")).not_to_have_count(0)


def _new_link(world: World, page: Page) -> None:
    world.open(page, f"/staff/connections/{world.broken().reference}")
    page.get_by_role("button", name="New link", exact=True).click()
    _arrives(page, "New link")


def _team_link(world: World, page: Page) -> None:
    world.open(page, world.pages()["team_member"])
    page.get_by_role("button", name="Make a link to set a password").click()
    _arrives(page, "Link to set a password")


def _webhook_secret(world: World, page: Page) -> None:
    world.open(page, world.pages()["webhook_settings"])
    page.get_by_role("button", name="Rotate the secret").click()
    _arrives(page, "New secret")


def _set_password(world: World, page: Page) -> None:
    with world.stack.installation.database.transaction() as session:
        person = session.scalars(sa.select(Staff).order_by(Staff.email)).first()
        assert person is not None
        secret = accounts.invite(session, None, person)
    world.open(page, f"/staff/password/{secret}")
    _arrives(page, "Set your password")


def _wrong_password(world: World, page: Page) -> None:
    world.open(page, "/staff/sign-in")
    page.get_by_label("E-mail address").fill("nobody@example.com")
    page.get_by_label("Password").fill("wrong-password")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.locator(".tone-problem")).not_to_have_count(0)


def _form_expired(world: World, page: Page) -> None:
    world.open(page, "/staff/account")
    page.locator("[name=csrf_token]").first.evaluate("(field) => (field.value = '')")
    page.get_by_role("button", name="Sign out", exact=True).click()
    _arrives(page, "Please open the page again")


def _opens(path: str, title: str) -> Step:
    def step(world: World, page: Page) -> None:
        world.open(page, path)
        _arrives(page, title)

    return step


ADMINISTRATORS: dict[str, Step] = {
    "bulk-confirm": _bulk_confirm,
    "import-invalid": _import_without_file,
    "new-link": _new_link,
    "team-link": _team_link,
    "webhook-secret": _webhook_secret,
}
VIEWERS: dict[str, Step] = {
    "not-allowed": _opens("/staff/team", "Your role does not allow this"),
    "not-found": _opens("/staff/connections/UNKNOWN2", "There is no such page"),
    "form-expired": _form_expired,
}
OUTSIDE: dict[str, Step] = {
    "sign-in": _opens("/staff/sign-in", "Sign in"),
    "sign-in-wrong": _wrong_password,
    "set-password": _set_password,
    "set-password-late": _opens("/staff/password/unknown", "This link is no longer good"),
    "not-found-outside": _opens("/staff/nothing", "There is no such page"),
}
