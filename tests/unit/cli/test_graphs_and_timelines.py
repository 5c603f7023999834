"""``jf flow graph``, ``jf flow timeline`` and ``jf explain``, whatever jobs are called."""

from __future__ import annotations

import json
import re
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from jobflow_remote.control.drawing.save import save_picture
from jobflow_remote.control.drawing.shapes import Picture, fit_text, plain_line
from jobflow_remote.control.drawing.timelinepicture import _step_seconds, format_mark, format_seconds
from jobflow_remote.control.graph import load_graph
from jobflow_remote.errors import NotAllowedError
from jobflow_remote.model.records import NewFlow, new_flow_document, new_job_document
from jobflow_remote.model.states import JobState

HOSTILE = '"]</script><img\tsrc=x\nonerror=alert(1)>$x$[red]\x1b[31m&#39;'
FLOW = "00000000-0000-4000-8000-00000000f100"


@pytest.fixture
def flow(world: Any) -> str:
    """Jobs 1 and 2 in nested flows, 3 after them, 4 without any edge; the first has a hostile name."""
    now = datetime(2026, 1, 1)
    uuids = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(1, 5)]
    parents: list[list[str]] = [[], uuids[:1], uuids[:2], []]
    hosts = [["inner", "outer"], ["outer"], [], []]
    names = [["", f"elastic {HOSTILE}"], [f"elastic {HOSTILE}"], [], []]
    jobs = [
        new_job_document(
            {"uuid": uuid, "index": 1, "name": name, "metadata": {}, "hosts": [*nested, FLOW], "config": {},
             "function_args": [], "function_kwargs": {}},
            flow_uuid=FLOW, worker="local_shell", parents=before, now=now, who="guido@here", host_names=called,
        )
        for uuid, name, before, nested, called in zip(
            uuids, [HOSTILE, "relax", "static", "alone"], parents, hosts, names, strict=True
        )
    ]  # fmt: skip
    world.queue.insert_flow(NewFlow(new_flow_document(uuid=FLOW, name=f"flow {HOSTILE}", now=now), jobs))
    world.uuids = uuids
    return FLOW


def test_tree(flow: str, jf: Any) -> None:
    out = jf("flow graph 2 -j").stdout
    assert "\x1b" not in out
    assert re.search(r"nested flow elastic .* \(2 jobs\)\n│ {3}├── nested flow inner \(1 job\)\n", out)
    assert re.search(r"├── ● 3 static {2}WAITING {2}needs 1, 2\n", out)
    assert re.search(r"└── ● 4 alone {2}READY$", out, flags=re.MULTILINE)
    assert "● 4 00000000-0000-4000-8000-000000000004" in jf(f"flow graph {flow} -l uuid").stdout


def test_mermaid(flow: str, jf: Any) -> None:
    out = jf(f"flow graph {flow} --mermaid").stdout
    lines = out.splitlines()
    assert lines[0] == "flowchart TD"
    assert '    job_4["alone"]:::READY' in lines
    assert "    job_1 --> job_2" in lines
    label = next(line for line in lines if "job_1[" in line).split('["')[1].split('"]')[0]
    assert not set(label) & set("<>\"'\n\t\x1b&[]()`|")
    assert lines.count("        end") == lines.count("    end") == 1
    box = next(line for line in lines if "subgraph flow_outer" in line).split('["')[1].split('"]')[0]
    assert box.startswith("nested flow elastic ")
    assert not set(box) & set("<>\"'\n\t\x1b[]()`|")
    assert any(line.startswith("    classDef WAITING fill:#") for line in lines)
    jf(f"flow graph {flow} -m -d", error=True)
    jf(f"flow graph {flow} --dash", error=True, required_out=["dash", ".html"])
    jf(f"flow graph {flow} --label colour", error=True, required_out="name, db_id, uuid")


def test_json(flow: str, jf: Any) -> None:
    found = json.loads(jf(f"flow graph {flow} --json").stdout)
    assert [node["name"] for node in found["nodes"]][1:] == ["relax", "static", "alone"]
    assert found["nodes"][0]["hosts"] == ["outer", "inner"]
    assert found["nodes"][0]["host_names"] == [f"elastic {HOSTILE}", ""]
    assert {"source": "1", "target": "3", "kind": "output"} in found["edges"]


class Page(HTMLParser):
    """Elements of a page, and the text in its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._in_script = tag == "script"
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data


def test_the_page_needs_nothing_from_elsewhere(flow: str, jf: Any, tmp_path: Path) -> None:
    path = tmp_path / "graph.html"
    jf(f"flow graph {flow} --path {path}", required_out=str(path))
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.links == []
    assert "img" not in page.tags
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|https?://(?!www\.w3\.org/2000/svg)", text)
    data = json.loads(page.scripts[0])
    assert data["nodes"][0]["text"] == plain_line(HOSTILE)
    assert ["needs", "1, 2"] in data["nodes"][2]["details"]
    assert data["edges"] == [["1", "2", "output"], ["1", "3", "output"], ["2", "3", "output"]]
    assert len(page.scripts) == 2
    assert "default-src 'none'" in text


def test_pictures(flow: str, jf: Any, tmp_path: Path) -> None:
    for what in ("graph", "timeline"):
        jf(f"flow {what} {flow} -p {tmp_path / 'a.svg'}")
        text = "".join(ElementTree.parse(tmp_path / "a.svg").getroot().itertext())
        assert "onerror=alert(1)>$x$[red]" in text
        assert "static" in text
        jf(f"flow {what} {flow} -p {tmp_path / 'a.png'}")
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
        jf(f"flow {what} {flow} -p {tmp_path / 'a.html'}")
        assert "img" not in Page((tmp_path / "a.html").read_text(encoding="utf-8")).tags
        jf(f"flow {what} {flow} -p {tmp_path / 'a.txt'}", error=True, required_out=".html, .png, .svg, .pdf")


def test_timeline(flow: str, world: Any, jf: Any) -> None:
    world.run_job(world.uuids[0])
    out = jf(
        f"flow timeline {flow}", required_out=["Waiting", "Queued", "Running", "in all; all jobs together"]
    ).stdout
    first = next(line for line in out.splitlines() if line.startswith("│ 1 "))
    assert "█" in first
    assert "90 min" in first
    found = json.loads(jf(f"flow timeline {flow} --json").stdout)
    assert found["running_seconds"] == pytest.approx(5400)
    assert {span["activity"] for span in found["jobs"][0]["spans"]} >= {"running"}


def test_a_flow_with_a_report(flow: str, world: Any, jf: Any) -> None:
    world.run_job(world.uuids[0])
    out = jf(f"flow info {flow} --report").stdout
    assert re.search(r"Jobs\s+│ 4", out)
    assert re.search(r"Total run time\s+│ 90 min", out)
    assert "COMPLETED" in out
    assert "25 %" in out
    assert json.loads(jf(f"flow info {flow} --report --json").stdout)["report"]["completed"] == 1


def test_no_such_flow(world: Any, jf: Any) -> None:
    for words in ("flow graph 7", "flow timeline 7", "explain 7"):
        jf(words, error=True, required_out="has the id 7")


# -- explain ---------------------------------------------------------------------------------------


def test_explain_a_job(flow: str, world: Any, jf: Any) -> None:
    out = jf("explain 3").stdout
    assert "job 3 (static) is WAITING since" in out
    assert "it waits for 2 of 2 jobs: 1 (" in out
    assert "no runner works on this queue" in out
    assert "\x1b" not in out
    world.run_job(world.uuids[0], JobState.FAILED, error="Traceback\nValueError: no")
    out = jf("explain 3").stdout
    assert "nothing goes on before 1 (" in out
    assert "jf job rerun 1" in out
    assert "its function raised: ValueError: no" in jf("explain 1").stdout
    assert "the runner of guido@elsewhere is active" in jf("explain 4").stdout


def test_explain_ready_jobs_and_workers(world: Any, jf: Any) -> None:
    world.add_flow("one two")
    world.add_flow("three", worker="gone")
    world.session  # noqa: B018  # the runner is live
    assert "the runner takes it next" in jf("explain 1").stdout
    out = jf("explain 3").stdout
    assert "the project has no worker gone; it has local_shell" in out
    assert "jf job set worker local_shell -did 3" in out
    key = "worker_health/local_shell/upload"
    world.queue.set_auxiliary(
        key, {"since": world.session.started_on, "why": "disk full\nmake room", "next_try": None}
    )
    assert "worker local_shell is down since" in jf("explain 1").stdout


def test_explain_a_flow(flow: str, world: Any, jf: Any) -> None:
    found = json.loads(jf(f"explain {flow} --json").stdout)
    assert found["flow"] == flow
    assert found["findings"][0]["text"] == "4 jobs: 2 WAITING, 2 READY"
    assert any(
        each["about"] == "runner" and each["commands"] == ["jf runner start"] for each in found["findings"]
    )
    assert json.loads(jf("explain 2 --flow --json").stdout)["flow"] == flow
    world.run_job(world.uuids[0], JobState.REMOTE_ERROR)
    assert "jf job retry 1" in jf(f"explain {flow}").stdout


# -- words and lengths -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (119, "119 s"), (125, "2 min 05 s"), (660, "11 min"), (7260, "2 h 01 min"),
     (200_000, "2 d 7 h")],
)  # fmt: skip
def test_lengths_of_time(seconds: float, words: str) -> None:
    assert format_seconds(seconds) == words


@pytest.mark.parametrize("whole", [0.3, 7, 61, 3600, 86_400, 30 * 86_400, 900 * 86_400])
def test_marks_of_time(whole: float) -> None:
    step = _step_seconds(whole)
    assert whole / 9 < step * 2.6
    assert whole <= 8 * step
    assert format_mark(step, step).split()[1] in ("s", "min", "h", "d")


def test_texts_are_cut_and_cleaned() -> None:
    assert fit_text("a" * 50, 70, 10) == "a" * 11 + "…"
    assert plain_line("a\nb\x00\ud800\u202e\ufffe") == "a b   "


def test_formats_are_checked(tmp_path: Path) -> None:
    with pytest.raises(NotAllowedError, match="extension"):
        save_picture(Picture(1, 1, ()), tmp_path / "nothing")


def test_what_dynamic_jobs_add_is_in_the_graph(world: Any, flow: str) -> None:
    assert len(load_graph(world.queue, "1").graph.nodes) == 4
