"""What may never be committed: addresses of package indexes, lock files that hold them, paths of
one person's machine."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.stack import ROOT

# Put together here, so that this file passes its own test.
INDEX_HOSTS = (
    "pypi" + ".org",
    "python" + "hosted.org",
    "npmjs" + ".org",
    "registry.yarnpkg" + ".com",
    "deb.debian" + ".org",
)
INDEX_OPTIONS = ("--index" + "-url", "--extra-index" + "-url", "--find" + "-links")
LOCK_FILES_WITH_ADDRESSES = {"uv.lock", "pylock.toml", "poetry.lock", "Pipfile.lock"}
MACHINE_PATH = re.compile(r"(?<![\w./:>-])/(?:home|root|work|Users)/[\w.]")
REQUIREMENT = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[\w.]+)( ; (?P<marker>[^\\]+?))? \\$")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?$")
LOCKS = ("requirements.lock", "requirements-dev.lock")


def tracked() -> list[str]:
    """Files that git knows, or would know after `git add .`."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def lines() -> Iterator[tuple[str, str]]:
    """Every line of every text file, with the place where it stands."""
    for name in tracked():
        try:
            text = (ROOT / name).read_text()
        except UnicodeDecodeError:
            continue  # a picture
        for number, line in enumerate(text.splitlines(), start=1):
            yield f"{name}:{number}", line


def test_no_file_holds_the_address_of_a_package_index() -> None:
    found = [
        place
        for place, line in lines()
        if any(word in line for word in (*INDEX_HOSTS, *INDEX_OPTIONS))
    ]
    assert not found


def test_no_lock_file_that_holds_addresses_is_committed() -> None:
    assert not [name for name in tracked() if name.rpartition("/")[2] in LOCK_FILES_WITH_ADDRESSES]


def test_no_file_holds_a_path_of_one_machine() -> None:
    assert not [place for place, line in lines() if MACHINE_PATH.search(line)]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_holds_versions_and_hashes_and_nothing_else(name: str) -> None:
    text = (ROOT / name).read_text().splitlines()
    assert not [line for line in text if not REQUIREMENT.match(line) and not HASH.match(line)]


def test_development_uses_the_versions_that_run() -> None:
    runtime, development = (
        {line for line in (ROOT / name).read_text().splitlines() if REQUIREMENT.match(line)}
        for name in LOCKS
    )
    assert runtime <= development


def test_each_rule_of_the_stylesheets_is_closed_before_the_next() -> None:
    for sheet in (ROOT / "static").glob("*.css"):
        depth = 0
        for number, line in enumerate(sheet.read_text().splitlines(), start=1):
            # What merging tears apart: a rule that begins at the margin, inside of another.
            assert not (depth and line.endswith("{") and line[0] not in " @"), f"{sheet}:{number}"
            depth += line.count("{") - line.count("}")
        assert depth == 0, sheet
