"""Switching over: another release works on a MongoDB, is stopped half way, and this one goes on.

``python -m tests.shows.switching [--reference ENVIRONMENT] [--release 1.0.1] [--end kill|stop] [--seed N]``
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.services.mongod import Mongod
from tests.shows.old_release import JOBS, OldRelease, install, wait_until

OURS = Path(sys.executable).parent
SHAPES = ("single", "chain", "fan", "nested", "large", "replacing", "detouring", "adding")
GATED = 4
"""Every so many-th flow waits for a gate: its first job runs while the release is changed."""
_ENDED = {"COMPLETED", "FAILED", "REMOTE_ERROR", "STOPPED"}


@dataclass
class Report:
    """What became of the flows."""

    release: str
    end: str
    """How the runner of the other release ended: ``kill`` (-9) or ``stop``."""
    flows: int = 0
    jobs: int = 0
    before: dict[str, int] = field(default_factory=dict)
    """State → number of jobs when the other release was stopped."""
    after: dict[str, int] = field(default_factory=dict)
    locks: int = 0
    """Locks that the other runner left."""
    different: dict[str, str] = field(default_factory=dict)
    """Flows whose outputs are not those of ``run_locally``, and how."""

    @property
    def holds(self) -> bool:
        """Whether everything completed with the right outputs."""
        return set(self.after) == {"COMPLETED"} and not self.different


def switch_over(
    reference_venv: Path | None, folder: Path, seed: int, *, release: str = "1.0.1", end: str = "kill"
) -> Report:
    """Let another release begin, and this one finish.

    Parameters
    ----------
    reference_venv
        An environment with the other release; None: one is made in ``folder``, with pip.
    end
        How the other runner ends: ``kill`` -9, or ``stop`` in an orderly way.
    """
    if reference_venv is None:
        reference_venv = install(release, folder / "reference")
    home = folder / f"{release}-{end}"
    (home / "mongod").mkdir(parents=True)
    server = Mongod(home / "mongod").start()
    try:
        return _switch(OldRelease(reference_venv / "bin", home, server.port, prefix="g"), seed, release, end)
    finally:
        server.stop()


def _switch(old: OldRelease, seed: int, release: str, end: str) -> Report:
    random = Random(seed)
    report = Report(release, end)
    old.jf("admin", "reset", "-f" if release.startswith("0.") else "-y")
    submitted = _submit(old, random)
    report.flows = len(submitted)
    old.start()
    try:
        _work_half_way(old, random)
        (old.kill if end == "kill" else old.stop)()
    finally:
        old.kill()
    report.before, report.locks = old.states(), _count_locks(old)
    new = OldRelease(OURS, old.folder, old.port)  # same home, same project file
    try:
        new.jf("admin", "upgrade", check=end != "kill")
        new.jf("admin", "upgrade", "--no-dry-run", answer="group\n")
        new.open_gate("open")
        new.start()
        wait_until(lambda: set(new.states()) <= _ENDED, "all jobs have ended", seconds=300)
    finally:
        new.stop()
    report.after = new.states()
    report.jobs = sum(report.after.values())
    for key, one in submitted.items():
        difference = _compare(new, key, one["flow"])
        if difference:
            report.different[key] = difference
    return report


def _submit(old: OldRelease, random: Random) -> dict[str, Any]:
    """All shapes and some of them twice, in a random order; about 40 jobs."""
    shapes = [*SHAPES, *random.sample(SHAPES, 4)]
    random.shuffle(shapes)
    wanted = [
        {"key": f"{number:02} {shape}", "shape": shape, "gate": "open" if number % GATED == 0 else None}
        for number, shape in enumerate(shapes)
    ]
    return old.submit(wanted)


def _work_half_way(old: OldRelease, random: Random) -> None:
    """Until a random part of the jobs that need not wait for the gate is done, with some in flight."""
    enough = random.randint(8, 18)

    def is_half_way() -> bool:
        states = old.states()
        return states.get("COMPLETED", 0) >= enough and bool(states.get("RUNNING") or states.get("SUBMITTED"))

    wait_until(is_half_way, f"{enough} jobs are done", seconds=240, pause=0.05)


def _count_locks(old: OldRelease) -> int:
    with old.client() as client:
        database = client[old.database]
        return sum(database[name].count_documents({"lock_id": {"$ne": None}}) for name in ("jobs", "flows"))


# -- what is right -------------------------------------------------------------------------------------------


def _compare(home: OldRelease, key: str, flow_uuid: str) -> str:
    """How the outputs of a flow differ from those of ``run_locally``; empty if they do not."""
    local = _run_locally(json.loads((home.flows / f"{key}.json").read_text()))
    with home.client() as client:
        stored = list(client[home.database].outputs.find({"hosts": flow_uuid}))
        blobs = {blob["blob_uuid"]: blob["data"] for blob in client[home.database].outputs_blobs.find({})}
    wanted = Counter(map(_known, local))
    found = Counter(_known(_with_blobs(each, blobs.__getitem__)) for each in stored)
    if found == wanted:
        return ""
    return f"missing: {sorted((wanted - found).elements())}, too many: {sorted((found - wanted).elements())}"


def _run_locally(flow: dict[str, Any]) -> list[dict[str, Any]]:
    sys.path.insert(0, str(JOBS))
    from jobflow import JobStore, run_locally
    from maggma.stores import MemoryStore
    from monty.json import MontyDecoder

    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    with tempfile.TemporaryDirectory() as folder:
        run_locally(MontyDecoder().process_decoded(flow), store=store, log=False, root_dir=folder)
    blobs = {blob["blob_uuid"]: blob["data"] for blob in store.additional_stores["data"].query({})}
    return [_with_blobs(each, blobs.__getitem__) for each in store.query({})]


def _with_blobs(value: Any, read: Callable[[str], Any]) -> Any:
    if isinstance(value, dict):
        if "blob_uuid" in value:
            return read(value["blob_uuid"])
        return {name: _with_blobs(content, read) for name, content in value.items()}
    return [_with_blobs(item, read) for item in value] if isinstance(value, list) else value


def _known(document: dict[str, Any]) -> str:
    """Jobs that others brought about have uuids of their own in each run; their names and outputs are the same."""
    return json.dumps([document["name"], document["index"], _nameless(document["output"])], sort_keys=True)


def _nameless(value: Any) -> Any:
    """References in outputs, which name such jobs, without the uuid."""
    if isinstance(value, dict):
        nameless = {"uuid": "*"} if value.get("@class") == "OutputReference" else {}
        return {name: _nameless(content) for name, content in value.items()} | nameless
    return [_nameless(item) for item in value] if isinstance(value, list) else value


def main() -> int:
    """Switch over once in each way, or in one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--reference", type=Path, help="environment with the other release; else pip makes one"
    )
    parser.add_argument("--release", default="1.0.1", help="which one")
    parser.add_argument("--end", choices=("kill", "stop"), help="how its runner ends; else once in each way")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory(prefix="jfswitch-") as name:
        folder = Path(name)
        reference = arguments.reference or install(arguments.release, folder / "reference")
        for end in (arguments.end,) if arguments.end else ("kill", "stop"):
            report = switch_over(reference, folder, arguments.seed, release=arguments.release, end=end)
            print(report)
            good = good and report.holds
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
