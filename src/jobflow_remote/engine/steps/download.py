"""``download``: bring the results of a job to this machine."""

from __future__ import annotations

from jobflow_remote.engine.outcome import Advance, Outcome
from jobflow_remote.engine.steps.port import Step
from jobflow_remote.errors import CapabilityMissingError
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState


class DownloadStep(Step):
    """Jobs on this machine come here only when somebody sets their state by hand: there is nothing to fetch."""

    name = "download"

    async def run(self, records: list[JobRecord]) -> list[Outcome]:
        if not self.context.host.files_are_local:
            raise CapabilityMissingError("files of other machines cannot be downloaded yet")
        return [Advance(record, "download", JobState.DOWNLOADED) for record in records]
