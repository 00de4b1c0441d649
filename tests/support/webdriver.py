"""Firefox and WebKitGTK as Debian has them, driven by the commands of WebDriver.

Playwright drives builds of its own only. WebKit's driver speaks WebDriver's HTTP; Firefox speaks
the same commands over a socket (Marionette), so that it needs no driver besides.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

import requests

from tests.support.ports import free_port
from tests.support.wait import wait_until

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key that WebDriver gives elements."""
MINI_BROWSERS = ("lib/*/webkit2gtk-4.*/MiniBrowser", "libexec/webkit2gtk-4.*/MiniBrowser")
ANY_CERTIFICATE = {"acceptInsecureCerts": True}
ANSWER_SECONDS = 60
FIREFOX_PREFERENCES: dict[str, object] = {
    "marionette.port": 0,
    "dom.disable_open_during_load": True,  # its blocker of windows, which automation switches off
    "toolkit.telemetry.server": "",
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
}
HTTP = {
    "Navigate": ("POST", "/url"),
    "GetCurrentURL": ("GET", "/url"),
    "FindElements": ("POST", "/elements"),
    "ElementClick": ("POST", "/element/{id}/click"),
    "GetElementText": ("GET", "/element/{id}/text"),
    "SwitchToFrame": ("POST", "/frame"),
    "GetWindowHandles": ("GET", "/window/handles"),
    "SwitchToWindow": ("POST", "/window"),
    "CloseWindow": ("DELETE", "/window"),
    "ExecuteScript": ("POST", "/execute/sync"),
}
"""The commands by Marionette's names, and where they are in WebDriver's HTTP."""


class Refused(Exception):
    """The browser could not do it."""


class Driver(ABC):
    """One browser: commands go to the window, and to the frame in it, that was switched to last."""

    @abstractmethod
    def do(self, command: str, **given: Any) -> Any:
        """Send a command; what the browser answers.

        :raise Refused: if it could not
        """

    @abstractmethod
    def into(self, frame: str | None) -> None:
        """Switch to a frame, an element's id; None: to the page itself."""

    def open(self, url: str) -> None:
        """Go to an address."""
        self.do("Navigate", url=url)

    def where(self) -> SplitResult:
        """The address of the window, also between two pages, where scripts have none to tell."""
        return urlsplit(str(self.do("GetCurrentURL")))

    def find(self, css: str) -> list[str]:
        """The ids of elements."""
        return self._found("css selector", css)

    def button(self, text: str) -> list[str]:
        """The ids of buttons with this text."""
        return self._found("xpath", f"//button[normalize-space() = '{text}']")

    def click(self, element: str) -> None:
        """Press it, as a person does."""
        self.do("ElementClick", id=element)

    def text(self, css: str) -> str:
        """What a person reads in an element; nothing if it is not there."""
        try:
            return " ".join(str(self.do("GetElementText", id=one)) for one in self.find(css)[:1])
        except Refused:
            return ""

    def run(self, script: str) -> Any:
        """What a script in the page returns."""
        return self.do("ExecuteScript", script=script, args=[])

    def windows(self) -> list[str]:
        """The windows that are open."""
        return list(self.do("GetWindowHandles"))

    def to(self, window: str) -> None:
        """Switch to a window."""
        self.do("SwitchToWindow", handle=window)

    def _found(self, using: str, value: str) -> list[str]:
        return [one[ELEMENT] for one in self.do("FindElements", using=using, value=value)]


class Marionette(Driver):
    """Firefox."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)
        self._number = 0
        self._read()
        self.do("NewSession", **ANY_CERTIFICATE)

    def do(self, command: str, **given: Any) -> Any:
        self._number += 1
        sent = json.dumps([0, self._number, f"WebDriver:{command}", given]).encode()
        self._socket.sendall(f"{len(sent)}:".encode() + sent)
        _, _, error, answer = self._read()
        if error:
            raise Refused(f"{command}: {error['message']}")
        return answer["value"] if isinstance(answer, dict) and "value" in answer else answer

    def into(self, frame: str | None) -> None:
        self.do("SwitchToFrame", element=frame)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _read(self) -> Any:
        length = b""
        while (one := self._socket.recv(1)) != b":":
            length += one
        received = b""
        while len(received) < int(length):
            received += self._socket.recv(int(length) - len(received))
        return json.loads(received)


class OverHttp(Driver):
    """WebKit's driver."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self._http = requests.Session()
        self._http.trust_env = False
        wanted = {"capabilities": {"alwaysMatch": options | ANY_CERTIFICATE}}
        made = self._send("POST", f"{url}/session", wanted)
        self._url = f"{url}/session/{made['sessionId']}"

    def do(self, command: str, **given: Any) -> Any:
        method, path = HTTP[command]
        return self._send(method, self._url + path.format(**given), given)

    def into(self, frame: str | None) -> None:
        self.do("SwitchToFrame", id=None if frame is None else {ELEMENT: frame})

    def close(self) -> None:
        """End the browser."""
        self._send("DELETE", self._url, {})
        self._http.close()

    def _send(self, method: str, url: str, body: dict[str, Any]) -> Any:
        given = body if method == "POST" else None
        answer = self._http.request(method, url, json=given, timeout=ANSWER_SECONDS)
        value = answer.json()["value"]
        if answer.status_code != 200:
            raise Refused(f"{url.rpartition('/')[2]}: {value['message']}")
        return value


@contextmanager
def firefox(folder: Path, missing: Callable[[str], NoReturn]) -> Iterator[Driver]:
    """Firefox without a window, with a new profile.

    :param missing: called with the reason if it is not installed
    """
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        missing("Firefox is not installed")
    preferences = (f"user_pref({json.dumps(name)}, {json.dumps(value)});"
                   for name, value in FIREFOX_PREFERENCES.items())  # fmt: skip
    (folder / "user.js").write_text("\n".join(preferences))
    arguments = ["--headless", "--marionette", "--no-remote", "--profile", str(folder)]
    with _running([program, *arguments]):
        told = folder / "MarionetteActivePort"
        wait_until(lambda: told.exists() and told.read_text().strip(), what="Firefox is there")
        driver = Marionette(int(told.read_text()))
        try:
            yield driver
        finally:
            driver.close()


@contextmanager
def webkit(folder: Path, missing: Callable[[str], NoReturn]) -> Iterator[Driver]:
    """WebKitGTK's own little browser, on a screen that nobody sees.

    :param missing: called with the reason if it is not installed
    """
    program, screen = shutil.which("WebKitWebDriver"), shutil.which("Xvfb")
    browser = next((one for glob in MINI_BROWSERS for one in Path("/usr").glob(glob)), None)
    if program is None or browser is None or screen is None:
        missing("WebKitGTK with its driver, or Xvfb, is not installed")
    port = free_port()
    with ExitStack() as closing:
        display = closing.enter_context(_screen(screen))
        places = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "DISPLAY": display}
        environment = os.environ | places | {"GDK_BACKEND": "x11", "NO_AT_BRIDGE": "1"}
        closing.enter_context(_running([program, f"--port={port}"], environment))
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(url), what="WebKit's driver is there")
        options = {"binary": str(browser), "args": ["--automation"]}
        driver = OverHttp(url, {"webkitgtk:browserOptions": options})
        closing.callback(driver.close)
        yield driver


@contextmanager
def _screen(program: str) -> Iterator[str]:
    read, write = os.pipe()
    with _running([program, "-displayfd", str(write), "-nolisten", "tcp"], keep=(write,)):
        os.close(write)
        with os.fdopen(read) as told:
            yield f":{told.readline().strip()}"


@contextmanager
def _running(
    command: list[str], environment: dict[str, str] | None = None, keep: tuple[int, ...] = ()
) -> Iterator[None]:
    with subprocess.Popen(
        command,
        env=environment,
        pass_fds=keep,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as started:
        try:
            yield
        finally:
            started.terminate()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/status", timeout=5).ok
    except requests.ConnectionError:
        return False
