"""What every page says of the settings it is served with: which world this is, and by https."""

from __future__ import annotations

from pathlib import Path

import html5lib
import pytest
from flask.testing import FlaskClient

from onboarding import create_app
from onboarding.settings import load
from tests.unit.test_settings import REQUIRED, SIMULATED

SANDBOX = "Sandbox. Nothing here reaches John Deere or Leaf."
STAGE = "Test environment (STAGE). Connect test accounts only."
LOCAL = "Local run against the real John Deere and Leaf."


def client(folder: Path, /, **changes: str) -> FlaskClient:
    """Of an app with the required settings, changed."""
    return create_app(load(REQUIRED | changes, instance=folder)).test_client()


@pytest.mark.parametrize(
    ("changes", "banner"),
    [
        ({}, None),
        ({"DEERE_ENVIRONMENT": "STAGE"}, STAGE),
        ({"LOCAL_RUN": "1"}, LOCAL),
        ({"LOCAL_RUN": "1", "DEERE_ENVIRONMENT": "STAGE"}, LOCAL),
        ({"PUBLIC_URL": "http://localhost:8000"}, LOCAL),
        (SIMULATED, SANDBOX),
        (SIMULATED | {"LOCAL_RUN": "1", "PUBLIC_URL": "http://localhost:8000"}, SANDBOX),
    ],
)
def test_a_banner_says_which_world_this_is(
    tmp_path: Path, changes: dict[str, str], banner: str | None
) -> None:
    page = client(tmp_path, **changes).get("/nothing")

    found = html5lib.parse(page.text, namespaceHTMLElements=False).findall(".//aside")
    said = [" ".join("".join(aside.itertext()).split()) for aside in found]
    assert said == ([banner] if banner else [])


@pytest.mark.parametrize("path", ["/nothing", "/health/live"])
def test_browsers_come_back_by_https_to_this_host_alone(tmp_path: Path, path: str) -> None:
    by_https = client(tmp_path).get(path)
    by_http = client(tmp_path, PUBLIC_URL="http://localhost:8000").get(path)

    assert by_https.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in by_http.headers


# Flask-Compress leaves it to Python to close a file that it has read.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("path", ["/", "/static/app.css", "/static/embed.js"])
@pytest.mark.parametrize(
    ("asked", "sent"),
    [("gzip, deflate, br, zstd", "br"), ("gzip", "gzip"), ("zstd", None), ("identity", None)],
)
def test_pages_and_files_are_compressed_alike(
    tmp_path: Path, path: str, asked: str, sent: str | None
) -> None:
    asking = client(tmp_path)
    plain = asking.get(path, buffered=True)

    answer = asking.get(path, headers={"Accept-Encoding": asked}, buffered=True)
    assert answer.headers.get("Content-Encoding") == sent
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert sent is None or len(answer.data) < len(plain.data) / 2
