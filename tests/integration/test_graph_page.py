"""The page of a flow's graph in a real browser, from a file: it draws, opens and closes nested flows, shows details."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.services.debian import ServiceMissingError
from tests.services.website import running_chromium

from jobflow_remote.control.drawing.graphpage import MANY, render_graph_page
from jobflow_remote.model.flowgraph import build_graph

HOSTILE = '</script><img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        with running_chromium() as opened:
            yield opened
    except ServiceMissingError as exc:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(f"CI has to have a browser: {exc}")
        pytest.skip(f"no browser: {exc}")


def job(number: int, *parents: str, hosts: tuple[str, ...] = (), name: str = "add") -> dict[str, Any]:
    moment = datetime(2026, 1, 1)
    return {
        "db_id": str(number), "db_number": number, "uuid": f"u{number}", "index": 1, "state": "READY", "worker": "w",
        "parents": list(parents), "job": {"name": name, "hosts": [*hosts, "flow"]}, "created_on": moment,
        "updated_on": moment, "error": HOSTILE,
    }  # fmt: skip


def open_page(browser: Any, folder: Path, jobs: list[dict[str, Any]]) -> Any:
    path = folder / "graph.html"
    path.write_text(
        render_graph_page({"name": HOSTILE, "state": "READY"}, jobs, build_graph(jobs)), encoding="utf-8"
    )
    page = browser.new_page()
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.asked, page.errors = [], []
    page.goto(path.as_uri())
    return page


def test_the_page(browser: Any, tmp_path: Path) -> None:
    jobs = [
        job(1, name=HOSTILE),
        job(2, "u1", hosts=("outer",)),
        job(3, "u2", hosts=("inner", "outer"), name="deep"),
        job(4, "u3"),
    ]
    page = open_page(browser, tmp_path, jobs)
    assert page.locator(".job").count() == 4
    assert page.locator("#graph img").count() == 0
    page.locator('.job[data-id="1"]').click()
    details = page.locator("#details")
    assert details.is_visible()
    assert HOSTILE in details.inner_text()
    page.keyboard.press("Escape")
    assert not details.is_visible()

    page.locator(".flow .handle").first.click()
    assert page.locator(".job").count() == 2
    assert "2 jobs" in page.locator(".flow.closed").text_content()
    assert page.locator(".edges path.output").count() == 2  # into the closed flow, and out of it
    page.get_by_text("open all").click()
    assert page.locator(".job").count() == 4

    page.locator("#search").fill("deep")
    assert page.locator(".job.dim").count() == 3
    before = page.locator("#graph > g").get_attribute("transform")
    page.locator('[data-do="closer"]').click()
    assert page.locator("#graph > g").get_attribute("transform") != before
    assert page.title().startswith("</script>")
    assert page.errors == []
    assert [url for url in page.asked if not url.startswith("file:")] == []


def test_many_jobs_begin_closed(browser: Any, tmp_path: Path) -> None:
    jobs = [job(number, hosts=(f"flow {number % 3}",)) for number in range(MANY + 1)]
    page = open_page(browser, tmp_path, jobs)
    assert page.locator(".job").count() == 0
    assert page.locator(".flow.closed").count() == 3
    page.get_by_text("open all").click()
    assert page.locator(".job").count() == MANY + 1
    assert page.errors == []
