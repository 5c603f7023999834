"""``complete``: read what the job left behind, store its output, and tell the flow."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobflow_remote.engine.outcome import Failed, Finish, Outcome
from jobflow_remote.engine.steps.port import Step
from jobflow_remote.errors import Failure, JobKilledError
from jobflow_remote.hosts.local import read_tail
from jobflow_remote.layout import QUEUE_ERR_FILENAME, QUEUE_OUT_FILENAME
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.decide.completion import JobResult, decide_completion
from jobflow_remote.model.decide.failure import failure_of
from jobflow_remote.model.records import Document, JobRecord
from jobflow_remote.outputs import jobfiles

_TAIL_BYTES = 3000


_MOST_TOGETHER, _MOST_BYTES = 100, 16 << 20
"""Outputs that are stored in one go: a store that waits for the disk does so once for all of them."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """What a job has left, as far as it was read."""

    record: JobRecord
    result: JobResult
    output: tuple[Document, dict[str, list[Document]], str] | None = None
    """Document, blobs and ``db_id``; None: the function raised."""
    store: str | None = None
    size: int = 0


class CompleteStep(Step):
    """The output is stored before the job is COMPLETED; doing so twice gives the same documents."""

    name = "complete"
    batch = 50

    async def run(self, records: list[JobRecord]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        done = 0
        while done < len(records):
            try:
                some, done = await self.runner.in_thread("outputs", self._complete_some, records, done)
            except Exception as error:
                if failure_of(error) is not Failure.WEATHER or not outcomes:
                    raise
                break  # write what was done; the rest is tried again
            outcomes += some
        return outcomes

    async def after(self, outcomes: Sequence[Outcome]) -> None:
        """Remove the downloads of jobs that are through."""
        if self.context.config.is_local or not self.runner.services.project.runner.delete_tmp_folder:
            return
        folders = [self.context.results_folder(o.record) for o in outcomes if isinstance(o, Finish)]
        await self.runner.in_thread("outputs", _remove_folders, folders)

    def _complete_some(self, records: Sequence[JobRecord], first: int) -> tuple[list[Outcome], int]:
        """Complete as many as fit into memory together; returns the position after them."""
        outcomes: list[Outcome] = []
        ready: list[_Ready] = []
        size, position = 0, first
        while position < len(records) and len(ready) < _MOST_TOGETHER and size < _MOST_BYTES:
            record = records[position]
            position += 1
            try:
                ready.append(self._read(record))
                size += ready[-1].size
            except Exception as error:
                if failure_of(error) is Failure.WEATHER:
                    raise
                outcomes.append(Failed(record, error, self._tails(record)))
        refused = self._store(ready)
        for each in ready:
            error_of = refused.get(each.record.key)
            if error_of is not None:
                outcomes.append(Failed(each.record, error_of, self._tails(each.record)))
                continue
            extra = {} if each.output is not None else self._tails(each.record)
            change = decide_completion(
                each.record, each.result, holder=self.runner.token, now=utcnow(), extra=extra
            )
            outcomes.append(Finish(each.record, change))
        return outcomes, position

    def _read(self, record: JobRecord) -> _Ready:
        folder = self.context.results_folder(record)
        result = jobfiles.read_result(folder, attempt=record.attempt)
        if result is None:
            raise _killed(record, folder)
        if result.response is None:
            return _Ready(record, result)
        document, blobs = jobfiles.read_output_documents(folder)
        size = sum(path.stat().st_size for path in folder.glob("*.json"))
        store = self.runner.services.store_name(record.flow_uuid)
        return _Ready(record, result, (document, blobs, record.db_id), store, size)

    def _store(self, ready: Sequence[_Ready]) -> dict[tuple[str, int], Exception]:
        """Store outputs, all at once; if that does not work one by one, to see which are refused."""
        refused: dict[tuple[str, int], Exception] = {}
        for name in {each.store for each in ready if each.output is not None}:
            store = self.runner.services.outputs(name)
            mine = [each for each in ready if each.output is not None and each.store == name]
            try:
                store.store_outputs([each.output for each in mine if each.output])
            except Exception as error:
                if failure_of(error) is Failure.WEATHER:
                    raise
                for each in mine:
                    try:
                        store.store_outputs([each.output] if each.output else [])
                    except Exception as own:
                        if failure_of(own) is Failure.WEATHER:
                            raise
                        refused[each.record.key] = own
        return refused

    def _tails(self, record: JobRecord) -> dict[str, Any]:
        folder = self.context.results_folder(record)
        return {
            "remote.queue_out": read_tail(str(folder / QUEUE_OUT_FILENAME), _TAIL_BYTES),
            "remote.queue_err": read_tail(str(folder / QUEUE_ERR_FILENAME), _TAIL_BYTES),
        }


def _remove_folders(folders: Sequence[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def describe_exit(exit_code: int | None, reason: str | None) -> str:
    """How a process ended, in words: ``137`` is what a shell says of signal 9."""
    if exit_code is None:
        return reason or "nothing is known about how it ended"
    if exit_code > 128:
        number = exit_code - 128
        try:
            name = f" ({signal.Signals(number).name})"
        except ValueError:
            name = ""
        return f"it was killed by signal {number}{name}" + (f": {reason}" if reason else "")
    return f"it ended with exit code {exit_code}" + (f": {reason}" if reason else "")


def _killed(record: JobRecord, folder: Path) -> JobKilledError:
    how = describe_exit(record.remote.get("exit_code"), record.remote.get("reason"))
    lines = [f"the job left no result: {how}"]
    if not folder.is_dir():
        lines.append(f"its folder {record.run_dir} is gone, or empty")
    tail = (read_tail(str(folder / QUEUE_ERR_FILENAME), 2000) or "").strip().splitlines()[-10:]
    if tail:
        lines += [f"last lines of {QUEUE_ERR_FILENAME}:", *(f"  {line}" for line in tail)]
    return JobKilledError(
        "\n".join(lines),
        hint=f"`jf job queue-out {record.db_id}` shows all; `jf job rerun {record.db_id}` starts it again",
    )
