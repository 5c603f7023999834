"""The submission script against commands that answer as real ones did: refused, made to wait, done once."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest
from tests.unit.schedulers.batch_world import World, batch_system, recorded

from jobflow_remote.layout import STARTED_PREFIX, SUBMITTED_PREFIX
from jobflow_remote.schedulers.hostscripts import HostOptions
from jobflow_remote.schedulers.port import HostJob, SubmitAnswer

COMMANDS = {"slurm": "sbatch", "sge": "qsub", "pbs": "qsub"}
ACCEPTED = {"slurm": ("sbatch-plain", "1"), "sge": ("qsub-plain", "1"), "pbs": ("qsub-ok", "16.server1")}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A folder with commands and run folders."""
    return World(tmp_path)


def submit(
    world: World, scheduler: str, *jobs: HostJob, options: HostOptions | None = None
) -> list[SubmitAnswer]:
    """Run the script and read its answer."""
    system = batch_system(scheduler, options)
    return system.parse_submit(world.run(system.render_submit(jobs)), jobs)


def marker(job: HostJob) -> Path:
    """Where the submission of a job is written down."""
    return Path(job.run_dir, f"{SUBMITTED_PREFIX}{job.attempt}")


@pytest.mark.parametrize("scheduler", COMMANDS)
def test_the_id_is_told_and_written_down(world: World, scheduler: str) -> None:
    entry, number = ACCEPTED[scheduler]
    world.answer(COMMANDS[scheduler], recorded(scheduler, entry))
    job = world.job()
    assert submit(world, scheduler, job) == [SubmitAnswer(process_id=number)]
    assert marker(job).read_text().splitlines()[1] == f"id {number}"


@pytest.mark.parametrize("scheduler", COMMANDS)
def test_what_was_submitted_is_not_submitted_again(world: World, scheduler: str) -> None:
    world.answer(COMMANDS[scheduler], recorded(scheduler, ACCEPTED[scheduler][0]))
    job = world.job()
    assert submit(world, scheduler, job, job) == submit(world, scheduler, job) * 2
    assert world.calls(COMMANDS[scheduler]) == 1


@pytest.mark.parametrize(
    "scheduler, entry",
    [
        ("slurm", "sbatch-bad-partition"), ("slurm", "sbatch-bad-account"), ("slurm", "sbatch-bad-qos"),
        ("slurm", "sbatch-bad-mem"), ("slurm", "sbatch-no-shebang"), ("slurm", "sbatch-bad-option"),
        ("slurm", "sbatch-bad-time"), ("sge", "qsub-bad-queue"), ("sge", "qsub-bad-resource"),
        ("sge", "qsub-bad-name"), ("pbs", "qsub-unknown-queue"), ("pbs", "qsub-bad-walltime"),
        ("pbs", "qsub-bad-resource"), ("pbs", "walltime-over-max-qsub"),
    ],
)  # fmt: skip
def test_a_refusal_is_told_in_the_schedulers_words(world: World, scheduler: str, entry: str) -> None:
    said = recorded(scheduler, entry)
    world.answer(COMMANDS[scheduler], said)
    job = world.job()
    (answer,) = submit(world, scheduler, job)
    assert (answer.process_id, answer.busy) == (None, False)
    assert said["stderr"].splitlines()[0] in (answer.error or "")
    assert not marker(job).exists()  # the next try submits


@pytest.mark.parametrize(
    "scheduler, entry",
    [("slurm", "sbatch-ctld-down"), ("sge", "qsub-down"), ("pbs", "down-qsub"), ("pbs", "disabled-queue-qsub"),
     ("pbs", "maxq-qsub3")],
)  # fmt: skip
def test_a_scheduler_that_cannot_take_jobs_now_is_waited_for(
    world: World, scheduler: str, entry: str
) -> None:
    world.answer(COMMANDS[scheduler], recorded(scheduler, entry))
    job = world.job()
    (answer,) = submit(world, scheduler, job)
    assert answer.busy
    assert answer.error
    assert not marker(job).exists()


@pytest.mark.parametrize(
    "words",
    [
        "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates",
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
        "sbatch: error: Batch job submission failed: Resource temporarily unavailable",
        "sbatch: error: AssocMaxSubmitJobLimit",
    ],
)
def test_limits_of_slurm_are_weather(world: World, words: str) -> None:
    world.answer("sbatch", {"stdout": "", "stderr": words, "rc": 1})
    (answer,) = submit(world, "slurm", world.job())
    assert answer.busy
    assert words.splitlines()[0] in (answer.error or "")


def test_a_scheduler_that_is_away_is_asked_once_for_a_batch(world: World) -> None:
    world.answer("sbatch", recorded("slurm", "sbatch-ctld-down"))
    jobs = [world.job(f"{i:032x}", f"run{i}") for i in range(5)]
    assert all(answer.busy for answer in submit(world, "slurm", *jobs))
    assert world.calls("sbatch") == 1


class TestLostAnswers:
    """The scheduler may have taken the job without anybody learning of it."""

    TIMED_OUT = {
        "stdout": "", "rc": 1,
        "stderr": "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n",
    }  # fmt: skip

    def test_it_is_not_submitted_again_while_it_may_be_taken(self, world: World) -> None:
        world.answer("sbatch", self.TIMED_OUT)
        job = world.job()
        first, second = submit(world, "slurm", job), submit(world, "slurm", job)
        assert first[0].busy
        assert second[0].busy
        assert "Socket timed out" in (first[0].error or "")
        assert world.calls("sbatch") == 1

    def test_the_job_is_found_by_its_attempt(self, world: World) -> None:
        world.answer("sbatch", self.TIMED_OUT)
        job = world.job("5f0e3c1ad2c94c0f9a7b6d1e8f2a3b4c")
        submit(world, "slurm", job)
        world.command(
            "squeue", 'echo "77|RUNNING|None|10:00|n1|relax-5f0e3c1a"; echo "78|RUNNING|None|1|n1|a-00000000"'
        )
        assert submit(world, "slurm", job) == [SubmitAnswer(process_id="77")]
        assert world.calls("sbatch") == 1
        assert marker(job).read_text().splitlines()[1] == "id 77"

    def test_the_job_is_found_in_accounting_if_it_has_ended(self, world: World) -> None:
        world.answer("sbatch", self.TIMED_OUT)
        job = world.job("5f0e3c1ad2c94c0f9a7b6d1e8f2a3b4c")
        submit(world, "slurm", job)
        world.command("sacct", "echo '77|relax-5f0e3c1a'")
        assert submit(world, "slurm", job) == [SubmitAnswer(process_id="77")]

    def test_the_job_itself_may_have_told(self, world: World) -> None:
        world.answer("sbatch", self.TIMED_OUT)
        job = world.job()
        submit(world, "slurm", job)
        Path(job.run_dir, f"{STARTED_PREFIX}{job.attempt}").write_text("99 n1\n")
        assert submit(world, "slurm", job) == [SubmitAnswer(process_id="99")]

    def test_it_is_submitted_again_when_it_is_sure_that_it_was_lost(self, world: World) -> None:
        job = world.job()
        marker(job).write_text(f"elsewhere 1 1 {int(time.time()) - 3600}\n")
        world.answer("sbatch", recorded("slurm", "sbatch-plain"))
        assert submit(world, "slurm", job) == [SubmitAnswer(process_id="1")]
        assert submit(world, "slurm", job) == [SubmitAnswer(process_id="1")]
        assert world.calls("sbatch") == 1

    def test_it_is_not_submitted_again_while_the_scheduler_cannot_be_asked(self, world: World) -> None:
        job = world.job()
        marker(job).write_text(f"elsewhere 1 1 {int(time.time()) - 3600}\n")
        world.answer("squeue", recorded("slurm", "squeue-ctld-hang"))
        assert submit(world, "slurm", job)[0].busy
        assert world.calls("sbatch") == 0

    def test_a_command_that_hangs_is_given_up_and_asked_about(self, world: World) -> None:
        world.command("sbatch", "exec sleep 100")
        job = world.job()
        (answer,) = submit(world, "slurm", job, options=HostOptions(answer_seconds=1))
        assert answer.busy
        assert marker(job).exists()

    def test_two_commands_at_once_submit_once(self, world: World) -> None:
        system, jobs = batch_system("slurm"), [world.job(f"{i:032x}", f"run{i}") for i in range(20)]
        world.command("sbatch", f"echo $$ >> {world.folder}/sent; echo Submitted batch job $$")
        script = f"export PATH={world.folder}/bin:$PATH\n{system.render_submit(jobs)}"
        both = [subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(2)]
        said = [process.communicate()[0] for process in both]
        assert world.calls("sbatch") == len(jobs)
        for text in said:
            assert "|error|" not in text


def test_no_more_than_the_user_may_have_is_submitted(world: World) -> None:
    world.command("squeue", "echo 1; echo 2")  # by hand
    world.command("sbatch", "echo Submitted batch job 9")
    jobs = [world.job(f"{i:032x}", f"run{i}") for i in range(4)]
    answers = submit(world, "slurm", *jobs, options=HostOptions(max_submitted=3))
    assert [answer.busy for answer in answers] == [False, True, True, True]
    assert "max_submitted_user_jobs" in (answers[1].error or "")
    assert world.calls("squeue") == 1


def test_a_folder_that_is_not_there_is_an_error_of_that_job(world: World) -> None:
    world.answer("sbatch", recorded("slurm", "sbatch-plain"))
    lost = HostJob(str(world.folder / "lost"), "a" * 32)
    first, second = submit(world, "slurm", lost, world.job())
    assert "does not exist" in (first.error or "")
    assert not first.busy
    assert second.process_id == "1"


def test_an_answer_that_was_cut_short_is_asked_for_again(world: World) -> None:
    system, job = batch_system("slurm"), world.job()
    answer = world.run("echo hello")
    assert system.parse_submit(answer, [job])[0].busy


@pytest.mark.parametrize("scheduler", COMMANDS)
def test_cancelling_keeps_a_job_from_beginning_and_ends_only_our_own(world: World, scheduler: str) -> None:
    lists = {
        "slurm": "echo '77|RUNNING|None|10:00|n1|relax-5f0e3c1a'; echo '78|RUNNING|None|1|n1|mine'",
        "sge": "echo '<x><job_list>\n<JB_job_number>77</JB_job_number>\n<JB_name>relax-5f0e3c1a</JB_name>'",
        "pbs": r"printf 'Job Id: 77\n    Job_Name = relax-5f0e3c1a\n    job_state = R\n'",
    }
    world.command("squeue" if scheduler == "slurm" else "qstat", lists[scheduler])
    world.command("qselect", "echo 77")
    cancel = "scancel" if scheduler == "slurm" else "qdel"
    world.command(cancel, "")
    job = world.job("5f0e3c1ad2c94c0f9a7b6d1e8f2a3b4c")
    marker(job).write_text("elsewhere 1 1 1\n")  # its id was never learnt
    world.run(batch_system(scheduler).render_cancel([job]))
    assert re.findall(rf"^{cancel} .*$", (world.folder / "calls").read_text(), re.MULTILINE) == [
        f"{cancel} 77"
    ]
    assert Path(job.run_dir, f"{STARTED_PREFIX}{job.attempt}").read_text() == "-\n"
    (again,) = submit(world, scheduler, job)
    assert "withdrawn" in (again.error or "")


def test_cancelling_says_when_a_job_could_not_be_looked_for(world: World) -> None:
    world.answer("squeue", recorded("slurm", "squeue-ctld-down"))
    world.command("scancel", "")
    known, unknown = world.job("a" * 32, "known"), world.job("b" * 32, "unknown")
    marker(known).write_text("elsewhere 1 1 1\nid 7\n")
    marker(unknown).write_text("elsewhere 1 1 1\n")
    system = batch_system("slurm")
    assert world.run(system.render_cancel([known])).exit_code == 0
    assert world.calls("scancel") == 1
    answer = world.run(system.render_cancel([known, unknown]))
    assert answer.exit_code != 0
    assert "Unable to contact slurm controller" in answer.stderr
