"""What batch systems say, read from recordings of real ones."""

from __future__ import annotations

import pytest
from tests.unit.schedulers.batch_world import batch_system, recorded

from jobflow_remote.errors import SchedulerBusyError
from jobflow_remote.hosts.port import CommandResult
from jobflow_remote.schedulers.batchsystem import take_apart
from jobflow_remote.schedulers.port import HostJob, HostJobState, HostJobStatus

Q, R, ENDED = HostJobState.QUEUED, HostJobState.RUNNING, HostJobState.ENDED


def slurm_job(name: str) -> HostJob:
    """A job of the recorded status answer, by the name that people gave it."""
    text = recorded("slurm", "status")["stdout"]
    line = next(line for line in text.splitlines() if f"|{name}-" in line)
    words = line.removeprefix("sacct|").split("|")
    token = line.rpartition("-")[2]
    attempt = next(
        (part.split("|")[1] for part in text.splitlines() if part.startswith(f"jf|{token}")), token + "0" * 24
    )
    return HostJob("/runs/x", attempt, words[0])


def slurm_status(name: str) -> HostJobStatus:
    """What the recorded answer says about that job."""
    answer = CommandResult(recorded("slurm", "status")["stdout"], "", 0)
    return batch_system("slurm").parse_status(answer, [slurm_job(name)])[0]


@pytest.mark.parametrize(
    "name, state, word, code, reason",
    [
        ("long", R, "RUNNING", None, None),
        ("relax_100_id", Q, "PENDING", None, "JobHeldUser"),
        ("down", Q, "PENDING", None, "PartitionDown"),
        ("exit3", ENDED, "FAILED", 3, None),
        ("expire", ENDED, "TIMEOUT", 143, "time limit of 00:01:00 reached"),
        ("cancel", ENDED, "CANCELLED", 143, "cancelled by root"),
        ("mem", ENDED, "FAILED", 137, "out of memory"),
        ("node", ENDED, "NODE_FAIL", None, "node failure (n2)"),
        ("sig", ENDED, "FAILED", 137, None),
    ],
)
def test_slurm_tells_where_a_job_is_and_why(
    name: str, state: HostJobState, word: str, code: int | None, reason: str | None
) -> None:
    status = slurm_status(name)
    assert (status.state, status.queue_state, status.exit_code) == (state, word, code)
    assert (status.reason or "").startswith(reason or "")
    assert (status.reason is None) == (reason is None)


def test_the_words_that_slurm_wrote_into_the_jobs_output_are_told() -> None:
    assert "DUE TO TIME LIMIT" in (slurm_status("expire").reason or "")
    assert "exceeded memory limit" in (slurm_status("mem").reason or "")


def test_a_number_that_the_scheduler_uses_for_another_job_is_not_the_job() -> None:
    answer = CommandResult(recorded("slurm", "status")["stdout"], "", 0)
    other = HostJob("/runs/y", "0123456789abcdef", slurm_job("long").process_id)
    (status,) = batch_system("slurm").parse_status(answer, [other])
    assert status.state is not HostJobState.RUNNING


def test_slurm_knows_an_end_before_accounting_does() -> None:
    lines = (
        "6|CANCELLED|None|10:00|n1|x-434947c3",
        "sacct|6|RUNNING|0:0|00:10:00|n1|None|x-434947c3",
    )
    (left,) = batch_system("slurm").dialect.parse_past("\n".join(lines))["6"]
    assert not left.final


def test_without_accounting_the_controller_tells_the_exit_code() -> None:
    shown = recorded("slurm", "scontrol-signal")["stdout"]
    text = "5|FAILED|JobLaunchFailure|10:00|n1|sig.sh\n" + shown
    (left,) = batch_system("slurm").dialect.parse_past(text)["5"]
    assert (left.exit_code, left.reason) == (137, "JobLaunchFailure")


@pytest.mark.parametrize("which", ["squeue-ctld-down", "squeue-ctld-hang"])
def test_a_controller_that_is_away_is_weather(which: str) -> None:
    entry = recorded("slurm", which)
    text = f"jf|list|{entry['rc']}\n{entry['stderr']}jf|end\njf|done|\n"
    with pytest.raises(SchedulerBusyError, match="slurm does not answer: slurm_load_jobs error"):
        batch_system("slurm").parse_status(CommandResult(text, "", 0), [])


def test_an_answer_that_was_cut_short_is_weather() -> None:
    text = recorded("slurm", "status")["stdout"].replace("jf|done|", "")
    with pytest.raises(SchedulerBusyError):
        batch_system("slurm").parse_status(CommandResult(text, "", 0), [slurm_job("long")])


def test_what_the_host_prints_around_an_answer_does_not_matter() -> None:
    text = "Welcome!\n" + recorded("slurm", "status")["stdout"] + "\nlogout\n"
    assert take_apart(text).whole


@pytest.mark.parametrize(
    "number, state, word, reason",
    [
        ("3", R, "r", None),
        ("13", Q, "qw", None),
        ("8", Q, "hqw", "held"),
        ("14", ENDED, "Eqw", "the scheduler could not start it: 11/23/2026 can't chdir"),
    ],
)
def test_grid_engine_lists_jobs(number: str, state: HostJobState, word: str, reason: str | None) -> None:
    text = recorded("sge", "qstat-xml")["stdout"] + "error|14|11/23/2026 can't chdir\n"
    listed = batch_system("sge").dialect.parse_list(text)[number]
    assert (listed.state, listed.queue_state, listed.reason) == (state, word, reason)


def test_grid_engine_without_jobs_lists_none() -> None:
    assert batch_system("sge").dialect.parse_list(recorded("sge", "qstat-xml-empty")["stdout"]) == {}


@pytest.mark.parametrize(
    "entry, code, reason",
    [
        ("qacct-ok", 0, None),
        ("qacct-exit3", 3, None),
        ("qacct-walltime", 137, "time limit of 3 s reached"),
        ("qacct-deleted", 137, "deleted (qdel), or killed from outside"),
        ("qacct-signal9", 137, "deleted (qdel), or killed from outside"),
        ("qacct-error-job", None, "the scheduler says: failed 28 : changing into working directory"),
    ],
)
def test_grid_engine_accounts_for_the_end(entry: str, code: int | None, reason: str | None) -> None:
    ((left,),) = batch_system("sge").dialect.parse_past(recorded("sge", entry)["stdout"]).values()
    assert (left.final, left.exit_code, left.reason) == (True, code, reason)


def test_grid_engine_has_no_account_of_a_job_that_never_ran() -> None:
    entry = recorded("sge", "qacct-deleted-held")
    assert batch_system("sge").dialect.parse_past(entry["stderr"]) == {}


@pytest.mark.parametrize(
    "number, name, state, word, reason",
    [
        ("17.server1", "longrun", R, "R", None),
        ("21.server1", "toobig", Q, "Q", "Can Never Run"),
        ("22.server1", "held", Q, "H", "held (u)"),
        ("26.server1", "exit3", Q, "W", "waits until"),
    ],
)
def test_pbs_lists_jobs(number: str, name: str, state: HostJobState, word: str, reason: str | None) -> None:
    listed = batch_system("pbs").dialect.parse_list(recorded("pbs", "qstat-f-all")["stdout"])[number]
    assert (listed.name, listed.state, listed.queue_state) == (name, state, word)
    assert (listed.reason or "").startswith(reason or "")


@pytest.mark.parametrize(
    "entry, code, reason",
    [
        ("qstat-xf-ok", 0, None),
        ("qstat-xf-exit3", 3, None),
        ("qstat-xf-walltime", None, "time limit of 00:00:05 reached"),
        ("qstat-xf-deleted", 143, "cancelled by alice@server1"),
        ("qstat-xf-signal9", 137, None),
        ("mem-killed-qstat", None, "out of memory: it used 318520kb and had asked for 50mb"),
    ],
)
def test_pbs_remembers_the_end(entry: str, code: int | None, reason: str | None) -> None:
    ((left,),) = batch_system("pbs").dialect.parse_past(recorded("pbs", entry)["stdout"]).values()
    assert (left.final, left.exit_code, left.reason) == (True, code, reason)


def test_a_pbs_job_that_is_ending_runs() -> None:
    (listed,) = batch_system("pbs").dialect.parse_list(recorded("pbs", "qstat-exiting")["stdout"]).values()
    assert (listed.state, listed.reason) == (R, "it is ending")


def test_pbs_without_history_remembers_nothing() -> None:
    entry = recorded("pbs", "nohist-qstat-x")
    assert batch_system("pbs").dialect.parse_past(entry["stdout"] + entry["stderr"]) == {}
