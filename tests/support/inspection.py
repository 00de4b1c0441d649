"""What every answer of ours must be like, whatever page it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from http.cookies import Morsel, SimpleCookie
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

import html5lib
import requests

CALLBACK_PATH = "/deere/callback"
CACHEABLE = ("/static/", "/p/")
POLICY = {
    "default-src": {"'none'"},
    "style-src": {"'self'"},
    "script-src": {"'self'"},
    "img-src": {"'self'"},
    "connect-src": {"'self'"},
    "base-uri": {"'none'"},
    "frame-ancestors": {"'none'"},
}
"""The whole policy but `form-action`, which names John Deere's pages."""
LOADS = {"link": "href", "script": "src", "img": "src", "iframe": "src", "use": "href"}
COOKIE_SECONDS = {
    "__Host-attempt-": str(30 * 60),
    "__Host-grower-": str(90 * 24 * 3600),
    "__Host-choice": str(3600),
    "__Host-session": "",
}


def complaints(answer: requests.Response, *, origin: str, deere: str) -> list[str]:
    """What is wrong with an answer of ours; empty if nothing is.

    :param origin: of the app
    :param deere: origin of John Deere's pages
    """
    found = [
        *_headers(answer, deere),
        *_location(answer, deere),
        *(wrong for one in cookies(answer) for wrong in _cookie(one)),
    ]
    if _is_page(answer):
        found += _html(answer.text, deere)
    path = urlsplit(answer.url).path
    return [f"{answer.request.method} {path} {answer.status_code}: {wrong}" for wrong in found]


def cookies(answer: requests.Response) -> list[Morsel[str]]:
    """Each `Set-Cookie` of an answer, deleted cookies left out."""
    found: list[Morsel[str]] = []
    for line in answer.raw.headers.getlist("Set-Cookie"):
        found += SimpleCookie(line).values()
    return [one for one in found if one["max-age"] != "0"]


def _is_page(answer: requests.Response) -> bool:
    kind = answer.headers.get("Content-Type", "")
    return kind.startswith("text/html") and bool(answer.text) and not answer.is_redirect


def _headers(answer: requests.Response, deere: str) -> Iterator[str]:
    headers, path = answer.headers, urlsplit(answer.url).path
    policy = dict(part.split(maxsplit=1) for part in headers["Content-Security-Policy"].split("; "))
    forms = set(policy.pop("form-action").split())
    if {name: set(value.split()) for name, value in policy.items()} != POLICY:
        yield f"Content-Security-Policy: {policy}"
    if not {"'self'", deere} <= forms or "*" in forms:
        yield f"form-action: {forms}"
    if headers["X-Frame-Options"] != "DENY":
        yield "X-Frame-Options"
    if headers["X-Content-Type-Options"] != "nosniff":
        yield "X-Content-Type-Options"
    is_callback = path == CALLBACK_PATH and answer.status_code != HTTPStatus.METHOD_NOT_ALLOWED
    referrer = "no-referrer" if is_callback else "same-origin"
    if headers["Referrer-Policy"] != referrer:
        yield f"Referrer-Policy: {headers['Referrer-Policy']}"
    if "Cross-Origin-Opener-Policy" in headers:
        yield "Cross-Origin-Opener-Policy"
    if headers["Cache-Control"] != "no-store" and not path.startswith(CACHEABLE):
        yield f"Cache-Control: {headers['Cache-Control']}"


def _location(answer: requests.Response, deere: str) -> Iterator[str]:
    location = answer.headers.get("Location")
    if location is None:
        return
    if answer.status_code != HTTPStatus.SEE_OTHER:
        yield f"{answer.status_code} instead of 303"
    ours = location.startswith("/") and not location.startswith(("//", "/\\"))
    if not ours and not location.startswith(f"{deere}/"):
        yield f"Location: {location}"


def _cookie(cookie: Morsel[str]) -> Iterator[str]:
    ages = [age for prefix, age in COOKIE_SECONDS.items() if cookie.key.startswith(prefix)]
    if [cookie["max-age"]] != ages:
        yield f"{cookie.key}: Max-Age {cookie['max-age']!r}"
    if not (cookie["secure"] and cookie["httponly"]):
        yield f"{cookie.key}: Secure, HttpOnly"
    if cookie["samesite"] != "Lax" or cookie["path"] != "/" or cookie["domain"]:
        yield f"{cookie.key}: SameSite, Path, Domain"


def _html(text: str, deere: str) -> Iterator[str]:
    parser = html5lib.HTMLParser(namespaceHTMLElements=False)
    root = parser.parse(text)
    yield from (f"HTML: {code} at {place}" for place, code, _ in parser.errors)
    yield from _outline(root)
    yield from _references(root)
    for element in root.iter():
        if isinstance(element.tag, str):
            yield from _element(element, deere)


def _outline(root: Element) -> Iterator[str]:
    headings = [_text(heading) for heading in root.iter("h1")]
    title = _text(root.find("head/title"))
    if root.get("lang") != "en":
        yield f"lang: {root.get('lang')}"
    if len(headings) != 1 or not title.startswith(headings[0]):
        yield f"title {title!r} and h1 {headings}"
    main = root.find(".//main")
    refreshes = root.find("head/noscript/meta[@http-equiv='refresh']") is not None
    if main is None or refreshes != (main.get("data-polling") == "true"):
        yield "a page updates itself with script, or without, but not with both"
    everything = _text(root)
    if "Sandbox. Nothing here reaches John Deere or Leaf." not in everything:
        yield "no banner"
    if "John Deere is a trademark of Deere & Company" not in everything:
        yield "no line about the trademark"


def _references(root: Element) -> Iterator[str]:
    ids = Counter(element.get("id") for element in root.iter() if element.get("id"))
    yield from (f"id {name} {count} times" for name, count in ids.items() if count > 1)
    for element in root.iter():
        named = f"{element.get('aria-labelledby', '')} {element.get('for', '')}".split()
        named += [element.get("href", "")[1:]] if element.get("href", "").startswith("#") else []
        yield from (f"nothing has the id {name}" for name in named if name not in ids)


def _element(element: Element, deere: str) -> Iterator[str]:
    if element.tag == "style" or (element.tag == "script" and (element.text or "").strip()):
        yield f"inline {element.tag}"
    for name, value in element.items():
        if name == "style" or name.startswith("on") or value.lstrip().startswith("javascript:"):
            yield f"<{element.tag} {name}={value!r}>"
    url = element.get(LOADS.get(element.tag, ""), "/")
    if not url.startswith("/") or url.startswith("//"):
        yield f"<{element.tag}> loads {url}"
    if element.tag == "a":
        yield from _link(element, deere)
    if element.tag == "form":
        yield from _form(element)


def _link(element: Element, deere: str) -> Iterator[str]:
    url = element.get("href", "")
    if url.startswith(("/", "#", "mailto:", "tel:")) and not url.startswith("//"):
        return
    if not url.startswith(("https://", f"{deere}/")) or element.get("rel") != "noreferrer":
        yield f"<a href={url!r} rel={element.get('rel')!r}>"


def _form(element: Element) -> Iterator[str]:
    names = [field.get("name") for field in element.iter("input")]
    if element.get("method") != "post" or names.count("csrf_token") != 1:
        yield f"a form with {names}, by {element.get('method')}"
    if not element.get("action", "").startswith(("/c/", "/m/")):
        yield f"a form to {element.get('action')}"


def _text(element: Element | None) -> str:
    return "" if element is None else " ".join("".join(element.itertext()).split())
