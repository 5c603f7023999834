"""Names and signatures of jobflow-remote 1.0.1 that scripts, notebooks and plug-ins import."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tests.compat.published import (
    ABSENT,
    ATTRIBUTES,
    DIFFERENT,
    FIELDS,
    MANY_JOBS,
    NAMES,
    PENDING,
    SIGNATURES,
    TOY_JOBS,
)

import jobflow_remote
from jobflow_remote.jobs.querying import job_selection

DIFFERENCES = Path(__file__).with_name("differences.md").read_text(encoding="utf-8")
JOB_CRITERIA = (
    "job_ids", "db_ids", "flow_ids", "states", "start_date", "end_date", "name", "metadata", "workers",
    "custom_query",
)  # fmt: skip


def find(where: str) -> Any:
    """What ``module:name`` stands for; None if there is nothing."""
    module, _, path = where.partition(":")
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError:
        return None
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


def parameters_of(function: Any) -> list[str]:
    """Names and defaults of the parameters; types do not matter to a caller."""
    return [
        f"{'**' if parameter.kind is parameter.VAR_KEYWORD else ''}{parameter.name}"
        if parameter.default is parameter.empty
        else f"{parameter.name}={parameter.default!r}"
        for parameter in inspect.signature(function).parameters.values()
    ]


def serves(ours: list[str], theirs: list[str]) -> bool:
    """Whether every call that fits their parameters fits ours, and means the same."""
    more = ours[len(theirs) :]
    same = len(ours) >= len(theirs) and all(
        mine == each or mine.startswith(f"{each}=") for mine, each in zip(ours, theirs, strict=False)
    )
    return same and all("=" in each or each.startswith("*") for each in more)


@pytest.mark.parametrize("module", NAMES)
def test_names_can_be_imported(module: str) -> None:
    missing = [name for name in NAMES[module] if find(f"{module}:{name}") is None]
    assert [name for name in missing if f"{module}:{name}" not in PENDING] == []


def test_public_names_are_exactly_those() -> None:
    assert set(jobflow_remote.__all__) == set(NAMES["jobflow_remote"])
    assert set(jobflow_remote.__all__) <= set(dir(jobflow_remote))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        jobflow_remote.nonsense  # noqa: B018


@pytest.mark.parametrize("where", SIGNATURES)
def test_signatures(where: str) -> None:
    found = find(where)
    if where in PENDING:
        return
    assert found is not None, f"{where} is missing"
    theirs = [each for each in SIGNATURES[where].split(", ") if each]
    if where in DIFFERENT:
        assert ", ".join(parameters_of(found)) == DIFFERENT[where]
        assert not serves(parameters_of(found), theirs), f"{where} is no longer different"
    else:
        assert serves(parameters_of(found), theirs), f"{parameters_of(found)} for {theirs}"


@pytest.mark.parametrize("method", MANY_JOBS)
def test_parameters_of_actions_on_many_jobs(method: str) -> None:
    """By name, as they are called: the order of 1.0.1 is not known to us."""
    where = f"jobflow_remote:JobController.{method}"
    found = find(where)
    if where in PENDING:
        return
    parameters = inspect.signature(found).parameters
    defaults = dict(each.partition("=")[::2] for each in MANY_JOBS[method].split(", ") if each)
    accepted = set(parameters)
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        accepted |= set(inspect.signature(job_selection).parameters)
    assert {*JOB_CRITERIA, *defaults} <= accepted
    ours = {name: repr(each.default) for name, each in parameters.items() if name in defaults}
    assert ours == defaults


@pytest.mark.parametrize("where", ATTRIBUTES)
def test_properties(where: str) -> None:
    found = find(where)
    missing = [name for name in ATTRIBUTES[where] if not hasattr(found, name)]
    assert [name for name in missing if f"{where}.{name}" not in PENDING and where not in PENDING] == []


@pytest.mark.parametrize("where", FIELDS)
def test_fields_of_models(where: str) -> None:
    found = find(where)
    if where in PENDING:
        return
    fields = getattr(found, "model_fields", None) or found.__dataclass_fields__
    assert [name for name in FIELDS[where] if name not in fields] == []


@pytest.mark.parametrize("module", TOY_JOBS)
def test_jobs_to_try_out(module: str) -> None:
    for name, parameters in TOY_JOBS[module].items():
        function = find(f"jobflow_remote.{module}:{name}").original
        assert ", ".join(parameters_of(function)) == parameters, name


def test_what_is_not_there_is_explained() -> None:
    there = [where for where in ABSENT if find(where) is not None]
    assert there == [], "these are there: take them off the list"
    for where in ABSENT:
        name = where.rpartition(":")[2].rpartition(".")[2]
        assert f"`{name}`" in DIFFERENCES or f"Runner.{name}`" in DIFFERENCES, where


def test_what_is_different_is_explained() -> None:
    for where in DIFFERENT:
        assert where in SIGNATURES
        assert f".{where.rpartition('.')[2]}`" in DIFFERENCES


def test_importing_the_package_is_cheap() -> None:
    script = (
        "import sys, jobflow_remote\n"
        "names = ('jobflow', 'maggma', 'pydantic', 'pymongo', 'sqlite3', 'typer')\n"
        "heavy = [name for name in names if name in sys.modules]\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_settings_can_be_replaced_and_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from jobflow_remote import ConfigManager, JobflowRemoteSettings

    monkeypatch.setattr(
        jobflow_remote, "SETTINGS", JobflowRemoteSettings(projects_folder=str(tmp_path / "a")), raising=False
    )
    assert str(ConfigManager().projects_folder) == str(tmp_path / "a")
    jobflow_remote.SETTINGS.projects_folder = str(tmp_path / "b")
    assert str(ConfigManager().projects_folder) == str(tmp_path / "b")


def test_groups_of_states() -> None:
    from jobflow_remote.jobs import state

    S = state.JobState
    assert state.JobState.RUN_FINISHED is state.JobState("RUN_FINISHED") is state.JobState.TERMINATED
    assert {S.READY, S.WAITING} <= set(state.PAUSABLE_STATES)
    assert [
        S.CHECKED_OUT,
        S.UPLOADED,
        S.SUBMITTED,
        S.RUNNING,
        S.TERMINATED,
        S.DOWNLOADED,
    ] == state.RESETTABLE_STATES
    assert {*state.RESETTABLE_STATES, S.BATCH_SUBMITTED, S.BATCH_RUNNING} == set(state.RUNNING_STATES)
    assert {S.FAILED, S.REMOTE_ERROR} == set(state.ERROR_STATES)
    assert set(S) - {S.BATCH_SUBMITTED, S.BATCH_RUNNING} == set(state.DELETABLE_STATES)
    assert [each.value for each in state.RUNNING_STATES] == state.RUNNING_STATES_V
    assert state.FlowState.from_jobs_states([S.COMPLETED, S.FAILED], [S.FAILED]) is state.FlowState.FAILED


def test_codes_of_states() -> None:
    """The letters of narrow columns; TERMINATED differs with its name."""
    from jobflow_remote.jobs.state import JobState

    codes = ["W", "R", "CE", "U", "SU", "RU", "T", "D", "RERR", "C", "F", "P", "ST", "CA", "BS", "BR"]
    assert [state.short_value for state in JobState] == codes


@pytest.mark.parametrize(
    ("exception", "base"),
    [("NotFoundError", ValueError), ("NotAllowedError", ValueError), ("DuplicateError", ValueError),
     ("MissingReferenceError", ValueError)],
)  # fmt: skip
def test_errors_are_what_scripts_catch(exception: str, base: type[Exception]) -> None:
    from jobflow_remote import errors

    assert issubclass(getattr(errors, exception), base)
