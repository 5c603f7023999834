"""Each page, the same as JSON, and that whatever people write into jobs is text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.unit.cli.conftest import World
from tests.unit.webgui.conftest import HTML, ROOT, Visitor

from jobflow_remote.layout import QUEUE_ERR_FILENAME, QUEUE_OUT_FILENAME
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.records import health_key
from jobflow_remote.model.states import JobState

HOSTILE = """<script>alert(1)</script>"><img src=x onerror='alert(2)'>&amp;{{7*7}}"""


class Elements(HTMLParser):
    """Tags and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def check_harmless(text: str) -> None:
    """No script but ours, nothing of another host, no handler and no style in the page."""
    for tag, attributes in Elements(text).found:
        assert tag not in ("img", "iframe", "object", "embed", "style"), tag
        if tag == "script":
            assert (attributes["src"] or "").startswith("/static/")
        for name, value in attributes.items():
            assert not name.startswith("on"), name
            assert name != "style"
            if name in ("href", "src", "action"):
                assert re.match(r"[/?#]", value or ""), value
                assert not (value or "").startswith("//")


def test_the_first_page_says_how_everything_is(world: World, visitor: Visitor) -> None:
    _, (first, _) = world.add_flow("add multiply")
    world.run_job(first, JobState.FAILED, error="Traceback\nValueError: too large: 12")
    _, (other,) = world.add_flow("add")
    world.run_job(other, JobState.FAILED, error="Traceback\nValueError: too large: 7")
    _, (running,) = world.add_flow("relax")
    world.run_job(running, JobState.RUNNING)
    since = utcnow()
    world.queue.set_auxiliary(
        health_key("local_shell", "submit"), {"since": since, "why": "no route to host"}
    )
    text = visitor.get("")
    for part in ("tutorial", "relax", "ValueError: too large: 7", "no route to host", "guido on elsewhere"):
        assert part in text
    data = visitor.json("")
    assert data["job_states"] == {"FAILED": 2, "RUNNING": 1, "WAITING": 1}
    assert [(cause["number"], cause["state"]) for cause in data["failures"]] == [(2, "FAILED")]
    assert data["workers"][0]["troubles"][0]["why"] == "no route to host"
    assert sum(hour["FAILED"] for hour in data["throughput"].values()) == 2


def test_an_empty_project_says_what_to_do_next(visitor: Visitor) -> None:
    assert "submit_flow" in visitor.get("")
    assert "There are no jobs yet" in visitor.get("/jobs")
    assert "There are no flows yet" in visitor.get("/flows")
    assert "Nothing came to an end" in visitor.get("/report")
    assert "has not been started here" in visitor.get("/runner")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["c", "b", "a2", "a1"]),
        ("?name=a*", ["a2", "a1"]),
        ("?name=b", ["b"]),
        ("?state=READY", ["c", "a1"]),
        ("?state=WAITING&state=READY&sort=db_id&order=asc", ["a1", "a2", "b", "c"]),
        ("?state=unfinished&name=c", ["c"]),
        ("?worker=elsewhere", ["c"]),
        ("?id=2", ["a2"]),
        ("?flow=1", ["b", "a2", "a1"]),
        ("?size=10&page=2", []),
        ('?query={"priority": 0}&name=b', ["b"]),
        ("?hours=1", ["c", "b", "a2", "a1"]),
        ("?until=2001-01-01", []),
        ("?since=2001-01-01T00:00&name=a1", ["a1"]),
        ("?page=9999999999999", ["c", "b", "a2", "a1"]),
    ],
)
def test_filters_of_jobs(world: World, visitor: Visitor, query: str, names: list[str]) -> None:
    world.add_flow("a1 a2 b")
    world.add_flow("c", worker="elsewhere")
    assert [row["name"] for row in visitor.json(f"/jobs{query}")["jobs"]] == names
    text = visitor.get(f"/jobs{query}")
    assert re.findall(r'<td class="wrap"><a [^>]*>(\w+)</a></td>', text) == names


@pytest.mark.parametrize(
    "query", ["?state=NONSENSE", "?query={", "?query=[1]", "?id=4711", "?flow=nothing", "?since=yesterday", "?hours=x",
              '?query={"priority": {"$nonsense": 1}}', '?query={"state": "READY"}&state=FAILED'],
)  # fmt: skip
def test_filters_that_cannot_be_understood_are_told(visitor: Visitor, query: str) -> None:
    text = visitor.get(f"/jobs{query}", status=400)
    assert 'role="alert"' in text
    assert visitor.json(f"/jobs{query}", status=404 if "id=" in query or "flow=" in query else 400)["error"]


def test_pages_of_a_long_list(world: World, visitor: Visitor) -> None:
    world.add_flow(" ".join(f"n{number}" for number in range(25)))
    data = visitor.json("/jobs?size=10&page=3&sort=db_id&order=asc")
    assert (data["total"], [row["name"] for row in data["jobs"]]) == (25, [f"n{n}" for n in range(20, 25)])
    text = visitor.get("/jobs?size=10&page=2&sort=db_id&order=asc&state=WAITING")
    assert "11–20 of 24 jobs" in text
    assert "page=3" in text
    assert "state=WAITING" in re.findall(r'href="(\?[^"]*page=3[^"]*)"', text)[0]


def test_flows_and_one_of_them(world: World, visitor: Visitor) -> None:
    flow, (first, *_) = world.add_flow("add multiply divide", name="bands")
    world.add_flow("other", name="phonons")
    world.run_job(first)
    assert [row["name"] for row in visitor.json("/flows?name=band*")["flows"]] == ["bands"]
    assert [row["name"] for row in visitor.json("/flows?state=READY")["flows"]] == ["phonons"]
    assert visitor.json(f"/flows?id={first}")["flows"][0]["counts"] == {
        "COMPLETED": 1,
        "READY": 1,
        "WAITING": 1,
    }
    text = visitor.get(f"/flows/{flow}")
    for part in ("bands", "multiply", "All, with filters", 'id="graph"'):
        assert part in text
    assert visitor.json(f"/flows/{flow[:8]}")["flow"]["n_jobs"] == 3
    graph = visitor.json(f"/flows/{flow}/graph")
    assert [node["name"] for node in graph["nodes"]] == ["add", "multiply", "divide"]
    assert graph["edges"] == [[0, 1, "output"], [1, 2, "output"]]
    assert "add" in visitor.get(f"/flows/{flow}/timeline")
    visitor.get("/flows/nothing", status=404)


def test_one_job(world: World, visitor: Visitor) -> None:
    _, (first, second, third) = world.add_flow("add multiply divide")
    world.run_job(first)
    world.run_job(second, JobState.REMOTE_ERROR, remote__error="Traceback\nHostError: no space left")
    text = visitor.get("/jobs/2")
    for part in (
        "multiply",
        "HostError: no space left",
        "is needed by",
        "divide",
        "needs",
        "Retry",
        second,
        "4242",
    ):
        assert part in text, part
    data = visitor.json(f"/jobs/{second[:8]}")
    assert [row["db_id"] for row in data["parents"]] == ["1"]
    assert [row["db_id"] for row in data["children"]] == ["3"]
    assert data["actions"] == {
        "rerun": True,
        "retry": True,
        "play": False,
        "pause": False,
        "stop": False,
        "set": True,
        "set_state": True,
        "delete": True,
    }
    assert [entry["state"] for entry in data["job"]["history"]][-1] == "REMOTE_ERROR"
    assert third in visitor.get("/jobs/3")
    visitor.get("/jobs/4711", status=404)
    assert "not sent to its worker yet" in visitor.get("/jobs/3/printed")
    assert "hint" in visitor.json("/jobs/1/output", status=404)


def folder_of(world: World, uuid: str) -> Path:
    """A run folder with files in it, and a secret beside it."""
    folder = world.folder / "run" / uuid[:2] / uuid[2:4] / uuid[4:6] / f"{uuid}_1"
    (folder / "deep").mkdir(parents=True)
    (folder / QUEUE_OUT_FILENAME).write_text(f"began {HOSTILE}")
    (folder / QUEUE_ERR_FILENAME).write_text("")
    (folder / "deep" / "data.html").write_text(HOSTILE)
    (folder.parent / "secret").write_text("secret")
    (folder / "link").symlink_to(folder.parent / "secret")
    world.change(uuid, JobState.PAUSED, run_dir=str(folder))
    return folder


def test_files_of_the_run_folder(world: World, visitor: Visitor) -> None:
    _, (uuid,) = world.add_flow("add")
    folder_of(world, uuid)
    printed = visitor.get("/jobs/1/printed")
    assert "began &lt;script&gt;" in printed
    assert "It is empty" in printed
    listed = visitor.get("/jobs/1/files")
    check_harmless(listed)
    assert "deep/data.html" in listed
    answer = visitor.client.get(f"{ROOT}/jobs/1/file?name=deep%2Fdata.html", headers=HTML)
    assert answer.text == HOSTILE
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "deep/../../secret",
        "/etc/passwd",
        "..",
        "%2e%2e/secret",
        "",
        "*",
        "deep",
        "queue.*",
        "no\0such",
        "nothing",
    ],
)
def test_files_outside_of_the_run_folder_cannot_be_named(world: World, visitor: Visitor, name: str) -> None:
    _, (uuid,) = world.add_flow("add")
    folder_of(world, uuid)
    answer = visitor.client.get(f"{ROOT}/jobs/1/file", params={"name": name}, headers=HTML)
    assert answer.status_code in (404, 409)
    assert answer.text != "secret"


def test_outputs_fold_and_long_lists_are_told_in_a_line(world: World, visitor: Visitor) -> None:
    from jobflow_remote.bootstrap import open_services

    _, (uuid,) = world.add_flow("add")
    world.run_job(uuid)
    output = {
        "energy": -3.25,
        "forces": [[float(n), 1.0, 2.0] for n in range(500)],
        "note": HOSTILE,
        "few": [1, 2, 3],
    }
    with open_services() as services:
        store = services.outputs().jobstore
        store.connect()
        store.docs_store.update([{"uuid": uuid, "index": 1, "output": output}], key=["uuid", "index"])
    text = visitor.get("/jobs/1/output")
    check_harmless(text)
    for part in ("energy", "-3.25", "500 × 3 numbers, 0 … 499", "1, 2, 3", "&lt;script&gt;"):
        assert part in text, part
    assert visitor.json("/jobs/1/output")["output"]["forces"][2] == [2.0, 1.0, 2.0]


def test_whatever_people_write_is_text(world: World, visitor: Visitor) -> None:
    flow, (first, second) = world.add_flow("add multiply", name=HOSTILE, metadata={HOSTILE: HOSTILE})
    world.queue.set_auxiliary(health_key("local_shell", "submit"), {"since": utcnow(), "why": HOSTILE})
    world.change(first, JobState.PAUSED, job__name=HOSTILE, worker=HOSTILE, run_dir=f"/{HOSTILE}")
    world.change(second, JobState.FAILED, error=f"Traceback {HOSTILE}\n{HOSTILE}", remote__error=HOSTILE)
    for path in (
        "",
        "/jobs",
        "/jobs/1",
        "/jobs/2",
        "/flows",
        f"/flows/{flow}",
        f"/flows/{flow}/timeline",
        "/report",
        "/runner",
        f"/jobs?name={HOSTILE}",
        f"/jobs?state={HOSTILE}",
        f"/flows?id={HOSTILE}",
        f"/jobs/{HOSTILE.replace('/', '')}",
    ):
        text = visitor.client.get(ROOT + path, headers=HTML).text
        check_harmless(text)
        assert "<script>alert" not in text
    question = visitor.post("/jobs/act", {"action": "stop", "job": f"{first}:1"})
    check_harmless(question)
    assert "&lt;script&gt;" in question


def test_projects_also_those_that_cannot_be_read(world: World, visitor: Visitor) -> None:
    (world.projects_folder / "broken.yaml").write_text("name: broken\nworkers: 7\n")
    text = visitor.client.get("/projects", headers=HTML).text
    assert f'href="{ROOT}"' in text
    assert "broken.yaml" in text
    assert visitor.client.get("/p/nothing", headers=HTML).status_code == 404


def test_a_changed_project_file_takes_effect(world: World, visitor: Visitor) -> None:
    assert "second_worker" not in visitor.get("")
    text = world.file.read_text()
    world.file.write_text(
        text.replace(
            "queue:", "  second_worker: {type: local, scheduler_type: shell, work_dir: /tmp}\nqueue:"
        )
    )
    assert "second_worker" in visitor.get("")


def test_metrics_and_their_description(world: World, visitor: Visitor) -> None:
    world.add_flow("add multiply")
    lines = visitor.client.get("/metrics").text.splitlines()
    assert 'jobflow_remote_jobs{project="tutorial",state="WAITING"} 1' in lines
    assert 'jobflow_remote_worker_jobs{project="tutorial",worker="local_shell",kind="ready"} 1' in lines
    assert 'jobflow_remote_up{project="tutorial"} 1' in lines
    described = visitor.client.get("/api/v1/openapi.json").json()
    assert "/api/v1/projects/{project}/jobs/{key}" in described["paths"]
    assert described["paths"]["/api/v1/projects/{project}/jobs/act"]["post"]["requestBody"]
    check_harmless(visitor.client.get("/api", headers=HTML).text)


def test_every_described_address_answers(world: World, visitor: Visitor) -> None:
    world.add_flow("add")
    for path, methods in visitor.client.get("/api/v1/openapi.json").json()["paths"].items():
        if "get" in methods and "/tasks/" not in path:
            address = path.replace("{project}", "tutorial").replace("{key}", "1")
            answer = visitor.client.get(address)
            assert answer.status_code in (200, 404), (address, answer.text)
            assert isinstance(answer.json(), dict)


def test_batches(world: World, visitor: Visitor) -> None:
    assert "There are no batches" in visitor.get("/batches")
    _, (uuid,) = world.add_flow("add")
    batch = {
        "batch_uid": "0b7e55aa-0000-4000-8000-000000000001", "process_id": "815", "worker": HOSTILE,
        "jobs": [["1", uuid, 1]],
        "batch_state": "RUNNING", "created_on": utcnow(), "updated_on": utcnow(), "start_time": utcnow(),
        "end_time": None, "last_ping_time": None,
    }  # fmt: skip
    world.queue.load("batches", [batch])
    text = visitor.get("/batches")
    check_harmless(text)
    for part in ("0b7e55aa", "815", f'href="{ROOT}/jobs/1"'):
        assert part in text
    assert visitor.json("/batches?state=FINISHED")["batches"] == []
    assert "alert" in visitor.get("/batches?state=NONSENSE", status=400)


def test_explanations(world: World, visitor: Visitor) -> None:
    flow, (first, _) = world.add_flow("add multiply")
    world.run_job(first, JobState.FAILED, error="ValueError: 3")
    assert any(finding["about"] for finding in visitor.json("/jobs/2")["explanation"]["findings"])
    assert "Why it is where it is" in visitor.get(f"/flows/{flow}")
