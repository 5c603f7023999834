"""`jf gui` as people start it, and Debian's Chromium to look at it."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.services.debian import ServiceMissingError, free_ports, need_packages

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

TOKEN = "token-of-the-tests"
CHROMIUM = "/usr/bin/chromium"
SWITCHES = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-quic", "--disable-default-apps", "--disable-extensions",
)  # fmt: skip


@dataclass
class Site:
    """A server that runs."""

    process: subprocess.Popen[str]
    address: str
    """Without the token."""
    url: str

    def end(self, number: int = signal.SIGINT) -> int:
        """End it as Ctrl-C does; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(15)
        if self.process.stdout:
            self.process.stdout.close()
        return self.process.returncode


def start_site(*words: str, port: int | None = None, env: Mapping[str, str] | None = None) -> Site:
    """Start ``jf gui`` and wait until it says where it is."""
    port = port or free_ports(1)[0]
    command = [str(Path(sys.executable).with_name("jf")), "gui", "--port", str(port), *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "JFREMOTE_GUI_TOKEN": TOKEN, "COLUMNS": "200", "PYTHONUNBUFFERED": "1", **(env or {})},
    )  # fmt: skip
    assert process.stdout is not None
    said, end = "", time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([process.stdout], [], [], 0.2)[0]:
            line = process.stdout.readline()
            said += line
            found = re.search(r"(http://\S+?)/\?token=\S+", said)
            if found:
                return Site(process, found[1], found[0])
            if not line:
                break
    process.kill()
    raise AssertionError(f"jf gui did not start:\n{said}")


@contextlib.contextmanager
def running_site(*words: str, env: Mapping[str, str] | None = None) -> Iterator[Site]:
    """A server for a while."""
    site = start_site(*words, env=env)
    try:
        yield site
    finally:
        site.end()


@contextlib.contextmanager
def running_chromium() -> Iterator[Browser]:
    """Chromium with an empty profile.

    Raises
    ------
    ServiceMissingError
        If it cannot be had here.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError as error:
        raise ServiceMissingError("the package playwright is not installed") from error
    if not Path(CHROMIUM).exists():
        need_packages("chromium")
    with sync_playwright() as playwright:
        browser = _launch(playwright)
        try:
            yield browser
        finally:
            browser.close()


def _launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES), headless=True)


def fetch_axe() -> str:
    """The script of axe-core, from npm; ``JF_AXE`` names a file that has it.

    Raises
    ------
    ServiceMissingError
        If npm is not there or cannot fetch it.
    """
    if known := os.environ.get("JF_AXE"):
        return Path(known).read_text(encoding="utf-8")
    npm = shutil.which("npm")
    if npm is None:
        raise ServiceMissingError("npm is not installed")
    with tempfile.TemporaryDirectory(prefix="axe-") as folder:
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder, "axe-core@4"],
            capture_output=True, text=True, check=False, timeout=240, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        script = Path(folder) / "node_modules/axe-core/axe.min.js"
        if done.returncode or not script.is_file():
            raise ServiceMissingError(f"npm cannot fetch axe-core: {(done.stderr or done.stdout)[-300:]}")
        return script.read_text(encoding="utf-8")


def serious_violations(page: Any, axe: str) -> list[str]:
    """What axe-core finds serious or critical on the page that is shown."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {each['help']} ({'; '.join(node['html'][:160] for node in each['nodes'][:3])})"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
