"""What a job leaves behind, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jobflow import Job

from jobflow_remote import layout
from jobflow_remote.errors import UnreadableOutputError
from jobflow_remote.execution import CURRENT_JOBDOC, main
from jobflow_remote.execution.jobfields import JOB_FIELDS, serialise_job
from jobflow_remote.execution.run import EXIT_NO_INPUT, EXIT_NO_RESULT, EXIT_TAKEN, run_job
from jobflow_remote.model.decide.completion import JobResult
from jobflow_remote.outputs import jobfiles
from jobflow_remote.testing import jobs as toys
from jobflow_remote.testing import scenario_jobs

ENDINGS = """
import os, sys, signal, threading, time
from pathlib import Path
from jobflow import job, Response

class NotSerialisable:
    pass

class Nasty(Exception):
    def __str__(self):
        raise ValueError("no words")

@job
def leave(code):
    sys.exit(code)

@job
def leave_at_once(code):
    os._exit(code)

@job
def interrupt():
    raise KeyboardInterrupt

@job
def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)

@job
def not_serialisable():
    return {"x": NotSerialisable()}

@job
def too_deep():
    found = []
    for _ in range(100_000):
        found = [found]
    return found

@job
def not_serialisable_new_job():
    new = toy(1)
    new.function_kwargs["x"] = NotSerialisable()
    return Response(replace=new)

@job
def toy(x):
    return x

@job
def nasty():
    raise Nasty

@job
def chatter(lines):
    for number in range(lines):
        print("x" * 99)
    print("the end", file=sys.stderr)
    return lines

@job
def wander(to):
    os.chdir(to)
    Path("here").write_text("x")
    return os.getcwd()

@job
def where():
    return os.getcwd()

@job
def notes():
    return Response(output=1, stored_data={"obj": NotSerialisable(), 1: {2, 3}})

@job
def fill_disk():
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    return 1

@job
def wait_for_file(path):
    Path(path + ".started").touch()
    while not Path(path).exists():
        time.sleep(0.01)
    return "done"

@job
def fork(code):
    pid = os.fork()
    if pid == 0:
        if code is None:
            return "child"
        sys.exit(code)
    return os.waitpid(pid, 0)[1]

@job
def long_story():
    raise RuntimeError("x" * 1_000_000 + "\\udcff the end")
"""


@pytest.fixture(scope="session")
def endings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a module ``endings`` with jobs that end in various ways."""
    folder = tmp_path_factory.mktemp("endings")
    (folder / "endings.py").write_text(ENDINGS)
    return folder


@pytest.fixture(name="module")
def import_endings(endings: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    import importlib

    monkeypatch.syspath_prepend(str(endings))
    return importlib.import_module("endings")


def prepare(
    folder: Path, job: Job | dict[str, Any], *, attempt: str = "a1", stores: tuple[str, ...] = ()
) -> Path:
    plain = job if isinstance(job, dict) else serialise_job(job)
    document = {
        "job": plain,
        "uuid": plain["uuid"],
        "index": plain["index"],
        "db_id": "p-1",
        "state": "CHECKED_OUT",
        "claim": "secret",
        "lock_id": "x",
        "remote": {"process_id": "77"},
    }
    folder.mkdir(exist_ok=True)
    content = jobfiles.render_input(document, job=plain, store_names=stores, attempt=attempt)
    (folder / layout.IN_FILENAME).write_bytes(content)
    return folder


def in_process(folder: Path, endings: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a submission script does."""
    return subprocess.run(
        [sys.executable, "-m", "jobflow_remote.execution", "run", str(folder), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(endings)},
        timeout=120,
        check=False,
    )


def result_of(folder: Path, attempt: str | None = "a1") -> JobResult:
    result = jobfiles.read_result(folder, attempt=attempt)
    assert result is not None
    return result


def output_of(folder: Path) -> Any:
    return jobfiles.read_output_documents(folder)[0]["output"]


def error_of(folder: Path) -> str:
    result = result_of(folder)
    assert result.response is None
    assert result.error
    return result.error


# -- from the command line -------------------------------------------------------------------------------------


def test_success_from_the_command_line(tmp_path: Path, endings: Path) -> None:
    job = toys.add(1, 2)
    folder = prepare(tmp_path / "run", job)
    done = in_process(folder, endings)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Finished add ({job.uuid}, 1)" in done.stdout
    result = result_of(folder)
    assert result.error is None
    assert result.start_time is not None
    assert result.end_time is not None
    assert result.start_time <= result.end_time
    assert result.start_time.tzinfo is None
    assert result.worker_info is not None
    assert {"hostname", "pid", "python", "jobflow_version", "jobflow_remote_version"} == set(
        result.worker_info
    )
    assert output_of(folder) == 3
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{layout.TAKEN_PREFIX}a1",
        layout.IN_FILENAME,
        layout.OUT_FILENAME,
        layout.store_filename(),
    ]


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [("leave_at_once", (0,), 0), ("leave_at_once", (5,), 5), ("kill_itself", (), -9)],
)
def test_a_process_that_just_ends_leaves_no_result(
    tmp_path: Path, endings: Path, module: Any, name: str, arguments: tuple[Any, ...], code: int
) -> None:
    folder = prepare(tmp_path / "run", getattr(module, name)(*arguments))
    assert in_process(folder, endings).returncode == code
    assert jobfiles.read_result(folder, attempt="a1") is None
    assert sorted(path.name for path in folder.iterdir()) == [f"{layout.TAKEN_PREFIX}a1", layout.IN_FILENAME]


def test_output_that_is_huge_reaches_both_streams(tmp_path: Path, endings: Path, module: Any) -> None:
    folder = prepare(tmp_path / "run", module.chatter(50_000))
    done = in_process(folder, endings)
    assert done.returncode == 0
    assert done.stdout.count("x" * 99) == 50_000
    assert done.stderr == "the end\n"
    assert output_of(folder) == 50_000


def test_a_killed_job_can_be_taken_by_its_next_attempt(tmp_path: Path, endings: Path, module: Any) -> None:
    gate = tmp_path / "gate"
    folder = prepare(tmp_path / "run", module.wait_for_file(str(gate)))
    command = [sys.executable, "-m", "jobflow_remote.execution", "run", str(folder)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(endings)}) as process:
        while not gate.with_name("gate.started").exists():
            assert process.poll() is None
        second = in_process(folder, endings)
        assert second.returncode == EXIT_TAKEN
        assert f"attempt a1 was begun already by {os.uname().nodename} {process.pid}" in second.stderr
        process.send_signal(signal.SIGKILL)
    assert jobfiles.read_result(folder, attempt="a1") is None
    assert in_process(folder, endings).returncode == EXIT_TAKEN
    gate.touch()
    assert in_process(folder, endings, "--attempt", "a2").returncode == 0
    assert jobfiles.read_result(folder, attempt="a1") is None
    assert result_of(folder, "a2").error is None


def test_a_full_disk_is_told_by_the_exit_code(tmp_path: Path, endings: Path, module: Any) -> None:
    folder = prepare(tmp_path / "run", module.fill_disk())
    done = in_process(folder, endings)
    assert done.returncode == EXIT_NO_RESULT
    assert not (folder / layout.OUT_FILENAME).exists()


@pytest.mark.parametrize(("code", "status"), [(None, 0), (7, 7 << 8)])
def test_a_child_that_the_function_forks_leaves_no_result(
    tmp_path: Path, endings: Path, module: Any, code: int | None, status: int
) -> None:
    folder = prepare(tmp_path / "run", module.fork(code))
    assert in_process(folder, endings).returncode == 0
    assert result_of(folder).error is None
    assert output_of(folder) == status


def test_a_long_error_is_cut_and_can_be_stored(tmp_path: Path, module: Any) -> None:
    folder = prepare(tmp_path / "run", module.long_story())
    assert run_job(folder) == 0
    error = error_of(folder)
    assert len(error.encode()) < 101_000
    assert "in long_story" in error
    assert error.endswith("\\udcff the end\n")


def test_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["walk"])
    assert stopped.value.code == 2
    assert "usage: python -m jobflow_remote.execution" in capsys.readouterr().err


# -- failures --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("leave", (0,), "SystemExit: 0"),
        ("leave", (3,), "SystemExit: 3"),
        ("interrupt", (), "KeyboardInterrupt"),
        ("not_serialisable", (), "not MSONable and therefore could not be serialized"),
        ("too_deep", (), "RecursionError"),
        ("not_serialisable_new_job", (), "response's replace ('toy') cannot be serialised"),
        ("nasty", (), "Nasty"),
    ],
)
def test_failed(tmp_path: Path, module: Any, name: str, arguments: tuple[Any, ...], words: str) -> None:
    folder = prepare(tmp_path / "run", getattr(module, name)(*arguments))
    assert run_job(folder) == 0
    assert words in error_of(folder)
    assert not (folder / layout.store_filename()).exists()


def test_the_traceback_shows_the_function(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run", toys.always_fails())
    assert run_job(folder) == 0
    assert "in always_fails" in error_of(folder)
    assert "RuntimeError: This job failed." in error_of(folder)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (
            {"@module": "no_such_package.sub", "@callable": "f", "@bound": None},
            "no module named 'no_such_package'",
        ),
        ({"@module": "os.path", "@callable": "no_such", "@bound": None}, "has no no_such"),
        (
            {"@module": "__main__", "@callable": "mine", "@bound": None},
            r"defined in a script or notebook (__main__)",
        ),
        ("text", "names no function"),
    ],
)
def test_a_function_that_is_not_there(tmp_path: Path, function: Any, words: str) -> None:
    job = {**serialise_job(toys.add(1, 2)), "function": function}
    folder = prepare(tmp_path / "run", job)
    assert run_job(folder) == 0
    assert words in error_of(folder)


def test_the_environment_is_named(tmp_path: Path) -> None:
    job = {**serialise_job(toys.add(1, 2)), "function": {"@module": "no_such", "@callable": "f"}}
    folder = prepare(tmp_path / "run", job)
    run_job(folder)
    assert sys.executable in error_of(folder)
    assert "Install it there" in error_of(folder)


def test_an_undefined_additional_store_is_found_out_before_the_function_runs(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run", toys.add_big_undefined_store(1, 2), stores=("data",))
    assert run_job(folder) == 0
    assert "undefined_store (defined: data)" in error_of(folder)


# -- input -----------------------------------------------------------------------------------------------------


def test_no_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_job(tmp_path) == EXIT_NO_INPUT
    assert "cannot read" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 99, "job": {}}'])
def test_broken_input(tmp_path: Path, text: str) -> None:
    (tmp_path / layout.IN_FILENAME).write_text(text)
    assert run_job(tmp_path) == EXIT_NO_INPUT
    assert [path.name for path in tmp_path.iterdir()] == [layout.IN_FILENAME]


def test_input_of_the_former_format(tmp_path: Path) -> None:
    content = {"job": serialise_job(toys.add_big(1, 2)), "store": {"additional_stores": {"big_data": {}}}}
    (tmp_path / layout.IN_FILENAME).write_text(json.dumps(content))
    assert run_job(tmp_path) == 0
    assert result_of(tmp_path, "0").error is None
    assert (tmp_path / f"{layout.TAKEN_PREFIX}0").exists()


def test_results_of_another_attempt_are_removed(tmp_path: Path, endings: Path, module: Any) -> None:
    folder = prepare(tmp_path / "run", toys.add_big(1, 2), stores=("big_data",))
    assert run_job(folder) == 0
    prepare(folder, module.leave_at_once(1), attempt="a2")
    assert in_process(folder, endings).returncode == 1
    assert jobfiles.read_result(folder) is None
    with pytest.raises(UnreadableOutputError):
        jobfiles.read_output_documents(folder)


# -- the toy jobs ----------------------------------------------------------------------------------------------


def run(tmp_path: Path, job: Job, *stores: str) -> Path:
    folder = prepare(tmp_path / "run", job, stores=stores)
    assert run_job(folder) == 0
    return folder


@pytest.mark.parametrize(
    ("make", "output"),
    [
        (lambda: toys.add(1, 2), 3),
        (lambda: toys.arithmetic(7, 2, max), 7),
        (lambda: toys.arithmetic([1], [2]), [1, 2]),
        (lambda: toys.check_env_var(), "unset"),
        (lambda: toys.add_sleep(1, 0), 1),
        (lambda: toys.ignore_input(None), 1),
        (lambda: toys.self_replace(0), 0),
        (lambda: toys.onmissing_none([1]), [1]),
        (lambda: toys.stop_jobflow(), None),
        (lambda: toys.EnumMaker(enum=toys.TestEnum.B).make(toys.TestEnum.A), {"maker": "B", "argument": "A"}),
        (lambda: Job(os.path.join, function_args=("a", "b")), "a/b"),
        (lambda: Job(len, function_args=([1, 2],)), 2),
    ],
)
def test_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], Job], output: Any
) -> None:
    monkeypatch.delenv("TESTING_ENV_VAR", raising=False)
    assert output_of(run(tmp_path, make())) == output


def test_files_are_written_to_the_run_folder(tmp_path: Path) -> None:
    folder = run(tmp_path, toys.write_file(5))
    assert (folder / "results.txt").read_text() == "5"


def test_a_function_that_goes_elsewhere(tmp_path: Path, module: Any) -> None:
    before = os.getcwd()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = run(tmp_path, module.wander(str(elsewhere)))
    assert output_of(folder) == str(elsewhere)
    assert os.getcwd() == before


def test_the_function_runs_in_the_run_folder(tmp_path: Path, module: Any) -> None:
    folder = run(tmp_path, module.where())
    assert output_of(folder) == str(folder)


def test_big_data_goes_to_a_file_of_its_own(tmp_path: Path) -> None:
    job = toys.add_big(1, 2)
    folder = run(tmp_path, job, "big_data", "unused")
    document, blobs = jobfiles.read_output_documents(folder)
    assert document["output"]["result"] == 3
    assert list(blobs) == ["big_data"]
    (blob,) = blobs["big_data"]
    assert blob["blob_uuid"] == document["output"]["data"]["blob_uuid"]
    assert (blob["job_uuid"], blob["job_index"], len(blob["data"])) == (job.uuid, 1, 5000)
    assert not (folder / layout.store_filename("unused")).exists()


def test_current_jobdoc(tmp_path: Path) -> None:
    job = toys.current_jobdoc()
    found = output_of(run(tmp_path, job))
    assert found["db_id"] == "p-1"
    assert found["uuid"] == job.uuid
    assert found["remote"] == {"process_id": "77"}
    assert found["lock_id"] is None
    assert "job" not in found
    assert "claim" not in found
    assert CURRENT_JOBDOC.job_doc is None


def test_fields_of_current_jobdoc() -> None:
    from jobflow_remote.execution.current import JobDocView

    view = JobDocView({"db_id": "1", "remote": {"process_id": "2"}, "list": [1]})
    assert (view.db_id, view["db_id"], view.remote.process_id, list(view)) == (
        "1",
        "1",
        "2",
        ["db_id", "remote", "list"],
    )
    assert view.job is None
    with pytest.raises(AttributeError, match="no field 'energy'"):
        view.energy  # noqa: B018


def test_replacement(tmp_path: Path) -> None:
    job = toys.self_replace(2)
    job.hosts = ["flow"]
    response = result_of(run(tmp_path, job)).response
    assert response is not None
    (new,) = response.replace
    assert (new.job["uuid"], new.job["index"], new.parents) == (job.uuid, 2, ())
    assert new.job["function_args"] == [1]
    assert new.job["hosts"][-1] == "flow"
    assert response.detour == response.addition == ()


def test_detour_is_in_order_with_its_parents(tmp_path: Path) -> None:
    response = result_of(run(tmp_path, scenario_jobs.with_detour(1))).response
    assert response is not None
    first, second = response.detour
    assert (first.parents, second.parents) == ((), (first.job["uuid"],))


@pytest.mark.parametrize(
    ("make", "stop_children", "stop_jobflow", "replaced"),
    [
        (lambda: toys.replace_and_stop_children(), True, False, 1),
        (lambda: toys.replace_and_stop_jobflow(), False, True, 1),
        (lambda: toys.stop_jobflow(1), False, True, 0),
    ],
)
def test_stopping(
    tmp_path: Path, make: Callable[[], Job], stop_children: bool, stop_jobflow: bool, replaced: int
) -> None:
    response = result_of(run(tmp_path, make())).response
    assert response is not None
    assert (response.stop_children, response.stop_jobflow, len(response.replace)) == (
        stop_children,
        stop_jobflow,
        replaced,
    )


def test_create_detour(tmp_path: Path) -> None:
    response = result_of(run(tmp_path, toys.create_detour(toys.add(4, 5)))).response
    assert response is not None
    assert [new.job["function_args"] for new in response.detour] == [[4, 5]]


def test_stored_data_never_fails_a_job(tmp_path: Path, module: Any) -> None:
    response = result_of(run(tmp_path, module.notes())).response
    assert response is not None
    assert response.stored_data is not None
    assert sorted(response.stored_data) == ["1", "obj"]


def test_fields_of_a_job_are_those_of_jobflow() -> None:
    import inspect

    assert set(inspect.signature(Job.__init__).parameters) - {"self"} == JOB_FIELDS


def test_an_output_has_the_types_that_the_function_gave_it(tmp_path: Path) -> None:
    output = output_of(run(tmp_path, scenario_jobs.assorted()))
    assert output["datetime"] == scenario_jobs.INSTANT
    assert output["bytes"] == b"\x00\xff"
    assert output["dollar"] == {"$date": "not a date"}
