"""Fixtures of the acceptance tests; they use only ``jf`` and public names."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "jobs"))

from tests_home import Home


def _shut_down(home: Home) -> None:
    home.jf("runner", "shutdown", "--wait", check=False)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home without a runner; whatever a test started is shut down after it."""
    made = Home(tmp_path, {"JFREMOTE_PROJECTS_FOLDER": str(tmp_path)})
    for name in ("JFREMOTE_PROJECT", "jfremote_project", "JFREMOTE_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JFREMOTE_PROJECTS_FOLDER", str(tmp_path))
    import jobflow_remote
    from jobflow_remote.config.settings import JobflowRemoteSettings

    monkeypatch.setattr(jobflow_remote, "SETTINGS", JobflowRemoteSettings(), raising=False)
    made.write_project()
    yield made
    _shut_down(made)


@pytest.fixture(params=["single", "split"])
def running(request: pytest.FixtureRequest, home: Home) -> Home:
    """A home with a runner: one process, or one per role."""
    home.jf("runner", "start", *(["--single"] if request.param == "single" else []))
    return home


@pytest.fixture
def running_single(home: Home) -> Home:
    """A home with a runner in one process."""
    home.jf("runner", "start", "--single")
    return home


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], None]:
    """Wait until something holds, a minute at most."""

    def wait(holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < end, "it did not happen within a minute"
            time.sleep(0.05)

    return wait


_BATCH_SYSTEMS = ("test_batch_systems.py", "test_clusters.py", "test_pilots_in_slurm.py")
"""Files that start Slurm: two of them at a time would share the control groups of their jobs."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run side by side (``--dist loadgroup``), those of a file stay together, and batch systems do."""
    for item in items:
        group = "batch systems" if item.path.name in _BATCH_SYSTEMS else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))
