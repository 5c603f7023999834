"""``download``: bring the results of jobs to this machine, those of a batch in one transfer."""

from __future__ import annotations

import posixpath
from pathlib import Path

from jobflow_remote.engine.outcome import Advance, Failed, Outcome
from jobflow_remote.engine.steps.port import Step
from jobflow_remote.errors import HostError
from jobflow_remote.layout import (
    FORMER_ATTEMPT,
    OUT_FILENAME,
    QUEUE_ERR_FILENAME,
    QUEUE_OUT_FILENAME,
    store_filename,
)
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState
from jobflow_remote.outputs.formerresults import EXTENSIONS


class DownloadStep(Step):
    """What a job did not write is missing here too: ``complete`` says what that means."""

    name = "download"

    async def run(self, records: list[JobRecord]) -> list[Outcome]:
        if self.context.host.files_are_local:  # somebody set the state by hand: there is nothing to fetch
            return [Advance(record, "download", JobState.DOWNLOADED) for record in records]
        wanted: dict[str, Path] = {}
        for record in records:
            target = self.context.results_folder(record)
            names = await self.runner.in_queue_thread(self._names, record)
            wanted |= {posixpath.join(record.run_dir or "", name): target / name for name in names}
        for path in wanted.values():
            path.unlink(missing_ok=True)  # of an earlier attempt
        missing = await self.context.host.get_many(wanted)
        return [self._outcome(record, missing) for record in records]

    def _names(self, record: JobRecord) -> list[str]:
        services = self.runner.services
        stores = (None, *services.project.additional_store_names(services.store_name(record.flow_uuid)))
        endings = ["json"]
        if (record.attempt or "").startswith(FORMER_ATTEMPT):
            endings += EXTENSIONS
        return [
            OUT_FILENAME,
            QUEUE_OUT_FILENAME,
            QUEUE_ERR_FILENAME,
            *(store_filename(store, ending) for store in stores for ending in endings),
        ]

    def _outcome(self, record: JobRecord, missing: frozenset[str]) -> Outcome:
        result = posixpath.join(record.run_dir or "", OUT_FILENAME)
        if result in missing and record.remote.get("exit_code") == 0 and not record.step_attempts:
            # it ended well: on a slow file system the result may take a while to show
            return Failed(record, HostError(f"there is no {result} yet, although the job ended well"))
        return Advance(record, "download", JobState.DOWNLOADED)
