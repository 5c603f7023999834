"""The web interface: each line of what it promises, at full size."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
from tests.services.mongod import Mongod
from tests.services.website import TOKEN, Site, fetch_axe, running_chromium, running_site
from tests.shows.main_job import careful
from tests.shows.verdict import Verdict, at_most, is_true, not_run, print_verdicts
from tests.shows.web_big import Big, make_big

from jobflow_remote.control import act
from jobflow_remote.services.opened import Services

ROOT = "/p/big"
PAGES = {
    "overview": "",
    "jobs": "/jobs",
    "jobs, last page": "/jobs?size=200&page=500",
    "jobs by state, worker and time": "/jobs?state=FAILED&worker=b&hours=100&sort=created_on",
    "jobs by a wildcard": "/jobs?name=relax+1*&size=100",
    "jobs by an error": "/jobs?state=errors&sort=db_id&order=asc",
    "a job": "/jobs/77777",
    "flows": "/flows?size=100",
    "flows, last page": "/flows?page=100&sort=created_on",
    "the flow of 5,000 jobs": "/flows/{large}",
    "its timeline": "/flows/{large}/timeline",
    "batches": "/batches",
    "report by days": "/report?interval=days&number=60",
    "report by hours": "/report?interval=hours&number=48",
    "runner": "/runner",
}
_PAGE_SECONDS, _GRAPH_SECONDS, _LIVE_SECONDS, _GROWTH_MB = 0.5, 2.0, 1.0, 10.0


def _load() -> str:
    """How busy the machine is with other work as well: beside figures of a clock."""
    return f"load {os.getloadavg()[0]:.0f}"


def _client(site: Site) -> Any:
    import httpx

    client = httpx.Client(
        base_url=site.address, timeout=120, headers={"accept": "text/html"}, follow_redirects=True
    )
    client.get("/projects", params={"token": TOKEN}).raise_for_status()
    return client


def _pytest(*words: str, env: dict[str, str] | None = None, before: Sequence[str] = ()) -> tuple[bool, str]:
    """Run tests with everything required; whether all passed, and the last line."""
    done = subprocess.run(
        [*before, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        capture_output=True, text=True, check=False, env={**os.environ, "CI": "true", **(env or {})},
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode:
        print("\n".join(lines[-40:]), done.stderr[-2000:])
    return done.returncode == 0, lines[-1] if lines else done.stderr[-200:]


# -- the databases ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def big_projects(folder: Path, seed: int, kinds: Sequence[str], jobs: int) -> Iterator[dict[str, Big]]:
    """The large project on each database."""
    with contextlib.ExitStack() as stack:
        found = {}
        flows = max(2, jobs // 20)
        for kind in kinds:
            began = time.monotonic()
            if kind == "SQLite":
                store: dict[str, Any] = {"type": "SQLiteStore", "path": f"{folder}/sqlite/queue.sqlite"}
            else:
                server = Mongod(folder / "mongod")
                server.start()
                stack.callback(server.stop)
                store = {"type": "MongoStore", "host": "127.0.0.1", "port": server.port, "database": "big",
                         "collection_name": "jobs"}  # fmt: skip
            found[kind] = make_big(folder / kind.lower(), store, seed=seed, jobs=jobs, flows=flows)
            stack.callback(found[kind].queue.close)
            print(f"  {kind}: {jobs} jobs in {time.monotonic() - began:.0f} s", flush=True)
        yield found


# -- line 1 ----------------------------------------------------------------------------------------------------


def line_1(bigs: dict[str, Big], folder: Path) -> list[Verdict]:
    """each page, filter and action in Chromium; live within 1 s"""
    shots = Path("build/screenshots")
    passed, said = _pytest("tests/web", "tests/unit/webgui", env={"JFREMOTE_TEST_SHOTS": str(shots)})
    verdicts = [is_true("tests in the browser and without", passed, figure=said, bound="all pass")]
    for kind, big in bigs.items():
        delays = _live_delays(big)
        note = f"median {statistics.median(delays):.2f} s of {len(delays)}, by another process; {_load()}"
        verdicts.append(at_most(f"{kind}: a change is seen", max(delays), _LIVE_SECONDS, "s", note=note))
    return verdicts


def _live_delays(big: Big, number: int = 20) -> list[float]:
    """From a committed change of another process to the line in the browser."""
    (job,) = big.queue.find_jobs({"state": "READY"}, fields=["uuid", "index", "db_id"], limit=1)
    wanted = '([key, state]) => document.querySelector(`tr[data-key="${key}"] [data-cell=state]`).textContent === state'
    delays = []
    with running_site(env=big.env) as site, running_chromium() as browser:
        page = browser.new_page()
        page.goto(site.url)
        page.goto(f"{site.address}{ROOT}/jobs?id={job['db_id']}")
        page.wait_for_function("() => document.querySelector('#connection').textContent === 'live'")
        for each in range(number):
            decide, state = (act.pause(), "PAUSED") if each % 2 == 0 else (act.play(), "READY")
            (outcome,) = act.act_on_jobs(_services(big), [(job["uuid"], job["index"])], decide)
            assert outcome.done, outcome.refusal
            began = time.monotonic()
            page.wait_for_function(
                wanted, arg=[f"{job['uuid']}:{job['index']}", state], polling=10, timeout=30_000
            )
            delays.append(time.monotonic() - began)
            time.sleep(0.1 * (each % 7))  # not in step with the reader
    return delays


def _services(big: Big) -> Services:
    """Just enough of them to change states."""
    from jobflow_remote.bootstrap import make_host, make_outputs, make_scheduler
    from jobflow_remote.config.manager import ConfigManager

    project = ConfigManager._parse(big.projects / "big.yaml").project
    return Services(project, big.queue, make_host, make_scheduler, make_outputs)


# -- line 2 ----------------------------------------------------------------------------------------------------


def line_2(bigs: dict[str, Big], folder: Path) -> list[Verdict]:
    """pages below 0.5 s on the server, the graph below 2 s in the browser, memory flat"""
    verdicts = []
    for kind, big in bigs.items():
        with running_site(env=big.env) as site, contextlib.closing(_client(site)) as client:
            verdicts += _page_times(kind, big, client, psutil.Process(site.process.pid))
            verdicts += _graph_times(kind, big, site, client)
            verdicts.append(_memory(kind, big, site, client))
    return verdicts


def _page_times(kind: str, big: Big, client: Any, server: psutil.Process, *, times: int = 7) -> list[Verdict]:
    """The clock as a client sees it, and beside it the processor time of the server: on a busy machine they differ."""
    verdicts = []
    for name, path in PAGES.items():
        seconds = []
        for each in range(times + 1):
            if each == 1:
                before = sum(server.cpu_times()[:2])
            began = time.perf_counter()
            answer = client.get(ROOT + path.format(large=big.large_flow))
            seconds.append(time.perf_counter() - began)
            assert answer.status_code == 200, (path, answer.text[:300])
        cpu = (sum(server.cpu_times()[:2]) - before) / times
        note = f"first {seconds[0]:.2f}; processor {cpu:.2f}; {_load()}; {len(answer.content) // 1000} kB"
        verdicts.append(
            at_most(f"{kind}: {name}", statistics.median(seconds[1:]), _PAGE_SECONDS, "s", note=note)
        )
        print(f"  {verdicts[-1].what}: {verdicts[-1].figure}", flush=True)
    return verdicts


def _graph_times(kind: str, big: Big, site: Site, client: Any) -> list[Verdict]:
    verdicts = []
    on_server = {}
    for what, query in (("nested flows closed", ""), ("all open", "?closed=")):
        began = time.perf_counter()
        client.get(f"{ROOT}/flows/{big.large_flow}/graph{query}").raise_for_status()
        on_server[what] = f"{time.perf_counter() - began:.2f} s of it on the server"
    ready = "() => document.querySelector('#graph')?.dataset.painted && document.querySelector('#graph').dataset.ready"
    with running_chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(site.url)
        for what in ("nested flows closed", "all open"):
            began = time.perf_counter()
            if what == "all open":
                page.evaluate(
                    "() => { const graph = document.querySelector('#graph'); delete graph.dataset.ready; }"
                )
                page.click("[data-graph=open]")
            else:
                page.goto(f"{site.address}{ROOT}/flows/{big.large_flow}", wait_until="commit")
            page.wait_for_function(ready, polling=10, timeout=60_000)
            verdicts.append(
                at_most(
                    f"{kind}: the graph is drawn, {what}", time.perf_counter() - began, _GRAPH_SECONDS, "s"
                )
            )
        frames = _frames(page)
        note = f"{len(frames)} frames, all 5,000 jobs in sight"
        verdicts.append(at_most(f"{kind}: a frame while it is moved", max(frames), 50, "ms", note=note))
    return verdicts


def _frames(page: Any) -> list[float]:
    """Milliseconds that drawing took, for each step of a drag."""
    box = page.locator("#graph").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    frames = []
    for step in range(30):
        page.mouse.move(x + step * 4, y + step)
        frames.append(float(page.evaluate("() => document.querySelector('#graph').dataset.painted")))
    page.mouse.up()
    return frames


def _memory(kind: str, big: Big, site: Site, client: Any) -> Verdict:
    """Growth from the 200th to the 1,200th request, with 20 browsers that listen and a queue that changes."""
    process = psutil.Process(site.process.pid)
    paths = [path.format(large=big.large_flow) for path in PAGES.values()]
    paths = [path for path in paths if "timeline" not in path]
    stop = threading.Event()
    with running_chromium() as browser:
        for number in range(20):
            page = browser.new_context().new_page()  # a browser of its own
            page.goto(f"{site.address}{ROOT}/jobs?page={number + 1}&token={TOKEN}")
        writer = threading.Thread(target=_keep_changing, args=(big, stop))
        writer.start()
        try:
            _ask_often(client, paths, 200)
            before = process.memory_full_info().pss
            _ask_often(client, paths, 1000)
            after = process.memory_full_info().pss
        finally:
            stop.set()
            writer.join()
    note = f"from {before / 1e6:.0f} to {after / 1e6:.0f} MB (PSS)"
    return at_most(f"{kind}: the server grows over 1,000 requests, 20 browsers open", (after - before) / 1e6,
                   _GROWTH_MB, "MB", note=note)  # fmt: skip


def _ask_often(client: Any, paths: Sequence[str], number: int) -> None:
    for each in range(number):
        client.get(ROOT + paths[each % len(paths)]).raise_for_status()


def _keep_changing(big: Big, stop: threading.Event) -> None:
    (job,) = big.queue.find_jobs({"state": "READY"}, fields=["uuid", "index"], limit=1)
    services = _services(big)
    while not stop.wait(1.0):
        for decide in (act.pause(), act.play()):
            act.act_on_jobs(services, [(job["uuid"], job["index"])], decide)


# -- lines 3 to 5 ----------------------------------------------------------------------------------------------


def line_3(bigs: dict[str, Big], folder: Path) -> list[Verdict]:
    """every page with no network but the loopback of its own namespace"""
    axe = folder / "axe.js"
    axe.write_text(fetch_axe(), encoding="utf-8")
    cut_off = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    reached = subprocess.run(
        [*cut_off, sys.executable, "-c", "import socket; socket.create_connection(('1.1.1.1', 53), 3)"],
        capture_output=True, check=False,
    )  # fmt: skip
    if b"ip: not found" in reached.stderr or b"Operation not permitted" in reached.stderr:
        return [not_run("pages in a network namespace of their own", "all pass")]
    passed, said = _pytest("tests/web", "-k", "not another_site", env={"JF_AXE": str(axe)}, before=cut_off)
    return [
        is_true("the namespace reaches no other host", b"unreachable" in reached.stderr),
        is_true("every page works there, and asks no other host", passed, figure=said, bound="all pass"),
    ]


def line_4(bigs: dict[str, Big], folder: Path) -> list[Verdict]:
    """axe-core finds nothing serious"""
    passed, said = _pytest("tests/web", "-k", "looks_right")
    return [
        is_true("serious findings on 13 pages, light, dark and on a phone", passed, figure=said, bound="none")
    ]


def line_5(bigs: dict[str, Big], folder: Path) -> list[Verdict]:
    """what should be refused is refused by the server as it runs"""
    big = next(iter(bigs.values()))
    (job,) = big.queue.find_jobs({"state": "READY"}, fields=["uuid", "index", "db_id"], limit=1)
    fields = {"action": "pause", "job": f"{job['uuid']}:{job['index']}"}
    with running_site(env=big.env) as site, contextlib.closing(_client(site)) as client:
        key = re.search(r'data-form-key="(\w+)"', client.get("/projects").text)
        assert key
        with contextlib.closing(_client(site)) as other:
            stolen = re.search(r'data-form-key="(\w+)"', other.get("/projects").text)
            assert stolen
        mine = {"form_key": key[1], **fields}

        def post(content: dict[str, str], **headers: str) -> int:
            return int(client.post(f"{ROOT}/jobs/act", data=content, headers=headers).status_code)

        attempts = {
            "POST of another origin": (post(mine, origin="https://evil.example"), 403),
            "POST of another port": (post(mine, origin="http://127.0.0.1:1"), 403),
            "no form key": (post(fields), 403),
            "a stolen form": (post({**fields, "form_key": stolen[1]}), 403),
            "another host's name": (client.get(ROOT, headers={"host": "evil.example"}).status_code, 421),
            "a wrong token": (client.get(f"{ROOT}?token=x").status_code, 401),
            "nothing selected": (post({"form_key": key[1], "action": "pause"}), 409),
        }
        client.cookies.clear()
        attempts["no cookie"] = (post(mine), 401)
    verdicts = [
        is_true(what, status == wanted, figure=f"HTTP {status}", bound=str(wanted))
        for what, (status, wanted) in attempts.items()
    ]
    state = big.queue.find_jobs({"uuid": job["uuid"]}, fields=["state"])[0]["state"]
    passed, said = _pytest("tests/unit/webgui/test_gate.py", "tests/unit/webgui/test_pages.py")
    return [
        *verdicts,
        is_true("nothing was changed by any of them", state == "READY", figure=state, bound="READY"),
        is_true(
            "hostile names, `..` in names of files, forged cookies", passed, figure=said, bound="all pass"
        ),
    ]


LINES: dict[int, Callable[[dict[str, Big], Path], list[Verdict]]] = {
    1: line_1, 2: line_2, 3: line_3, 4: line_4, 5: line_5,
}  # fmt: skip


def main(words: Sequence[str]) -> int:
    """Run the lines that are asked for; exit code 1 if one does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.shows web", description=__doc__)
    parser.add_argument("--only", metavar="LINES", help="comma-separated numbers, as 2,4")
    parser.add_argument("--databases", default="SQLite,MongoDB", help="which of them")
    parser.add_argument(
        "--jobs", type=int, default=100_000, help="how many jobs; the promise is about 100,000"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000, help="of what is random")
    options = parser.parse_args(words)
    wanted = [int(word) for word in options.only.split(",")] if options.only else list(LINES)
    kinds = options.databases.split(",") if {1, 2, 5} & set(wanted) else []
    results = []
    with tempfile.TemporaryDirectory(prefix="jfs-") as name:
        folder = Path(name)
        with big_projects(folder, options.seed, kinds, options.jobs) as bigs:
            for number in wanted:
                print(f"line {number}: {LINES[number].__doc__}", flush=True)

                def line(number: int = number) -> list[Verdict]:
                    return LINES[number](bigs, folder)

                line.__doc__ = LINES[number].__doc__
                results.append((number, careful(line)))
    return 0 if print_verdicts("The web interface", results) else 1
