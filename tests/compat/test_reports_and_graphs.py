"""``jobs.report``, ``jobs.graph``, and how notebooks show jobs, flows and reports."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from tests.unit.cli.conftest import World

import jobflow_remote
from jobflow_remote import JobController
from jobflow_remote.control.submitted import SubmittedFlow
from jobflow_remote.errors import CapabilityMissingError, NotAllowedError
from jobflow_remote.jobs import graph, report
from jobflow_remote.jobs.data import FlowInfo, JobInfo
from jobflow_remote.model.states import FlowState, JobState


@pytest.fixture
def world(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Jobs 1 COMPLETED, 2 RUNNING, 3 WAITING."""
    made: Any = World(tmp_path)
    monkeypatch.setenv("JFREMOTE_PROJECTS_FOLDER", str(made.projects_folder))
    monkeypatch.setenv("JFREMOTE_CONFIG_FILE", str(tmp_path / "none.yaml"))
    monkeypatch.setattr(jobflow_remote, "SETTINGS", jobflow_remote.JobflowRemoteSettings(), raising=False)
    made.flow, made.uuids = made.add_flow("<b>add</b> relax static", name="<i>first</i>")
    made.run_job(made.uuids[0])
    made.run_job(made.uuids[1], JobState.RUNNING)
    yield made
    made.queue.close()


@pytest.fixture
def controller(world: Any) -> Any:
    opened = JobController.from_project_name("tutorial")
    yield opened
    opened.close()


def test_reports(controller: JobController) -> None:
    jobs = report.JobsReport.generate_report(controller, "hours", 3)
    assert (jobs.completed, jobs.running, jobs.error, jobs.active) == (1, 1, 0, 1)
    assert jobs.state_counts[JobState.WAITING] == 1
    assert [type(job) for job in jobs.longest_running] == [JobInfo]
    assert jobs.longest_running[0].name == "relax"
    assert jobs.worker_utilization == {"local_shell": 3}
    assert isinstance(jobs.trends, report.JobTrends)
    assert len(jobs.trends.remote_error) == 3
    flows = report.FlowsReport.generate_report(controller, timezone="Europe/Rome")
    assert flows.state_counts[FlowState.RUNNING] == flows.running == 1
    assert isinstance(flows.trends, report.FlowTrends)


def test_graphs(controller: JobController) -> None:
    (flow,) = controller.get_flows_info(db_ids="1", with_jobs_info=True)
    nodes, edges, hosts, replaced = graph.get_graph_elements(flow)
    assert [db_id for db_id, _ in nodes] == ["1", "2", "3"]
    assert nodes[1][1]["state"] is JobState.RUNNING
    assert nodes[1][1]["color"] == graph.COLOR_MAPPING["RUNNING"]
    assert (edges, hosts, replaced) == ([("1", "2"), ("2", "3")], {}, [])
    drawn = graph.get_graph(flow, label="db_id")
    assert list(drawn.edges) == edges
    assert drawn.nodes["2"]["label"] == "2"
    assert "job_1 --> job_2" in graph.get_mermaid(flow)
    assert "subgraph" not in graph.get_mermaid(flow, show_subflows=False)
    with pytest.raises(CapabilityMissingError, match="dash"):
        graph.plot_dash(flow)
    with pytest.raises(NotAllowedError, match="colour"):
        graph.get_graph(flow, label="colour")


def test_nested_flows_and_replacements() -> None:
    moment: Any = "2026-01-01T00:00:00"
    flow = FlowInfo(
        db_ids=["1", "2", "3"], job_ids=["a", "a", "b"], job_indexes=[1, 2, 1], flow_id="f", state=FlowState.READY,
        name="x", created_on=moment, updated_on=moment, workers=["w"] * 3, job_states=[JobState.READY] * 3,
        job_names=["a", "a", "alone"], parents=[[], [], ["a"]], hosts=[["f"], ["in", "f"], ["f"]],
    )  # fmt: skip
    _, edges, hosts, replaced = graph.get_graph_elements(flow)
    assert (edges, hosts, replaced) == ([("2", "3")], {"in": ["2"]}, [("1", "2")])
    text = graph.get_mermaid(flow)
    assert 'job_3["alone"]' in text
    assert "subgraph flow_in" in text
    assert "job_1 -. replaced by .-> job_2" in text


class Text(HTMLParser):
    """Text of an HTML fragment; complains of tags that no table of ours has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.feed(html)
        self.text = " ".join(self.parts)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        allowed = ("div", "b", "table", "thead", "tbody", "tr", "th", "td", "span")
        assert tag in allowed, tag
        assert {name for name, _ in attrs} <= {"style"}

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def shown(value: Any) -> str:
    """What a notebook shows."""
    html: str = value._repr_html_()
    assert "<b>add</b>" not in html
    assert "color:" not in html.replace("background:", "")
    return Text(html).text


def test_notebooks(controller: JobController, world: Any) -> None:
    jobs = controller.get_jobs_info(sort=[("db_id", 1)])
    assert "<b>add</b> COMPLETED" in " ".join(shown(jobs).split())
    assert "3 jobs" in shown(jobs)
    assert jobs == list(jobs)
    assert "RUNNING" in shown(jobs[1])
    (flow,) = flows = controller.get_flows_info(with_jobs_info=True)
    assert "<i>first</i>" in shown(flows)
    assert "1 flow" in shown(flows)
    assert "relax" in shown(flow)
    assert "relax" not in shown(controller.get_flows_info()[0])
    assert "3 jobs" in shown(report.JobsReport.generate_report(controller))
    assert "1 flows" in shown(report.FlowsReport.generate_report(controller))


def test_what_submit_flow_returns(world: Any) -> None:
    submitted = SubmittedFlow(["1", "2", "3"], flow_uuid=world.flow, project="tutorial")
    assert all(
        words in shown(submitted) for words in ("relax", "1 COMPLETED", "<i>first</i>", world.uuids[2])
    )
    world.queue.delete_flows([world.flow])
    assert "no longer in the queue" in shown(submitted)


def test_long_lists_are_cut() -> None:
    from jobflow_remote.control.drawing.notebook import render_table

    assert "… and 10 more" in Text(render_table(("a",), [("x",)] * 60)).text
