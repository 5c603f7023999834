"""What the slides of the tutorial show, typed as they show it: project files, Python, commands.

The database is the embedded one, the worker this machine; ids and uuids are those of the slides.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jobflow import Flow
from ruamel.yaml import YAML

import jobflow_remote
from jobflow_remote import JobController, JobflowRemoteSettings, get_jobstore, set_run_config, submit_flow
from jobflow_remote.config.base import Project
from jobflow_remote.jobs.state import JobState
from jobflow_remote.model.changes import ChangeSet, JobChange
from jobflow_remote.testing import add, add_sleep
from jobflow_remote.testing.cli import run_check_cli

# -- project files -------------------------------------------------------------------------------------------------

GENERATED = """\
name: example_tutorial
workers:
  example_worker:
    type: remote
    scheduler_type: slurm
    work_dir: /path/to/run/folder
    pre_run: source /path/to/python/environment/activate
    timeout_execute: 60
    host: remote.host.net
    user: bob
queue:
  store:
    type: MongoStore
    host: localhost
    database: db_name
    username: bob
    password: secret_password
    collection_name: jobs
exec_config: {}
jobstore:
  docs_store:
    type: MongoStore
    database: db_name
    host: host.mongodb.com
    port: 27017
    username: bob
    password: secret_password
    collection_name: outputs
  additional_stores:
    data:
      type: GridFSStore
      database: db_name
      host: host.mongodb.com
      port: 27017
      username: bob
      password: secret_password
      collection_name: outputs_blobs
"""
ALL_KEYS_OF_A_WORKER = """\
name: example_tutorial
workers:
  example_worker:
    type: remote
    scheduler_type: slurm
    work_dir: /path/to/run/folder
    resources:
    pre_run: source /path/to/python/environment/activate
    post_run:
    timeout_execute: 60
    max_jobs:
    batch:
    host: remote.host.net
    user: bob
    port:
    password:
    key_filename:
    passphrase:
    gateway:
    forward_agent:
    connect_timeout:
    connect_kwargs:
    inline_ssh_env:
    keepalive: 60
    shell_cmd: bash
    login_shell: true
    interactive_login: false
"""
EXEC_CONFIG = """\
exec_config:
  vasp_6.4.3_cecam:
    modules:
      - gcc/11.3.0
      - openmpi/4.1.3
      - openblas/0.3.20
      - fftw/3.3.10
    export:
      PATH: /scratch/cecam.school/Atomate/vasp/vasp.6.4.3_gnu/bin:$PATH
      atomate2_VASP_CMD: '"srun vasp_std"'
      atomate2_VASP_STORE_ADDITIONAL_JSON: 'False'
      LD_LIBRARY_PATH: /scratch/cecam.school/Atomate/libs/scalapack-2.2.2:$LD_LIBRARY_PATH
    pre_run:
    post_run:
"""


@pytest.mark.parametrize("text", [GENERATED, ALL_KEYS_OF_A_WORKER, "name: example_tutorial\n" + EXEC_CONFIG])
def test_project_files(text: str) -> None:
    project = Project.model_validate(YAML(typ="safe").load(text))
    assert project.name == "example_tutorial"
    if project.workers:
        worker: Any = project.workers["example_worker"]
        assert (worker.host, worker.user, worker.scheduler_type) == ("remote.host.net", "bob", "slurm")
    else:
        assert project.exec_config["vasp_6.4.3_cecam"].modules == [
            "gcc/11.3.0", "openmpi/4.1.3", "openblas/0.3.20", "fftw/3.3.10",
        ]  # fmt: skip


# -- a home --------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in list(os.environ):
        if name.upper().startswith("JFREMOTE_"):
            monkeypatch.delenv(name)
    with tempfile.TemporaryDirectory(prefix="jfs-") as folder:  # short: the runner's sockets are in it
        path = Path(folder)
        monkeypatch.setenv("HOME", folder)
        monkeypatch.setenv("JFREMOTE_PROJECTS_FOLDER", str(path / ".jfremote"))
        monkeypatch.setenv("JFREMOTE_CONFIG_FILE", str(path / ".jfremote.yaml"))
        monkeypatch.setattr(jobflow_remote, "SETTINGS", JobflowRemoteSettings(), raising=False)
        (path / ".jfremote").mkdir()
        yield path


def write_project(home: Path, name: str, *, worker: str = "local_shell", more: str = "") -> None:
    text = (
        f"name: {name}\nworkers:\n  {worker}: {{type: local, scheduler_type: shell, work_dir: {home}/run}}\n"
        f"  example_worker: {{type: local, scheduler_type: slurm, work_dir: {home}/run}}\n{more}"
    )
    (home / ".jfremote" / f"{name}.yaml").write_text(text)


# -- Python --------------------------------------------------------------------------------------------------------

CREATE = """\
from jobflow import job, Flow
from jobflow_remote.testing import add

j1 = add(1, 2)
j2 = add(j1.output, 3)
flow = Flow([j1, j2])
"""
SUBMIT = """\
from jobflow_remote import submit_flow

output = submit_flow(flow)
print(output)
"""
CONTROLLER = """\
from jobflow_remote import JobController

jc = JobController.from_project_name("tutorial")

jobs = jc.get_jobs_info(name="add")
"""
OUTPUT = """\
from jobflow_remote import JobController

jobstore = get_jobstore(project_name="example_tutorial")

jobstore.connect()


jobstore.query_one({"uuid": "817686b0-6ffe-4d8f-bb98-7afdb5a8a952"})
"""
"""``get_jobstore`` is not imported on the slide; what the last line gives is shown below it."""
TUNE = [
    'submit_flow(flow, project="example_tutorial")',
    'submit_flow(flow, exec_config="vasp_6.4.3_cecam")',
    """\
submit_flow(flow, exec_config={"modules": ["gcc", "vasp"],
                                "export": {"PATH": "/path/to/exec:$PATH"}})
""",
    """\
from qtoolkit import QResources

qresources = QResources(queue_name='main',
                        job_name='myjob',
                        processes=24)

submit_flow(flow,
            worker='example_worker',
            resources=qresources)
""",
    """\
submit_flow(flow,
            worker='example_worker',
            resources={'partition': 'main',
                      'job_name': 'myjob',
                      'ntasks': 24,})
""",
    """\
flow = set_run_config(flow,
                      name_filter='relax1',
                      resources={'partition': 'main',
                                'job_name': 'myjob',
                                'ntasks': 24,})

submit_flow(flow,
            worker='example_worker')
""",
]


def test_tuning(home: Path) -> None:
    write_project(home, "example_tutorial", more=EXEC_CONFIG)
    documents = []
    for number, text in enumerate(TUNE):
        job = add(1, 2)
        job.name = "relax1"
        exec(text, {"submit_flow": submit_flow, "set_run_config": set_run_config, "flow": Flow([job])})
        with JobController.from_project_name() as controller:
            (document,) = controller.get_jobs({"db_id": str(number + 1)})
        documents.append(document)
    assert [each["worker"] for each in documents] == ["local_shell"] * 3 + ["example_worker"] * 3
    assert [each["state"] for each in documents] == ["READY"] * 6
    assert documents[1]["exec_config"] == "vasp_6.4.3_cecam"
    assert documents[2]["exec_config"]["modules"] == ["gcc", "vasp"]
    assert documents[3]["resources"]["processes"] == 24
    wanted = {"partition": "main", "job_name": "myjob", "ntasks": 24}
    assert [documents[4]["resources"], documents[5]["resources"]] == [wanted, wanted]


# -- commands ------------------------------------------------------------------------------------------------------


def fill(up_to: int) -> None:
    """Use up ids, until the next one is ``up_to``."""
    with JobController.from_project_name("tutorial") as controller:
        last = int(submit_flow(add(0, 0), project="tutorial")[0])
        if last < up_to - 1:
            submit_flow([add(0, 0) for _ in range(up_to - 1 - last)], project="tutorial")
        flows = [
            flow.flow_id for flow in controller.get_flows_info(name="Flow") if int(flow.db_ids[0]) >= last
        ]
        assert len(controller.delete_flows(flows, max_limit=0)) == len(flows)


def put_into(db_id: str, state: JobState, **fields: Any) -> None:
    """As the runner would."""
    with JobController.from_project_name("tutorial") as controller:
        (job,) = controller.get_jobs({"db_id": db_id})
        change = JobChange(
            uuid=job["uuid"], index=1, expect=frozenset({JobState(job["state"])}), to=state, fields=fields
        )
        (result,) = controller.queue.apply([ChangeSet(flow_uuid=job["flow_uuid"], changes=(change,))])
        assert result.applied, result.refusal


def jf(line: str, *shown: str, typed: str | None = None) -> str:
    """A line of the slides, and what has to be in the answer."""
    assert line.startswith("jf ")
    return str(run_check_cli(line.split()[1:], cli_input=typed, required_out=shown).output)


def test_projects_as_the_slides_make_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jf("jf project generate -h", "--format", "-f", "json|yaml|toml", "--full", "--help", "-h")
    jf("jf project generate example_tutorial", str(home / ".jfremote" / "example_tutorial.yaml"))
    jf("jf project check", "✓ Worker local_shell", "✓ Jobstore", "✓ Queue store")
    write_project(home, "tutorial")
    (home / ".jfremote" / "test_project.yaml").write_text("name: test_project\nworkers: 3\n")
    jf("jf project list", "List of projects in", "- example_tutorial", "- tutorial", "test_project")
    jf("jf -p example_tutorial job list", "The selected project is example_tutorial from config file")
    monkeypatch.setenv("jfremote_project", "tutorial")
    monkeypatch.setattr(jobflow_remote, "SETTINGS", JobflowRemoteSettings(), raising=False)
    jf("jf job list", "The selected project is tutorial from config file", "Jobs info")
    found = jf("jf --help", "--project", "-p", "--full-exc", "-fe", "--tree", "--help", "-h")
    for group in ("gui", "admin", "backup", "batch", "flow", "job", "project", "runner"):
        assert f"\n│ {group} " in found, group


def test_jobs_as_the_slides_treat_them(home: Path) -> None:
    write_project(home, "tutorial")
    fill(592)
    submit_flow(add(1, 2))
    jf("jf flow delete -did 592", "will delete 1 flow(s)", "Deleted flow(s): ", typed="y\n")
    fill(634)
    submit_flow(add(1, 2))
    jf("jf job set resources -did 634 nodes=2,ntasks=32", "Operation completed: 1 jobs modified")
    put_into("634", JobState.REMOTE_ERROR, previous_state="UPLOADED")
    jf("jf job retry 634", "Operation completed: 1 jobs modified")
    fill(646)
    submit_flow(add(1, 2))
    put_into("646", JobState.FAILED)
    jf("jf job rerun 646", "Operation completed: 1 jobs modified")
    with JobController.from_project_name("tutorial") as controller:
        states = [controller.get_job_info(db_id=db_id).state for db_id in ("634", "646")]  # type: ignore[union-attr]
        resources = controller.get_jobs({"db_id": "634"})[0]["resources"]
    assert states == [JobState.UPLOADED, JobState.READY]
    assert resources == {"nodes": 2, "ntasks": 32}


def wait_for(controller: JobController, number: int) -> None:
    end = time.monotonic() + 120
    while controller.count_jobs(states=JobState.COMPLETED) < number:
        assert time.monotonic() < end, [(job.db_id, job.state) for job in controller.get_jobs_info()]
        time.sleep(0.1)


def test_a_day_with_the_runner(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_project(home, "tutorial")
    jf("jf runner status", "Daemon status: shut_down")
    jf("jf runner start")
    try:
        jf("jf runner status", "Daemon status: running")
        processes = ("checkout:run_jobflow_checkout", "complete:run_jobflow_complete0", "queue:run_jobflow_queue",
                     "transfer:run_jobflow_transfer0")  # fmt: skip
        jf("jf runner info", "Process", "PID", "State", "supervisord", "RUNNING", "hostname", "project_name",
           *(f"runner_daemon_{name}" for name in processes))  # fmt: skip
        fill(666)
        first, second = add(1, 2), add_sleep(1, 0)
        first.set_uuid("817686b0-6ffe-4d8f-bb98-7afdb5a8a952")
        second.set_uuid("1bb0ed7f-3cce-45aa-aebf-dad9a7ec2214")
        submit_flow([first, second])
        names: dict[str, Any] = {}
        exec(CREATE + SUBMIT, names)
        assert names["output"] == ["668", "669"]
        assert capsys.readouterr().out == "['668', '669']\n"
        exec(CONTROLLER, names)
        assert sorted(job.db_id for job in names["jobs"]) == ["666", "668", "669"]
        wait_for(names["jc"], 4)
        write_project(home, "example_tutorial", more=f"base_dir: {home}/.jfremote/tutorial\n")
        code, last = OUTPUT.rsplit("\n\n\n", 1)
        names["get_jobstore"] = get_jobstore
        exec(code, names)
        found = eval(last, names)
        shown = {"uuid": first.uuid, "index": 1, "output": 3, "name": "add", "metadata": {"db_id": "666"}}
        assert {key: found[key] for key in shown} == shown
        assert found["@class"] == "JobStoreDocument"
        (home / ".jfremote" / "example_tutorial.yaml").unlink()
        jf("jf job list -m 10", "Jobs info", "DB id", "Name", "State", "Job id (Index)", "Worker", "Last updated",
           "667", "817686b0-6ffe-4d8f-bb98-7afdb5a8a952 (1)", "COMPLETED", "local_shell")  # fmt: skip
        jf("jf job info 667", "db_id", "'667'", "1bb0ed7f-3cce-45aa-aebf-dad9a7ec2214", "'COMPLETED'", "run_dir",
           "1bb0ed7f-3cce-45aa-aebf-dad9a7ec2214_1", "priority = 0", "worker = 'local_shell'")  # fmt: skip
        jf("jf flow list -m 5", "Flows info", "DB id", "Flow id", "Num Jobs", "COMPLETED")
        jf("jf flow info -j 668", "668", "669", "add", "COMPLETED", "local_shell")
        names["jc"].close()
    finally:
        jf("jf runner shutdown")
    end = time.monotonic() + 60
    while "shut_down" not in jf("jf runner status"):
        assert time.monotonic() < end
        time.sleep(0.1)
