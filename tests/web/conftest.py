"""A project, `jf gui` for it, and a browser. What is missing skips at home and fails where CI=true."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("fasthtml", reason="the extra `gui` is not installed")

from tests.services.debian import ServiceMissingError
from tests.services.website import Site, fetch_axe, running_chromium, running_site
from tests.unit.cli.conftest import World

import jobflow_remote
from jobflow_remote.config.settings import JobflowRemoteSettings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def missing(error: ServiceMissingError) -> None:
    """Skip, or fail where everything has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(str(error))
    pytest.skip(str(error))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; not for longer than a module, because its event loop counts as running in this thread meanwhile."""
    try:
        with running_chromium() as opened:
            yield opened
    except ServiceMissingError as error:
        missing(error)


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core."""
    try:
        return fetch_axe()
    except ServiceMissingError as error:
        missing(error)
        raise


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A project for all tests of a module."""
    folder = tmp_path_factory.mktemp("web")
    created = World(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith("JFREMOTE_"):
                patch.delenv(name)
        patch.setenv("JFREMOTE_PROJECTS_FOLDER", str(created.projects_folder))
        patch.setenv("JFREMOTE_CONFIG_FILE", str(folder / "none.yaml"))
        patch.setattr(jobflow_remote, "SETTINGS", JobflowRemoteSettings(), raising=False)
        yield created
    created.queue.close()


@pytest.fixture(scope="module")
def site(world: World) -> Iterator[Site]:
    """The server."""
    with running_site() as started:
        yield started


class Watched:
    """What a page complained of, and whom it asked."""

    def __init__(self, page: Page, address: str) -> None:
        self.problems: list[str] = []
        self.strangers: list[str] = []
        page.on("console", lambda said: self._hear(said.type, said.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda asked: self._note(asked.url, address))
        page.on("response", lambda answer: self._judge(answer.status, answer.url))

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error" and "Failed to load resource" not in text:  # answers are judged by themselves
            self.problems.append(text)

    def _judge(self, status: int, url: str) -> None:
        if status >= 500 or (status >= 400 and "/static/" in url):
            self.problems.append(f"{status} {url}")

    def _note(self, url: str, address: str) -> None:
        if not url.startswith((address, "data:", "blob:")):
            self.strangers.append(url)


OpenPage = Callable[..., "Page"]


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[OpenPage]:
    """``open_page("/jobs")``: a page of somebody who was let in; what it complains of fails the test."""
    contexts = []
    watched: list[Watched] = []

    def open_one(path: str = "", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 720}, **options})
        contexts.append(context)
        page = context.new_page()
        watched.append(Watched(page, site.address))
        page.goto(site.url)
        page.goto(f"{site.address}/p/tutorial{path}")
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert [problem for each in watched for problem in each.problems] == []
    assert [url for each in watched for url in each.strangers] == []


@pytest.fixture(scope="session")
def shots() -> Path:
    """Where screenshots are left: ``JFREMOTE_TEST_SHOTS``, by default the folder ``build/screenshots``."""
    folder = Path(os.environ.get("JFREMOTE_TEST_SHOTS") or "build/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
