"""``submit`` for a batch worker: hand many jobs to the pilots in one file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from jobflow_remote.engine.jobscript import find_exec_config, plain_exports, render_job_script
from jobflow_remote.engine.outcome import Advance, Failed, Outcome
from jobflow_remote.engine.steps.port import Step
from jobflow_remote.errors import ConfigError, HostError, SchedulerBusyError, SchedulerError
from jobflow_remote.execution.pilot.handledir import NEW
from jobflow_remote.execution.pilot.ticket import Needs, Ticket, bundle_name, render_bundle
from jobflow_remote.layout import SUBMIT_FILENAME
from jobflow_remote.model.decide.pilots import attempt_of_try, read_needs
from jobflow_remote.model.records import JobRecord
from jobflow_remote.model.states import JobState

_DEFAULT_COMMAND = "jf -fe execution run {}"
_FRESH = {
    "start_time": None, "end_time": None, "remote.process_id": None, "remote.exit_code": None,
    "remote.reason": None, "remote.queue_state": None, "remote.place": None,
}  # fmt: skip


class BundleStep(Step):
    """A job can be forked by the pilot unless its exec_config needs a shell; then its script goes along."""

    name = "submit"
    renders = True

    async def run(self, records: list[JobRecord]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        rendered_by = self.runner.configuration.in_use.digest
        files: dict[str, bytes | Path] = {}
        tickets: list[Ticket] = []
        for record in records:
            try:
                ticket, script = self._ticket(record)
            except (ConfigError, SchedulerError, ValueError) as error:
                outcomes.append(Failed(record, error))
                continue
            if script is not None:
                files[os.path.join(ticket.run_dir, SUBMIT_FILENAME)] = script.encode()
            tickets.append(ticket)
            fields = {**_FRESH, "attempt": ticket.attempt, "remote.configuration": rendered_by}
            outcomes.append(Advance(record, "submit", JobState.BATCH_SUBMITTED, fields))
        if tickets:
            files[self._bundle_path(records, tickets)] = render_bundle(tickets).encode()
            await self._put(files)
        return outcomes

    async def _put(self, files: dict[str, bytes | Path]) -> None:
        try:
            await self.context.host.put_many(files)
        except HostError as error:  # no job is to blame for it
            raise SchedulerBusyError(
                f"jobs cannot be handed to the pilots: {error.message}", hint=error.hint
            ) from error

    def _bundle_path(self, records: list[JobRecord], tickets: list[Ticket]) -> str:
        """The same for the same jobs: a runner that repeats the step does not hand them over twice."""
        mark = hashlib.sha1("".join(sorted(each.attempt for each in tickets)).encode()).hexdigest()[:16]
        created = min(record.created_on for record in records).timestamp()
        name = bundle_name(max(record.priority for record in records), created, mark)
        assert self.context.config.batch is not None
        return os.path.join(str(self.context.config.batch.jobs_handle_dir), NEW, name)

    def _ticket(self, record: JobRecord) -> tuple[Ticket, str | None]:
        run_dir = record.run_dir or ""
        if any(ord(letter) < 32 for letter in run_dir):
            raise ConfigError(f"the run folder {run_dir!r} has a control character in its name")
        execution = find_exec_config(self.context, record)
        exports = plain_exports(execution)
        command = self.context.config.execution_cmd
        forked = exports is not None and (command is None or command.endswith(_DEFAULT_COMMAND[3:]))
        script = None
        if not forked:
            header = f"# job: {record.name}".replace("\n", " ")
            script = render_job_script(self.context, record, execution, header=header)
        ticket = Ticket(
            attempt=attempt_of_try(record),
            run_dir=run_dir,
            uuid=record.uuid,
            index=record.index,
            db_id=record.db_id,
            name=record.name,
            needs=Needs(**read_needs(record.resources)),
            environment=exports or {} if forked else {},
            script=SUBMIT_FILENAME if script is not None else None,
        )
        return ticket, script
