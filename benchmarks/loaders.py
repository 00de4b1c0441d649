"""What partners' pages load of us, and of others whose SDKs do the same for other services.

Theirs come from the npm registry and are bundled and minified by esbuild, as partners' own builds
do it; ours is measured as it is, and once more minified in the same way. What they load
afterwards comes from their makers' servers and can't be measured here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import brotli

INSTALL_SECONDS = 240
BUNDLE_SECONDS = 60
ESBUILD = "esbuild@0.28"
OF_THE_PAGE = ("react", "react-dom")
"""A page that uses a wrapper for React has it already."""


@dataclass(frozen=True)
class Sdk:
    """An SDK that puts somebody's connecting into a page.

    :ivar wanted: as npm takes it
    :ivar use: what a page imports to begin with, as its documentation has it
    """

    wanted: str
    use: str


SDKS = (
    Sdk("@nangohq/frontend@0.71", "it from '@nangohq/frontend'"),
    Sdk("@apideck/vault-js@1", "{ ApideckVault as it } from '@apideck/vault-js'"),
    Sdk("@kombo-api/connect@1", "{ showKomboConnect as it } from '@kombo-api/connect'"),
    Sdk("@membranehq/sdk@0.28", "{ MembraneClient as it } from '@membranehq/sdk'"),
    Sdk("@mergeapi/react-merge-link@2", "{ useMergeLink as it } from '@mergeapi/react-merge-link'"),
    Sdk("@pipedream/sdk@3", "{ createFrontendClient as it } from '@pipedream/sdk/browser'"),
    Sdk("@prismatic-io/embedded@4", "it from '@prismatic-io/embedded'"),
    Sdk("@truto/truto-link-sdk@1", "it from '@truto/truto-link-sdk'"),
    Sdk("@tryfinch/react-connect@5", "{ useFinchConnect as it } from '@tryfinch/react-connect'"),
    Sdk("@useparagon/connect@2", "{ paragon as it } from '@useparagon/connect'"),
    Sdk("react-plaid-link@5", "{ usePlaidLink as it } from 'react-plaid-link'"),
)


@dataclass(frozen=True)
class Loader:
    """The script that a partner's page loads first, in bytes.

    :ivar brotli_4: compressed as servers do it while they answer (Flask-Compress, too)
    :ivar brotli_11: compressed as well as it can be, as servers of files do it
    """

    name: str
    plain: int
    brotli_4: int
    brotli_11: int

    @classmethod
    def of(cls, name: str, body: bytes) -> Loader:
        """A script, weighed."""
        fast = brotli.compress(body, quality=4)
        return cls(name, len(body), len(fast), len(brotli.compress(body, quality=11)))


def measure(own: Path) -> tuple[list[Loader], str]:
    """Ours and then theirs; and what is missing to measure them, if anything is."""
    found = [Loader.of(own.name, own.read_bytes())]
    npm = shutil.which("npm")
    if npm is None:
        return found, "npm is not installed"
    with tempfile.TemporaryDirectory(prefix="onboarding-loaders-") as made:
        folder = Path(made)
        (folder / "package.json").write_text('{"private": true}')
        options = ("--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund", "--silent")
        command = [npm, "install", *options, ESBUILD, *(one.wanted for one in SDKS)]
        try:
            _run(command, folder, INSTALL_SECONDS)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return found, "the npm registry did not give them"
        found.append(Loader.of(f"{own.name}, minified", _minified(folder, own)))
        return found + [_bundled(folder, one) for one in SDKS], ""


def _bundled(folder: Path, sdk: Sdk) -> Loader:
    name = sdk.wanted.rpartition("@")[0]
    entry = folder / "entry.js"
    entry.write_text(f"import {sdk.use};\nglobalThis.it = it;\n")
    package = json.loads((folder / "node_modules" / name / "package.json").read_text())
    return Loader.of(f"{name} {package['version']}", _minified(folder, entry))


def _minified(folder: Path, entry: Path) -> bytes:
    out = folder / "out.js"
    esbuild = folder / "node_modules" / ".bin" / "esbuild"
    options = [
        "--bundle",
        "--minify",
        "--format=esm",
        "--target=es2022",
        '--define:process.env.NODE_ENV="production"',
        *(f"--external:{one}" for one in OF_THE_PAGE),
    ]
    _run([str(esbuild), str(entry), *options, f"--outfile={out}"], folder, BUNDLE_SECONDS)
    return out.read_bytes()


def _run(command: Sequence[str], folder: Path, limit: float) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=limit)
