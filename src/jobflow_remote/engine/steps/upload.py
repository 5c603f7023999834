"""``upload``: resolve the references of a job and put its input file on the worker."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from jobflow_remote.engine.outcome import Advance, Failed, Outcome
from jobflow_remote.engine.steps.port import Step
from jobflow_remote.errors import ConfigError, Failure, NotFoundError
from jobflow_remote.execution.jobfields import stores_used
from jobflow_remote.layout import (
    IN_FILENAME,
    OUT_FILENAME,
    QUEUE_ERR_FILENAME,
    QUEUE_OUT_FILENAME,
    run_folder,
    store_filename,
)
from jobflow_remote.model.decide.failure import failure_of
from jobflow_remote.model.records import Document, JobRecord
from jobflow_remote.model.states import JobState
from jobflow_remote.outputs import jobfiles, references

_LEFTOVERS = (OUT_FILENAME, store_filename(), QUEUE_OUT_FILENAME, QUEUE_ERR_FILENAME)
"""Files of an earlier attempt that must not be taken for those of this one."""
_READ_TOGETHER = 25


class UploadStep(Step):
    """All input files of a batch travel together."""

    name = "upload"
    batch = 100
    renders = True

    async def run(self, records: list[JobRecord]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        files: dict[str, bytes | Path] = {}
        leftovers: list[str] = []
        cleared: list[str] = []
        async for record, document in self._with_documents(records):
            run_dir = run_folder(str(self.context.config.work_dir), record.uuid, record.index)
            try:
                files[os.path.join(run_dir, IN_FILENAME)] = await self.runner.in_thread(
                    "outputs", self._input, record, document
                )
                if record.remote["prerun_cleanup"]:
                    cleared.append(run_dir)
            except Exception as error:
                if failure_of(error) is Failure.WEATHER:
                    raise
                outcomes.append(Failed(record, error))
                continue
            leftovers += [os.path.join(run_dir, name) for name in _LEFTOVERS]
            fields = {"run_dir": run_dir, "remote.prerun_cleanup": False}
            outcomes.append(Advance(record, "upload", JobState.UPLOADED, fields))
        if cleared:
            await self.context.host.remove_run_folders(cleared)
        await self.context.host.put_many(files, replace_in=leftovers)
        return outcomes

    async def _with_documents(
        self, records: Sequence[JobRecord]
    ) -> AsyncIterator[tuple[JobRecord, Document | None]]:
        """The records and their documents with inputs, which may be large, some at a time."""
        for first in range(0, len(records), _READ_TOGETHER):
            some = records[first : first + _READ_TOGETHER]
            query = {"uuid": {"$in": [record.uuid for record in some]}}
            found = await self.runner.in_queue_thread(self.queue.find_jobs, query, with_inputs=True)
            documents = {(document["uuid"], document["index"]): document for document in found}
            for record in some:
                yield record, documents.get(record.key)

    def _input(self, record: JobRecord, document: Document | None) -> bytes:
        if document is None:
            raise NotFoundError(f"job {record.db_id} is no longer in the queue database")
        services = self.runner.services
        store_name = services.store_name(record.flow_uuid)
        names = services.project.additional_store_names(store_name)
        missing = sorted(stores_used(document["job"]) - set(names))
        if missing:
            raise ConfigError(
                f"the job wants to store data in {', '.join(missing)}, which the output store does not have",
                hint=f"additional stores of the project: {', '.join(names) or 'none'}",
            )
        job = document["job"]
        if references.has_references(job):
            job = references.resolve_job(job, services.outputs(store_name))
        return jobfiles.render_input(document, job=job, store_names=names, attempt=record.attempt or "0")
