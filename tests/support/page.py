"""A page as a person without script sees it: headings, text, links and forms."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Self
from urllib.parse import urljoin

import requests

VOID = {"br", "hr", "img", "input", "link", "meta", "use", "path", "circle", "rect", "line"}
WITHOUT_TEXT = {"head", "script", "style", "title"}
TOGETHER = "together"
"""Class of what is set on one line: amid a sentence, so that no space is read around it."""


@dataclass
class Field:
    """A field of a form; `label` is what stands beside a check box."""

    name: str
    value: str
    kind: str
    id: str = ""
    checked: bool = False
    disabled: bool = False
    label: str = ""


@dataclass
class Button:
    """A button; `text` is what people read on it."""

    name: str
    value: str
    text: str = ""


@dataclass
class Form:
    """A form: `action` is absolute, `method` in lower case."""

    action: str
    method: str
    fields: list[Field] = field(default_factory=list)
    buttons: list[Button] = field(default_factory=list)

    def boxes(self) -> list[Field]:
        """The check boxes, in their order."""
        return [one for one in self.fields if one.kind == "checkbox"]

    def sent_by(self, button: Button) -> list[tuple[str, str]]:
        """What a browser sends when this button is pressed."""
        sent = [
            (one.name, one.value)
            for one in self.fields
            if one.name and not one.disabled and (one.kind != "checkbox" or one.checked)
        ]
        return sent + ([(button.name, button.value)] if button.name else [])


@dataclass
class Page:
    """What a request ended on, after all redirects."""

    url: str
    status: int
    headers: dict[str, str]
    html: str
    title: str = ""
    headings: list[str] = field(default_factory=list)
    """The texts of all `h1`; there should be one."""
    text: str = ""
    forms: list[Form] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    """Absolute addresses by the text of the link."""
    main: dict[str, str] = field(default_factory=dict)
    """Attributes of `<main>`."""
    refresh_seconds: int | None = None
    """After how many seconds the page loads itself again without script."""

    @classmethod
    def of(cls, answer: requests.Response) -> Self:
        """Read a page that a server sent."""
        headers = {name.lower(): value for name, value in answer.headers.items()}
        page = cls(answer.url, answer.status_code, headers, answer.text)
        reader = _Reader(page)
        reader.feed(page.html)
        reader.close()
        page.text = " ".join(page.text.split())
        return page

    @property
    def heading(self) -> str:
        """The text of the one `h1`."""
        assert len(self.headings) == 1, f"{self.url}: {self.headings or self.html[:2000]}"
        return self.headings[0]

    def find(self, text: str) -> tuple[Form, Button] | None:
        """The form and the button on which people read a text, or None."""
        for form in self.forms:
            for button in form.buttons:
                if button.text == text:
                    return form, button
        return None

    def form_to(self, path_end: str, **hidden: str) -> Form | None:
        """The first form whose address ends so and whose hidden fields are exactly these.

        :param hidden: hidden fields beside `csrf_token`
        """
        for form in self.forms:
            found = {one.name: one.value for one in form.fields if one.kind == "hidden"}
            found.pop("csrf_token", None)
            if form.action.endswith(path_end) and found == hidden:
                return form
        return None


class _Reader(HTMLParser):
    """Fills a page."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self._page = page
        self._open: list[tuple[str, dict[str, str]]] = []
        self._words: list[list[str]] = []
        self._labels: dict[str, str] = {}
        self._is_amid_words = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        page = self._page
        if tag == "form":
            action = urljoin(page.url, given.get("action", ""))
            page.forms.append(Form(action, given.get("method", "get").lower()))
        elif tag == "input" and page.forms:
            self._input(page.forms[-1], given)
        elif tag == "button" and page.forms:
            button = Button(given.get("name", ""), given.get("value", ""))
            page.forms[-1].buttons.append(button)
        elif tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            page.refresh_seconds = int(given["content"].partition(";")[0])
        elif tag == "main":
            page.main = given
        self._is_amid_words = given.get("class") == TOGETHER
        if tag not in VOID:
            self._open.append((tag, given))
            self._words.append([])

    def handle_endtag(self, tag: str) -> None:
        while tag in (name for name, _ in self._open):
            closed, given = self._open.pop()
            words = self._words.pop()
            self._closed(closed, given, " ".join("".join(words).split()))
            self._is_amid_words = given.get("class") == TOGETHER
            if self._words:
                self._words[-1] += words if self._is_amid_words else [" ", *words]
            if closed == tag:
                return

    def handle_data(self, data: str) -> None:
        if self._words:
            self._words[-1].append(data)
        if not any(name in WITHOUT_TEXT for name, _ in self._open):
            self._page.text += data if self._is_amid_words else f" {data}"
        self._is_amid_words = False

    def close(self) -> None:
        super().close()
        for form in self._page.forms:
            for one in form.fields:
                one.label = self._labels.get(one.id, "")

    def _input(self, form: Form, given: dict[str, str]) -> None:
        form.fields.append(
            Field(
                name=given.get("name", ""),
                value=given.get("value", "on" if given.get("type") == "checkbox" else ""),
                kind=given.get("type", "text"),
                id=given.get("id", ""),
                checked="checked" in given,
                disabled="disabled" in given,
            )
        )

    def _closed(self, tag: str, given: dict[str, str], text: str) -> None:
        page = self._page
        if tag == "h1":
            page.headings.append(text)
        elif tag == "title" and not page.title:
            page.title = text
        elif tag == "button" and page.forms and page.forms[-1].buttons:
            page.forms[-1].buttons[-1].text = text
        elif tag == "label" and "for" in given:
            self._labels[given["for"]] = text
        elif tag == "a" and "href" in given:
            page.links[text] = urljoin(page.url, given["href"])
