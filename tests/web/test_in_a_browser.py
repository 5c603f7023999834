"""The pages in Chromium: what only a browser can tell."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from tests.services.website import Site, serious_violations
from tests.unit.cli.conftest import World
from tests.web.conftest import OpenPage

from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import NewFlow, new_flow_document, new_job_document
from jobflow_remote.model.states import JobState
from jobflow_remote.testing.cli import run_check_cli

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def add_nested(world: World, *, inner: int = 4, jobs: int = 3) -> str:
    """A flow of flows, one after the other."""
    flow, now = str(uuid4()), utcnow()
    documents: list[dict[str, Any]] = []
    for _ in range(inner):
        host, last = str(uuid4()), documents[-1]["uuid"] if documents else None
        for number in range(jobs):
            uuid = str(uuid4())
            job = {
                "@module": "jobflow.core.job", "@class": "Job", "uuid": uuid, "index": 1, "name": f"step {number}",
                "metadata": {}, "hosts": [host, flow], "function_args": [1], "function_kwargs": {}, "config": {},
            }  # fmt: skip
            parents = [last] if last else []
            documents.append(
                new_job_document(
                    job, flow_uuid=flow, worker="local_shell", parents=parents, now=now, who="me"
                )
            )
            last = uuid
    world.queue.insert_flow(NewFlow(new_flow_document(uuid=flow, name="nested", now=now), documents))
    return flow


@pytest.fixture(scope="module")
def filled(world: World) -> dict[str, str]:
    """Jobs of all kinds; ids of some."""
    flow, (first, second, _) = world.add_flow(f"add {HOSTILE.split()[0]} multiply", name=HOSTILE)
    world.run_job(first)
    world.run_job(second, JobState.FAILED, error=f"Traceback\n  File x\nValueError: {HOSTILE}")
    for number in range(3):
        _, uuids = world.add_flow(" ".join(f"relax_{step}" for step in range(9)), name=f"bands {number}")
        world.run_job(uuids[0], [JobState.RUNNING, JobState.COMPLETED, JobState.REMOTE_ERROR][number])
    return {"flow": flow, "nested": add_nested(world)}


PAGES = {
    "overview": "", "jobs": "/jobs", "filtered": "/jobs?state=FAILED&name=*", "nothing": "/jobs?name=nothing",
    "job": "/jobs/2", "flows": "/flows", "flow": "/flows/{flow}", "nested": "/flows/{nested}",
    "report": "/report?interval=hours", "runner": "/runner",
}  # fmt: skip
LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_looks_right(
    open_page: OpenPage, site: Site, filled: dict[str, str], axe: str, shots: Path, look: str
) -> None:
    """No script fails, no other host is asked, nothing is wider than the screen, axe finds nothing serious."""
    page = open_page("", **LOOKS[look])
    for name, path in PAGES.items():
        page.goto(f"{site.address}/p/tutorial{path.format(**filled)}")
        page.wait_for_function("() => document.querySelector('#connection').textContent === 'live'")
        if page.locator("#graph").count():
            page.wait_for_selector("#graph[data-painted]")
        page.screenshot(path=shots / f"{name}-{look}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        assert page.title() != "owned"
        assert serious_violations(page, axe) == [], name
    for path in ("/projects", "/api", "/login"):
        page.goto(site.address + path)
        page.screenshot(path=shots / f"{path[1:]}-{look}.png", full_page=True)
        assert serious_violations(page, axe) == [], path


def test_dark_and_light(open_page: OpenPage, filled: dict[str, str]) -> None:
    page = open_page("", color_scheme="dark")
    paper = "getComputedStyle(document.body.parentElement).backgroundColor"
    dark = page.evaluate(paper)
    assert sum(int(part) for part in re.findall(r"\d+", dark)) < 150
    page.click("#theme")
    light = page.evaluate(paper)
    assert light != dark
    page.reload()
    assert page.evaluate(paper) == light


def cell(page: Page, uuid: str, name: str = "state") -> str:
    return page.locator(f'tr[data-key="{uuid}:1"] [data-cell="{name}"]').inner_text()


def wait_for_state(page: Page, uuid: str, state: str, *, seconds: float = 40) -> float:
    """Seconds until a line shows a state."""
    began = time.monotonic()
    page.wait_for_function(
        "([key, state]) => document.querySelector(`tr[data-key=\"${key}\"] [data-cell=state]`)?.textContent === state",
        arg=[f"{uuid}:1", state], timeout=1000 * seconds, polling=20,
    )  # fmt: skip
    return time.monotonic() - began


def wait_until_live(page: Page) -> None:
    page.wait_for_function("() => document.querySelector('#connection').textContent === 'live'")


def test_lines_change_while_they_are_looked_at_and_stay_marked(world: World, open_page: OpenPage) -> None:
    _, (first, second) = world.add_flow("watched_a watched_b")
    page = open_page("/jobs?name=watched*")
    wait_until_live(page)
    page.check(f'input[value="{first}:1"]')
    page.evaluate("window.before = document.querySelector('tr[data-key]')")
    run_check_cli(["job", "pause", first])
    wait_for_state(page, first, "PAUSED")
    assert page.is_checked(f'input[value="{first}:1"]')
    assert page.inner_text(".selected") == "1 selected"
    assert cell(page, second) == "WAITING"
    assert page.evaluate("window.before.isConnected"), "the line was replaced rather than updated"


def test_a_page_connects_again_and_catches_up(world: World, open_page: OpenPage, browser: Any) -> None:
    from tests.services.website import start_site

    _, (first,) = world.add_flow("reconnected")
    site = start_site()
    port = int(site.address.rpartition(":")[2])
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(site.url)
        page.goto(f"{site.address}/p/tutorial/jobs?name=reconnected")
        wait_until_live(page)
        page.check(f'input[value="{first}:1"]')
        site.end()
        page.wait_for_selector("#connection.lost")
        run_check_cli(["job", "pause", first])
        site = start_site(port=port)
        wait_for_state(page, first, "PAUSED", seconds=30)
        assert page.is_checked(f'input[value="{first}:1"]')
        run_check_cli(["job", "resume", first])
        wait_for_state(page, first, "READY")
    finally:
        context.close()
        site.end()


def test_many_tabs_of_a_browser_share_one_stream(world: World, open_page: OpenPage, site: Site) -> None:
    """A browser has six connections to a server; a stream for each tab would leave none for the pages."""
    _, (first,) = world.add_flow("tabs")
    pages = [open_page("/jobs?name=tabs")]
    for _ in range(8):
        pages.append(pages[0].context.new_page())
        pages[-1].goto(f"{site.address}/p/tutorial/jobs?name=tabs")
    for page in pages:
        wait_until_live(page)
    run_check_cli(["job", "pause", first])
    for page in pages:
        wait_for_state(page, first, "PAUSED")
    pages.pop(0).close()  # the one that listened
    run_check_cli(["job", "resume", first])
    for page in pages:
        wait_for_state(page, first, "READY")


def test_new_jobs_are_offered_and_not_pushed_in(world: World, open_page: OpenPage) -> None:
    world.add_flow("offered")
    # somebody listens: the next page misses nothing and need not read itself anew
    wait_until_live(open_page("/jobs"))
    page = open_page("/jobs?name=offered*")
    wait_until_live(page)
    world.add_flow("offered")
    page.click("#newer")
    page.wait_for_function("() => document.querySelectorAll('tr[data-key]').length === 2")


def test_an_empty_list_fills_by_itself(world: World, open_page: OpenPage) -> None:
    page = open_page("/jobs?name=later*")
    wait_until_live(page)
    assert "No job matches" in page.inner_text("main")
    _, (first,) = world.add_flow("later_a")
    wait_for_state(page, first, "READY")
    page.wait_for_selector("button[value=pause]")
    wait_until_live(page)
    _, (second,) = world.add_flow("later_b")
    page.wait_for_function("() => document.querySelector('.page-head .muted').textContent.startsWith('2 ')")
    page.click("#newer")
    wait_for_state(page, second, "READY")


def test_actions_with_the_mouse(world: World, open_page: OpenPage) -> None:
    _, uuids = world.add_flow("mouse_a mouse_b mouse_c")
    page = open_page("/jobs?name=mouse*&sort=db_id&order=asc")
    page.click("button[value=pause]")
    page.wait_for_selector("#toasts .notice.error")
    assert "no job is selected" in page.inner_text("#toasts")
    page.click("#toasts button")
    page.click(f'input[value="{uuids[0]}:1"]')
    page.click(f'input[value="{uuids[2]}:1"]', modifiers=["Shift"])
    assert page.inner_text(".selected") == "3 selected"
    page.click("button[value=pause]")
    page.wait_for_selector("#toasts .notice.done")
    for uuid in uuids:
        wait_for_state(page, uuid, "PAUSED")
    page.click("button[value=stop]")
    page.wait_for_selector("dialog[open]")
    assert "Stop 3 jobs?" in page.inner_text("dialog")
    page.click("dialog [data-close]")
    assert world.job(uuids[0])["state"] == "PAUSED"
    page.click("button[value=stop]")
    page.wait_for_selector("dialog[open]")
    page.fill("dialog input[name=why]", "by mistake")
    page.click("dialog button.danger")
    wait_for_state(page, uuids[2], "USER_STOPPED")
    assert world.job(uuids[0])["history"][-1]["why"] == "by mistake"


def test_how_jobs_run_is_set_in_a_dialog(world: World, open_page: OpenPage) -> None:
    _, uuids = world.add_flow("setting_a setting_b")
    page = open_page("/jobs?name=setting*&sort=db_id&order=asc")
    wait_until_live(page)
    page.check("[data-page]")
    page.click("button[value=set]")
    page.wait_for_selector("dialog[open]")
    page.fill("dialog input[name=priority]", "high")
    page.fill("dialog textarea[name=resources]", "nodes=2")
    page.click("dialog .buttons button")
    page.wait_for_selector("dialog .notice.error")
    assert page.input_value("dialog textarea[name=resources]") == "nodes=2"
    page.fill("dialog input[name=priority]", "5")
    page.click("dialog .buttons button")
    page.wait_for_selector("#toasts .notice.done")
    assert not page.locator("dialog[open]").count()
    page.click("#toasts summary")
    assert "setting_b: set properties" in page.inner_text("#toasts")
    for uuid in uuids:
        assert (world.job(uuid)["priority"], world.job(uuid)["resources"]) == (5, {"nodes": 2})
    page.click("#toasts button")
    page.click("tbody a >> nth=0")
    page.wait_for_selector("h1:has-text('setting_a')")
    page.click("button[value=set_state]")
    page.select_option("dialog select", "COMPLETED")
    page.click("dialog .buttons button")
    page.wait_for_function("() => document.querySelector('.page-head .state').textContent === 'COMPLETED'")
    assert world.job(uuids[1])["state"] == "READY"


def test_filters_sorting_and_the_way_back(world: World, open_page: OpenPage) -> None:
    world.add_flow(" ".join(f"sorted_{number:02}" for number in range(25)))
    page = open_page("/jobs")
    page.fill("input[name=name]", "sorted*")
    page.click(".filters button.primary")
    page.wait_for_url(re.compile(r"\?name=sorted\*$|\?name=sorted%2A$"))
    page.click(".sizes a >> nth=0")
    page.wait_for_url(re.compile("size=10"))
    page.click('th a:has-text("Job")')
    page.wait_for_url(re.compile("sort=db_id"))
    page.click('th a:has-text("Job")')
    page.wait_for_url(re.compile("order=asc"))
    assert page.locator("td.wrap").first.inner_text() == "sorted_00"
    page.keyboard.press("n")
    page.wait_for_url(re.compile("page=2"))
    assert page.locator("td.wrap").first.inner_text() == "sorted_10"
    address = page.url
    page.go_back()
    page.wait_for_function("() => document.querySelector('td.wrap').textContent === 'sorted_00'")
    page.goto(address)
    assert page.locator("td.wrap").first.inner_text() == "sorted_10"


def test_keys(world: World, open_page: OpenPage) -> None:
    _, uuids = world.add_flow("keyed_a keyed_b")
    page = open_page("/jobs?name=keyed*&sort=db_id&order=asc")
    page.keyboard.press("j")
    page.keyboard.press("x")
    assert page.is_checked(f'input[value="{uuids[0]}:1"]')
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "id"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("g")
    page.keyboard.press("f")
    page.wait_for_url(re.compile("/flows$"))


def test_a_job_changes_under_the_eye(world: World, open_page: OpenPage) -> None:
    _, (uuid,) = world.add_flow("eyed")
    page = open_page(f"/jobs/{world.job(uuid)['db_id']}")
    wait_until_live(page)
    page.click("summary:has-text('Files of the run folder')")
    page.wait_for_selector("text=was not sent to its worker yet")
    run_check_cli(["job", "pause", uuid])
    page.wait_for_function("() => document.querySelector('.page-head .state').textContent === 'PAUSED'")
    assert page.is_enabled("button[value=play]")
    page.click("button[value=play]")
    page.wait_for_function("() => document.querySelector('.page-head .state').textContent === 'READY'")


def test_the_graph_moves_closes_flows_and_changes_its_colours(
    world: World, open_page: OpenPage, filled: dict[str, str]
) -> None:
    page = open_page(f"/flows/{filled['nested']}")
    page.wait_for_selector("#graph[data-painted]")
    assert "12 jobs" in page.inner_text("#graph-note")
    page.click("[data-graph=close]")
    page.wait_for_function(
        "() => document.querySelector('#graph-note').textContent.includes('12 of them in closed flows')"
    )
    page.click("[data-graph=open]")
    page.wait_for_function("() => document.querySelector('#graph-note').textContent === '12 jobs'")
    wait_until_live(page)
    before = page.locator("#graph").screenshot()
    page.mouse.move(*centre(page))
    page.mouse.down()
    page.mouse.move(centre(page)[0] + 90, centre(page)[1] + 20, steps=4)
    page.mouse.up()
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(100)
    moved = page.locator("#graph").screenshot()
    assert moved != before
    (first,) = world.queue.find_jobs({"flow_uuid": filled["nested"], "state": "READY"}, limit=1)
    page.click("[data-graph=fit]")
    page.wait_for_timeout(100)
    fitted = page.locator("#graph").screenshot()
    run_check_cli(["job", "pause", first["uuid"]])
    wait_for_state(page, first["uuid"], "PAUSED")
    page.wait_for_timeout(100)
    assert page.locator("#graph").screenshot() != fitted
    page.fill("#graph-find", "step 2")
    page.focus("#graph")
    page.keyboard.press("+")


def centre(page: Page) -> tuple[float, float]:
    box = page.locator("#graph").bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_pages_work_without_scripts(world: World, open_page: OpenPage) -> None:
    _, (uuid,) = world.add_flow("plain")
    page = open_page("/jobs?name=plain", java_script_enabled=False)
    page.check(f'input[value="{uuid}:1"]')
    page.click("button[value=stop]")
    assert page.inner_text("h1") == "Please confirm"
    page.click(".question button.danger")
    assert "1 changed" in page.inner_text("main")
    page.click("text=Back")
    assert "name=plain" in page.url
    assert cell(page, uuid) == "USER_STOPPED"


def test_a_form_of_another_site_changes_nothing(
    world: World, site: Site, browser: Any, tmp_path: Path
) -> None:
    """A page elsewhere posts a form to us, from a browser that we know."""
    import http.server
    import threading

    _, (uuid,) = world.add_flow("foreign")
    evil = (
        f"<form method=post action='{site.address}/p/tutorial/jobs/act'><input name=action value=pause>"
        f"<input name=job value='{uuid}:1'></form><script>document.forms[0].submit()</script>"
    )

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(evil.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Evil)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(site.url)
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_url(re.compile("/jobs/act$|/login"))
        assert "another site" in page.inner_text("body") or "/login" in page.url
        assert world.job(uuid)["state"] == "READY"
    finally:
        context.close()
        server.shutdown()
        server.server_close()
