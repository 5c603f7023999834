"""The contract of schedulers, on real ones (PBS: on its look-alike, see :mod:`tests.services.pbslookalike`)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.services.debian import run
from tests.services.missing import or_skip
from tests.services.pbs import PbsLookalike
from tests.services.sge import GridEngine
from tests.services.slurm import Slurm

from jobflow_remote.schedulers.hostscripts import HostOptions
from jobflow_remote.schedulers.port import HostJob, HostJobState
from jobflow_remote.schedulers.qtoolkit import make_scheduler
from jobflow_remote.testing.contracts.schedulers import BatchSystemContract, SchedulerContract, Site


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that other users may enter, as pytest's own are not; short, for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="jf"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _call(command: str) -> Callable[[str], None]:
    def call(job_id: str) -> None:
        run([command, job_id])

    return call


class TestShell(SchedulerContract):
    """The shell of this machine."""

    @pytest.fixture(scope="class")
    def site(self, place: Path) -> Site:
        """No batch system at all."""
        return Site(make_scheduler("shell", HostOptions()), place / "shell-runs")


class TestSlurm(BatchSystemContract):
    """Slurm with two nodes, without accounting."""

    refused = {"partition": "nope"}

    @pytest.fixture(scope="class")
    def site(self, place: Path) -> Iterator[Site]:
        """A controller of its own."""
        slurm = Slurm(place / "slurm")
        try:
            or_skip(slurm.start)
            yield Site(
                make_scheduler("slurm", HostOptions()),
                place / "slurm-runs",
                held={"partition": "down"},
                walltime={"time": "1"},
                memory={"mem": "50M"},
                expire=slurm.expire,
                cancel_by_hand=_call("scancel"),
                stop=slurm.stop_controller,
                start=slurm.start_controller,
            )
        finally:
            slurm.stop()


class TestGridEngine(BatchSystemContract):
    """Grid Engine with one host."""

    refused = {"queue": "nope.q"}

    @pytest.fixture(scope="class")
    def site(self, place: Path) -> Iterator[Site]:
        """A cell of its own."""
        engine = GridEngine(place / "sge")
        try:
            or_skip(engine.start)
            yield Site(
                make_scheduler("sge", HostOptions(answer_seconds=2, settle_seconds=5)),
                place / "sge-runs",
                held={"qverbatim": "#$ -h"},
                walltime={"walltime": "2"},
                cancel_by_hand=_call("qdel"),
                stop=engine.freeze_master,  # its clients wait for ever; one that was stopped refuses them
                start=lambda: engine.freeze_master(frozen=False),
            )
        finally:
            engine.stop()

    def test_out_of_memory(self, site: Site, doomed: dict[str, HostJob]) -> None:
        """Grid Engine kills nobody: the process is refused more than its limit, and says so."""
        job = site.begin("python3 -c 'bytearray(300 << 20)'", {"qverbatim": "#$ -l h_vmem=200M"})
        assert site.wait(job, HostJobState.ENDED).exit_code == 1
        assert "MemoryError" in Path(job.run_dir, "queue.err").read_text()


class TestPbsLookalike(BatchSystemContract):
    """Not PBS, but a server that answers as PBS does."""

    @pytest.fixture(scope="class")
    def site(self, place: Path) -> Iterator[Site]:
        """A server of its own."""
        pbs = PbsLookalike(place / "pbs")
        try:
            or_skip(pbs.start)
            yield Site(
                make_scheduler("pbs", HostOptions()),
                place / "pbs-runs",
                held={"qverbatim": "#PBS -h"},
                walltime={"walltime": "00:00:01"},
                memory={"select": "select=1:ncpus=1:mem=50mb"},
                cancel_by_hand=_call("qdel"),
                stop=pbs.stop_server,
                start=pbs.start_server,
            )
        finally:
            pbs.stop()
