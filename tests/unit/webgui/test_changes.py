"""What people do in pages: asked where something is lost, done by the same functions as on the command line."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.unit.cli.conftest import World
from tests.unit.webgui.conftest import HTML, ROOT, Visitor

from jobflow_remote.model.states import JobState


def states(world: World, *uuids: str) -> list[str]:
    return [str(world.job(uuid)["state"]) for uuid in uuids]


def keys(*uuids: str) -> list[str]:
    return [f"{uuid}:1" for uuid in uuids]


@pytest.mark.parametrize(
    "action", ["pause", "play", "resume", "retry", "rerun", "stop", "delete", "set", "set_state"]
)
@pytest.mark.parametrize("selection", [{}, {"job": ""}, {"scope": "filter", "filter": "name=nothing*"}])
def test_an_empty_selection_changes_nothing(
    world: World, visitor: Visitor, action: str, selection: dict[str, str]
) -> None:
    _, uuids = world.add_flow("a b c")
    before = [world.job(uuid) for uuid in uuids]
    text = visitor.post("/jobs/act", {"action": action, "confirmed": "0", **selection}, status=409)
    assert 'role="alert"' in text
    assert [world.job(uuid) for uuid in uuids] == before


def test_pause_and_play_are_done_at_once(world: World, visitor: Visitor) -> None:
    _, (first, second) = world.add_flow("a b")
    text = visitor.post("/jobs/act", {"action": "pause", "job": keys(first, second)})
    assert "2 changed" in text
    assert states(world, first, second) == ["PAUSED", "PAUSED"]
    visitor.post("/jobs/act", {"action": "play", "job": keys(first, second), "why": "go on"})
    assert states(world, first, second) == ["READY", "WAITING"]
    assert "go on" in [entry.get("why") for entry in world.job(first)["history"]]


def test_retry_takes_the_failed_step_up_again(world: World, visitor: Visitor) -> None:
    _, (first,) = world.add_flow("a")
    world.run_job(first, JobState.REMOTE_ERROR, remote__error="x", previous_state="DOWNLOADED")
    visitor.post("/jobs/act", {"action": "retry", "job": keys(first)})
    assert states(world, first) == ["DOWNLOADED"]


def test_stop_asks_and_names_what_it_will_do(world: World, visitor: Visitor) -> None:
    _, (first, second) = world.add_flow("first_job second_job")
    question = visitor.post("/jobs/act", {"action": "stop", "job": keys(first, second)})
    for part in ("Stop 2 jobs?", "first_job", "second_job", 'name="confirmed"', "2 jobs will change"):
        assert part in question, part
    assert states(world, first, second) == ["READY", "WAITING"]
    visitor.post("/jobs/act", {"action": "stop", "job": keys(first, second), "confirmed": "2"})
    assert states(world, first, second) == ["USER_STOPPED", "USER_STOPPED"]


def test_a_yes_to_another_number_is_no_yes(world: World, visitor: Visitor) -> None:
    """The filter may match more when it is answered than when it was asked."""
    _, uuids = world.add_flow("a b c")
    fields = {"action": "stop", "scope": "filter", "filter": "name=*", "confirmed": "2"}
    assert "Stop 3 jobs?" in visitor.post("/jobs/act", fields)
    assert states(world, *uuids) == ["READY", "WAITING", "WAITING"]


def test_rerun_says_what_goes_with_it_and_what_is_refused(world: World, visitor: Visitor) -> None:
    _, (first, second) = world.add_flow("a b")
    world.run_job(first)
    world.run_job(second)
    question = visitor.post("/jobs/act", {"action": "rerun", "job": keys(first)})
    assert "left as they are" in question
    question = visitor.post("/jobs/act", {"action": "rerun", "job": keys(first), "force": "1"})
    assert "2 jobs will change" in question
    visitor.post("/jobs/act", {"action": "rerun", "job": keys(first), "force": "1", "confirmed": "1"})
    assert states(world, first, second) == ["READY", "WAITING"]


def test_all_that_match_the_filter(world: World, visitor: Visitor) -> None:
    _, uuids = world.add_flow(" ".join(f"n{number}" for number in range(30)))
    _, others = world.add_flow("other")
    text = visitor.get("/jobs?name=n*&size=10")
    assert "all 30 that match" in text
    found = re.search(r'name="filter"[^>]*value="([^"]*)"|value="([^"]*)"[^>]*name="filter"', text)
    assert found
    query = (found[1] or found[2]).replace("&amp;", "&")
    visitor.post("/jobs/act", {"action": "pause", "scope": "filter", "filter": query})
    assert set(states(world, *uuids)) == {"PAUSED"}
    assert states(world, *others) == ["READY"]


def test_what_refuses_is_told_and_the_others_are_changed(world: World, visitor: Visitor) -> None:
    _, (first, second) = world.add_flow("a b")
    world.run_job(first)
    text = visitor.post("/jobs/act", {"action": "pause", "job": keys(first, second)})
    assert "1 changed, 1 left" in text
    assert "COMPLETED" in text
    assert states(world, first, second) == ["COMPLETED", "PAUSED"]
    assert "nothing was changed" in visitor.post("/jobs/act", {"action": "pause", "job": keys(first)})


def test_browsers_without_scripts_get_pages(world: World, visitor: Visitor) -> None:
    _, (first,) = world.add_flow("a")
    fields = {
        "form_key": visitor.form_key,
        "action": "stop",
        "job": keys(first),
        "back": f"{ROOT}/jobs?state=READY",
    }
    question = visitor.client.post(f"{ROOT}/jobs/act", data=fields, headers=HTML)
    assert "<title>Confirm" in question.text
    answer = visitor.client.post(f"{ROOT}/jobs/act", data={**fields, "confirmed": "1"}, headers=HTML)
    assert answer.status_code == 303
    result = visitor.client.get(answer.headers["location"], headers=HTML).text
    while "data-task" in result:  # it takes its time
        result = visitor.client.get(answer.headers["location"], headers=HTML).text
    assert "1 changed" in result
    assert f'href="{ROOT}/jobs?state=READY"' in result
    assert states(world, first) == ["USER_STOPPED"]


def test_dry_run_for_programs(world: World, visitor: Visitor) -> None:
    _, (first,) = world.add_flow("a")
    answer = visitor.client.post(
        "/api/v1/projects/tutorial/jobs/act",
        json={"action": "stop", "job": keys(first), "dry_run": True},
        headers={"x-form-key": visitor.form_key},
    )
    assert answer.json() == {
        "title": "Stop 1 job",
        "selected": 1,
        "possible": 1,
        "changed": 1,
        "refusals": [],
        "jobs": [
            {
                "db_id": "1", "uuid": first, "index": 1, "name": "a", "done": True, "what": "stop", "before": "READY",
                "after": "USER_STOPPED", "along": [], "refusal": None, "hint": None,
            }
        ],
    }  # fmt: skip
    assert states(world, first) == ["READY"]


@pytest.mark.parametrize("selection", [{}, {"scope": "filter", "filter": "name=nothing*"}])
@pytest.mark.parametrize("action", ["delete", "resume", "pause", "stop", "rerun", "retry"])
def test_no_flow_selected_changes_no_flow(
    world: World, visitor: Visitor, selection: dict[str, str], action: str
) -> None:
    world.add_flow("a")
    visitor.post("/flows/act", {"action": action, "confirmed": "0", **selection}, status=409)
    assert world.queue.count_flows({}) == 1


def test_deleting_flows_asks_and_counts_their_jobs(world: World, visitor: Visitor) -> None:
    flow, _ = world.add_flow("a b c", name="bands")
    kept, _ = world.add_flow("d", name="kept")
    question = visitor.post("/flows/act", {"action": "delete", "flow": flow})
    for part in ("Delete 1 flow with 3 jobs?", "bands", "cannot be undone", "run folders"):
        assert part in question, part
    assert world.queue.count_flows({}) == 2
    visitor.post("/flows/act", {"action": "delete", "flow": flow, "confirmed": "1"})
    assert [each["uuid"] for each in world.queue.find_flows({})] == [kept]


def test_the_jobs_of_flows(world: World, visitor: Visitor) -> None:
    flow, (first, second) = world.add_flow("a b")
    other, (third,) = world.add_flow("c")
    kept, (fourth,) = world.add_flow("d")
    told = visitor.post("/flows/act", {"action": "pause", "flow": [flow, other]})
    assert "3 changed" in told
    assert states(world, first, second, third, fourth) == ["PAUSED", "PAUSED", "PAUSED", "READY"]
    told = visitor.post("/flows/act", {"action": "rerun", "flow": [flow, kept]}, status=409)
    assert "no job of 2 flows is FAILED" in told
    question = visitor.post("/flows/act", {"action": "stop", "flow": [flow, kept]})
    assert "Stop 3 jobs?" in question
    query = re.search(r'name="filter"[^>]*value="([^"]*)"|value="([^"]*)"[^>]*name="filter"', question)
    assert query
    fields = {"action": "stop", "scope": "filter", "filter": (query[1] or query[2]).replace("&amp;", "&")}
    visitor.post("/jobs/act", {**fields, "confirmed": "3"})
    assert states(world, first, second, third, fourth) == [
        "USER_STOPPED",
        "USER_STOPPED",
        "PAUSED",
        "USER_STOPPED",
    ]


def test_resuming_a_flow(world: World, visitor: Visitor) -> None:
    flow, (first, second) = world.add_flow("a b")
    world.change(first, JobState.PAUSED)
    assert "1 changed" in visitor.post("/flows/act", {"action": "resume", "flow": flow})
    assert states(world, first, second) == ["READY", "WAITING"]


def test_the_runner_elsewhere_is_asked_to_stop_after_a_question(world: World, visitor: Visitor) -> None:
    assert world.session.token
    assert "Stop the runner?" in visitor.post("/runner/act", {"action": "stop"})
    session = world.queue.get_session()
    assert session is not None
    assert session.stop_requested is None
    assert "asked to stop" in visitor.post("/runner/act", {"action": "stop", "confirmed": "1"})
    session = world.queue.get_session()
    assert session is not None
    assert session.stop_requested == "stop"


def test_unknown_actions_are_refused(world: World, visitor: Visitor) -> None:
    _, (first,) = world.add_flow("a")
    visitor.post("/jobs/act", {"action": "explode", "job": keys(first)}, status=409)
    visitor.post("/flows/act", {"action": "explode", "flow": "x"}, status=409)
    visitor.post("/runner/act", {"action": "explode"}, status=409)
    visitor.post("/jobs/act", {"action": "pause", "job": "nonsense"}, status=409)


def test_deleting_a_job_asks_and_says_what_goes_with_it(world: World, visitor: Visitor) -> None:
    _, (first, second) = world.add_flow("doomed depends")
    question = visitor.post("/jobs/act", {"action": "delete", "job": keys(first)})
    for part in ("Delete 1 job?", "doomed", "cannot be undone", "run folders"):
        assert part in question, part
    assert world.queue.count_jobs({}) == 2
    visitor.post("/jobs/act", {"action": "delete", "job": keys(first), "confirmed": "1"})
    assert [job["uuid"] for job in world.queue.find_jobs({})] == [second]


# -- how jobs run ----------------------------------------------------------------------------------------------


@pytest.fixture
def other_worker(world: World) -> None:
    """A second worker in the project."""
    (file,) = world.projects_folder.glob("*.yaml")
    text = file.read_text()
    worker = (
        f"workers:\n  other_worker: {{type: local, scheduler_type: shell, work_dir: {world.folder}/other}}\n"
    )
    file.write_text(text.replace("workers:\n", worker))


@pytest.mark.usefixtures("other_worker")
def test_settings_are_asked_for_and_set_like_on_the_command_line(world: World, visitor: Visitor) -> None:
    _, (first, second) = world.add_flow("relaxed bands")
    world.change(second, JobState.PAUSED, resources={"nodes": 1, "time": "1:00"})
    which = {"action": "set", "job": keys(first, second)}
    question = visitor.post("/jobs/act", which)
    for part in (
        "Settings of 2 jobs",
        "relaxed",
        "bands",
        "other_worker",
        "Set for 2 jobs",
        "not the same for all",
    ):
        assert part in question, part
    given = {"worker": "other_worker", "priority": "7", "resources": "nodes=2"}
    told = visitor.post("/jobs/act", {**which, "confirmed": "2", **given})
    assert "2 changed" in told
    for part in ("Set worker other_worker, priority 7, resources nodes=2 of 2 jobs", "set properties"):
        assert part in told, part
    after = [world.job(uuid) for uuid in (first, second)]
    assert [(job["worker"], job["priority"]) for job in after] == [("other_worker", 7)] * 2
    assert [job["resources"] for job in after] == [{"nodes": 2}, {"nodes": 2, "time": "1:00"}]
    assert after[0]["history"][-1]["event"] == "set_properties"
    assert "other_worker" in visitor.get("/jobs/1")


@pytest.mark.usefixtures("other_worker")
def test_each_job_is_accounted_for(world: World, visitor: Visitor) -> None:
    _, (first, second, third) = world.add_flow("runs rests waits")
    world.run_job(first, JobState.RUNNING)
    which = {"action": "set", "job": keys(first, second, third)}
    assert "1 job in hand" in visitor.post("/jobs/act", which)
    told = visitor.post("/jobs/act", {**which, "confirmed": "3", "worker": "other_worker"})
    for part in ("2 changed, 1 left", "while it is RUNNING", "rests", "waits"):
        assert part in told, part
    assert [world.job(uuid)["worker"] for uuid in (first, second)] == ["local_shell", "other_worker"]
    told = visitor.post("/jobs/act", {**which, "confirmed": "3", "priority": "-3"})
    assert "3 changed" in told
    assert world.job(first)["priority"] == -3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "nothing is to be set"), ({"worker": "nowhere"}, "has no worker"), ({"priority": "high"}, "whole number"),
        ({"exec_config": "none"}, "has no exec_config"), ({"resources": "{broken"}, "neither a JSON object"),
        ({"resources": "colour=red", "qresources": "1"}, "no QResources"),
    ],
)  # fmt: skip
def test_what_cannot_be_set_is_asked_again(
    world: World, visitor: Visitor, given: dict[str, str], said: str
) -> None:
    """With what was typed, so that it need not be typed again."""
    _, (first,) = world.add_flow("a")
    before = world.job(first)
    which: dict[str, Any] = {"action": "set", "job": keys(first), **given}
    question = visitor.post("/jobs/act", {**which, "confirmed": "1"})
    assert said in question
    assert 'data-fragment="dialog"' in question
    assert all(which[name] in question for name in ("priority", "resources") if name in which)
    assert world.job(first) == before
    answer = visitor.client.post(
        "/api/v1/projects/tutorial/jobs/act", json=which, headers={"x-form-key": visitor.form_key}
    )
    assert answer.status_code == 409
    assert said in answer.json()["error"]


def test_a_state_is_written_after_a_warning(world: World, visitor: Visitor) -> None:
    _, (first, second) = world.add_flow("broken next")
    world.run_job(first, JobState.FAILED)
    which = {"action": "set_state", "job": keys(first)}
    question = visitor.post("/jobs/act", which)
    assert "without any check" in question
    assert "no state was chosen" in visitor.post("/jobs/act", {**which, "confirmed": "1"})
    told = visitor.post(
        "/jobs/act", {**which, "confirmed": "1", "new_state": "COMPLETED", "why": "looked at it"}
    )
    assert "FAILED → COMPLETED" in told
    assert states(world, first, second) == ["COMPLETED", "READY"]
    assert world.job(first)["history"][-1]["why"] == "looked at it"


def test_settings_as_json(world: World, visitor: Visitor) -> None:
    _, (second, first) = world.add_flow("a b")
    world.run_job(second, JobState.RUNNING)

    def act(**content: object) -> dict[str, Any]:
        answer = visitor.client.post(
            "/api/v1/projects/tutorial/jobs/act", json={"job": keys(first, second), **content},
            headers={"x-form-key": visitor.form_key},
        )  # fmt: skip
        while answer.status_code == 202:
            answer = visitor.client.get(f"/api/v1/projects/tutorial/tasks/{answer.json()['key']}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    wish = {"action": "set", "resources": {"nodes": 2}, "priority": 5, "worker": None}
    looked = act(**wish, dry_run=True)
    assert (looked["selected"], looked["possible"]) == (2, 1)
    done = act(**wish)
    assert (done["changed"], done["refused"]) == (1, 1)
    assert [(job["db_id"], job["done"]) for job in done["jobs"]] == [("1", False), ("2", True)]
    assert (world.job(first)["resources"], world.job(first)["priority"]) == ({"nodes": 2}, 5)
    act(action="set_state", new_state="READY", why="api")
    assert states(world, first, second) == ["READY", "READY"]


def test_the_page_of_a_task_tells_of_each_job(world: World, visitor: Visitor) -> None:
    _, uuids = world.add_flow(" ".join(f"n{number}" for number in range(25)))
    told = visitor.post("/jobs/act", {"action": "pause", "job": keys(*uuids)})
    found = re.search(r'href="(/p/tutorial/tasks/\w+)"', told)
    assert found
    page = visitor.client.get(found[1], headers=HTML).text
    assert page.count("WAITING → PAUSED") == 24
    assert f'href="{ROOT}/jobs/25"' in page
