"""``complete``: read what the job left behind, store its output, and tell the flow."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobflow_remote.engine.outcome import Failed, Finish, Outcome
from jobflow_remote.engine.steps.port import Step
from jobflow_remote.errors import Failure, JobKilledError
from jobflow_remote.hosts.local import read_tail
from jobflow_remote.layout import QUEUE_ERR_FILENAME, QUEUE_OUT_FILENAME
from jobflow_remote.model.clock import utcnow
from jobflow_remote.model.decide.completion import decide_completion
from jobflow_remote.model.decide.failure import failure_of
from jobflow_remote.model.records import JobRecord
from jobflow_remote.outputs import jobfiles

_TAIL_BYTES = 3000


class CompleteStep(Step):
    """The output is stored before the job is COMPLETED; doing so twice gives the same documents."""

    name = "complete"
    batch = 50

    async def run(self, records: list[JobRecord]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for record in records:
            try:
                outcomes.append(await self.runner.in_thread("outputs", self._complete, record))
            except Exception as error:
                if failure_of(error) is Failure.WEATHER and not outcomes:
                    raise
                if failure_of(error) is Failure.WEATHER:
                    break  # write what was done; the rest is tried again
                outcomes.append(Failed(record, error, self._tails(record)))
        return outcomes

    async def after(self, outcomes: Sequence[Outcome]) -> None:
        """Remove the downloads of jobs that are through."""
        if self.context.config.is_local or not self.runner.services.project.runner.delete_tmp_folder:
            return
        folders = [self.context.results_folder(o.record) for o in outcomes if isinstance(o, Finish)]
        await self.runner.in_thread("outputs", _remove_folders, folders)

    def _complete(self, record: JobRecord) -> Outcome:
        folder = self.context.results_folder(record)
        result = jobfiles.read_result(folder, attempt=record.attempt)
        if result is None:
            raise _killed(record, folder)
        extra: dict[str, Any] = {}
        if result.response is None:
            extra = self._tails(record)
        else:
            document, blobs = jobfiles.read_output_documents(folder)
            services = self.runner.services
            store = services.outputs(services.store_name(record.flow_uuid))
            store.store_output(document, blobs, db_id=record.db_id)
        change = decide_completion(record, result, holder=self.runner.token, now=utcnow(), extra=extra)
        return Finish(record, change)

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
