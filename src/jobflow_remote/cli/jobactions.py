"""``jf job`` rerun, retry, pause, resume, stop, set-state and set: one shape for all that people do to jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobflow_remote.cli import completing
from jobflow_remote.cli import types as t
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import confirm, out_console, print_error, print_json, print_message, print_note
from jobflow_remote.cli.parsing import parse_dict
from jobflow_remote.cli.selecting import JobQuery
from jobflow_remote.errors import ConfigError, JobflowRemoteError
from jobflow_remote.model.states import JobState

if TYPE_CHECKING:  # listings load this module, and act upon nothing
    from jobflow_remote.control import act

_SHOWN = 10

Wait = Annotated[
    int | None, typer.Option("--wait", "-w", hidden=True, help="No longer needed: nobody waits for locks.")
]
BreakLock = Annotated[
    bool,
    typer.Option("--break-lock", "-bl", hidden=True, help="No longer needed: a person wins over the runner."),
]
RaiseOnError = Annotated[
    bool,
    typer.Option("--raise-on-error", "-re", help="Stop at the first job that refuses.", show_default=False),
]
Why = Annotated[str | None, typer.Option("--why", help="A reason, for the history of the job.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would change.", show_default=False)]


class _FirstRefusal(Exception):
    """--raise-on-error: the rest is left alone."""


def _keys(
    which: JobQuery, job_id: str | None, index: int | None, yes: bool, verb: str, quiet: bool
) -> list[act.Key]:
    from jobflow_remote.control import ids

    queue = current().queue(for_machines=quiet)
    if job_id is not None:
        if not which.is_empty:
            raise JobflowRemoteError(
                "an ID and options that select jobs cannot be used together", hint="keep one of them"
            )
        return [ids.resolve_job(queue, job_id, index)]
    selection = which.select(queue)
    found = queue.find_jobs(
        selection.to_filter(), fields=("uuid", "index", "db_id", "job.name"), sort=(("db_number", 1),)
    )
    if found and which.is_empty and not yes:
        names = ", ".join(f"{job['db_id']} {job['job']['name']}" for job in found[:_SHOWN])
        more = ", …" if len(found) > _SHOWN else ""
        if not confirm(f"No filter: this will {verb} all {len(found)} jobs ({names}{more}). Proceed?"):
            raise typer.Exit(0)
    return [(job["uuid"], job["index"]) for job in found]


def _perform(
    decide: act.Decide,
    verb: str,
    *,
    which: JobQuery,
    job_id: str | None,
    index: int | None,
    verbosity: int = 0,
    yes: bool = False,
    as_json: bool = False,
    raise_on_error: bool = False,
    dry_run: bool = False,
) -> None:
    """Select, act with progress, tell what was done and what was not, and why."""
    from dataclasses import asdict

    keys = _keys(which, job_id, index, yes, verb, as_json)
    outcomes: list[act.JobOutcome] = []
    if keys:
        services = current().services(for_machines=as_json)
        outcomes = _act(services, keys, decide, dry_run=dry_run, raise_on_error=raise_on_error)
    if as_json:
        print_json([asdict(outcome) for outcome in outcomes])
    else:
        _tell(outcomes, verbosity=verbosity, dry_run=dry_run, single=job_id is not None)
    if job_id is not None or outcomes:
        raise typer.Exit(0 if any(outcome.done for outcome in outcomes) else 1)


def _act(
    services: Any, keys: list[act.Key], decide: act.Decide, *, dry_run: bool, raise_on_error: bool
) -> list[act.JobOutcome]:
    from rich.progress import Progress

    from jobflow_remote.cli.output import err_console
    from jobflow_remote.control import act

    seen: list[act.JobOutcome] = []
    with Progress(console=err_console(), transient=True, disable=len(keys) < _SHOWN) as progress:
        task = progress.add_task("jobs", total=len(keys))

        def on_progress(outcome: act.JobOutcome) -> None:
            progress.advance(task)
            seen.append(outcome)
            if raise_on_error and not outcome.done:
                raise _FirstRefusal

        try:
            return act.act_on_jobs(services, keys, decide, dry_run=dry_run, on_progress=on_progress)
        except _FirstRefusal:
            return seen


def _tell(outcomes: list[act.JobOutcome], *, verbosity: int, dry_run: bool, single: bool) -> None:
    changed = list(dict.fromkeys(db_id for outcome in outcomes for db_id in outcome.changed))
    refused = [outcome for outcome in outcomes if not outcome.done]
    for outcome in refused if verbosity or single else refused[:_SHOWN]:
        print_error(outcome.refusal or "", outcome.hint if single or len(refused) == 1 else None)
    if len(refused) > _SHOWN and not verbosity and not single:
        print_error(f"… and {len(refused) - _SHOWN} more that were not changed (-v shows all)")
    for outcome in outcomes:
        for warning in outcome.warnings:
            print_note(f"job {outcome.db_id}: {warning}")
    if not outcomes:
        print_message("No job matches", style="gold1", to_stderr=True)
    elif changed or not single:
        done = "jobs would be modified" if dry_run else "jobs modified"
        print_message(f"Operation completed: {len(changed)} {done}", style="green" if changed else "gold1")
        if (verbosity or dry_run) and changed:
            out_console().print(", ".join(changed), soft_wrap=True, highlight=False)


def register(app: JFRTyper) -> None:
    """Add the actions to ``jf job``."""
    app.command("rerun")(rerun)
    app.command("retry")(retry)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("play", hidden=True)(resume)
    app.command("stop")(stop)
    app.command("set-state")(set_state)
    settings = JFRTyper(name="set", help="Set how jobs run.")
    settings.command("worker")(set_worker)
    settings.command("exec-config")(set_exec_config)
    settings.command("resources")(set_resources)
    settings.command("priority")(set_priority)
    app.add_typer(settings)


def rerun(
    which: JobQuery,
    one: t.OptionalJobId = None,
    index: t.JobIndex = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            "-f",
            help="Also where others have built upon it: they run again too.",
            show_default=False,
        ),
    ] = False,
    no_delete: Annotated[
        bool, typer.Option("--no-delete", "-nd", help="Keep the files of the former run.", show_default=False)
    ] = False,
    to_worker: Annotated[str | None, typer.Option("--to-worker", help="Run on this worker.")] = None,
    resources: Annotated[
        Any,
        typer.Option(
            "--resources", parser=parse_dict, metavar="JSON|KEY=VALUE,…", help="Run with these resources."
        ),
    ] = None,
    why: Why = None,
    dry_run: DryRun = False,
    raise_on_error: RaiseOnError = False,
    yes: t.Yes = False,
    verbosity: t.Verbosity = 0,
    as_json: t.AsJson = False,
    wait: Wait = None,
    break_lock: BreakLock = False,
) -> None:
    """Run jobs again from the beginning; what depends on them waits for them again.

    Possible where nothing has built upon the job. With --force all that depends on it runs again, whatever it did, and
    jobs that the former run brought about are superseded. --dry-run lists what would change.
    """
    from jobflow_remote.control import act

    properties = {
        key: value for key, value in (("worker", to_worker), ("resources", resources)) if value is not None
    }
    _check_worker(to_worker)
    decide = act.run_again(force=force, keep_files=no_delete, properties=properties, why=why)
    _perform(
        decide, "rerun", which=which, job_id=one, index=index, verbosity=verbosity, yes=yes, as_json=as_json,
        raise_on_error=raise_on_error, dry_run=dry_run,
    )  # fmt: skip


def retry(
    which: JobQuery,
    one: t.OptionalJobId = None,
    index: t.JobIndex = None,
    why: Why = None,
    raise_on_error: RaiseOnError = False,
    yes: t.Yes = False,
    verbosity: t.Verbosity = 0,
    as_json: t.AsJson = False,
    wait: Wait = None,
    break_lock: BreakLock = False,
) -> None:
    """Try the failed step of jobs again: REMOTE_ERROR goes back to the state before it."""
    from jobflow_remote.control import act

    _perform(
        act.retry(why), "retry", which=which, job_id=one, index=index, verbosity=verbosity, yes=yes,
        as_json=as_json, raise_on_error=raise_on_error,
    )  # fmt: skip


def pause(
    which: JobQuery,
    one: t.OptionalJobId = None,
    index: t.JobIndex = None,
    why: Why = None,
    raise_on_error: RaiseOnError = False,
    yes: t.Yes = False,
    verbosity: t.Verbosity = 0,
    as_json: t.AsJson = False,
    wait: Wait = None,
) -> None:
    """Hold jobs back that have not begun, until ``resume``."""
    from jobflow_remote.control import act

    _perform(
        act.pause(why), "pause", which=which, job_id=one, index=index, verbosity=verbosity, yes=yes,
        as_json=as_json, raise_on_error=raise_on_error,
    )  # fmt: skip


def resume(
    which: JobQuery,
    one: t.OptionalJobId = None,
    index: t.JobIndex = None,
    why: Why = None,
    raise_on_error: RaiseOnError = False,
    yes: t.Yes = False,
    verbosity: t.Verbosity = 0,
    as_json: t.AsJson = False,
    wait: Wait = None,
) -> None:
    """Let paused and stopped jobs go on."""
    from jobflow_remote.control import act

    _perform(
        act.play(why), "resume", which=which, job_id=one, index=index, verbosity=verbosity, yes=yes,
        as_json=as_json, raise_on_error=raise_on_error,
    )  # fmt: skip


def stop(
    which: JobQuery,
    one: t.OptionalJobId = None,
    index: t.JobIndex = None,
    why: Why = None,
    raise_on_error: RaiseOnError = False,
    yes: t.Yes = False,
    verbosity: t.Verbosity = 0,
    as_json: t.AsJson = False,
    wait: Wait = None,
    break_lock: BreakLock = False,
) -> None:
    """Stop jobs, also where they run: what they did is lost. ``resume`` starts them from the beginning."""
    from jobflow_remote.control import act

    _perform(
        act.stop(why), "stop", which=which, job_id=one, index=index, verbosity=verbosity, yes=yes,
        as_json=as_json, raise_on_error=raise_on_error,
    )  # fmt: skip


def set_state(
    which: JobQuery,
    new_state: Annotated[
        JobState,
        typer.Argument(
            metavar="NEW_STATE", help="The state to write.", autocompletion=completing.complete_job_states
        ),
    ],
    one: t.OptionalJobId = None,
    index: t.JobIndex = None,
    why: Why = None,
    yes: t.Yes = False,
    verbosity: t.Verbosity = 0,
    as_json: t.AsJson = False,
    wait: Wait = None,
    break_lock: BreakLock = False,
) -> None:
    """Write a state without any check: for repairs. Nothing is run, stopped or removed."""
    from jobflow_remote.control import act

    _perform(
        act.set_state(new_state, why), f"set to {new_state.value}", which=which, job_id=one, index=index,
        verbosity=verbosity, yes=yes, as_json=as_json,
    )  # fmt: skip


# -- how they run ----------------------------------------------------------------------------------------------


def _check_worker(name: str | None) -> None:
    if name is not None:
        current().services().worker(name)


def set_worker(
    which: JobQuery,
    new_worker: Annotated[
        str,
        typer.Argument(
            metavar="WORKER",
            help="Name of a worker of the project.",
            autocompletion=completing.complete_workers,
        ),
    ],
    raise_on_error: RaiseOnError = False,
    yes: t.Yes = False,
    verbosity: t.Verbosity = 0,
) -> None:
    """Set the worker of jobs that the runner has not in hand."""
    from jobflow_remote.control import act

    _check_worker(new_worker)
    _set(act.set_properties(worker=new_worker), "set the worker of", which, raise_on_error, yes, verbosity)


def set_exec_config(
    which: JobQuery,
    exec_config: Annotated[
        str,
        typer.Argument(
            help="Name of an exec_config of the project.", autocompletion=completing.complete_exec_configs
        ),
    ],
    raise_on_error: RaiseOnError = False,
    yes: t.Yes = False,
    verbosity: t.Verbosity = 0,
) -> None:
    """Set the execution configuration of jobs that the runner has not in hand."""
    from jobflow_remote.control import act

    known = current().services().project.exec_config
    if exec_config not in known:
        raise ConfigError(
            f"the project has no exec_config {exec_config!r}", hint=f"it has {', '.join(known) or 'none'}"
        )
    _set(
        act.set_properties(exec_config=exec_config),
        "set the exec_config of",
        which,
        raise_on_error,
        yes,
        verbosity,
    )


def set_resources(
    which: JobQuery,
    resources: Annotated[
        Any, typer.Argument(parser=parse_dict, metavar="JSON|KEY=VALUE,…", help="The resources.")
    ],
    replace: Annotated[
        bool, typer.Option("--replace", "-r", help="Forget the present resources.", show_default=False)
    ] = False,
    qresources: Annotated[
        bool,
        typer.Option("--qresources", "-qr", help="The keys are those of QResources.", show_default=False),
    ] = False,
    raise_on_error: RaiseOnError = False,
    yes: t.Yes = False,
    verbosity: t.Verbosity = 0,
) -> None:
    """Set the resources of jobs that the runner has not in hand."""
    from jobflow_remote.control import act

    values = _as_qresources(resources) if qresources else resources
    decide = act.set_properties(resources=values, merge=not replace)
    _set(decide, "set the resources of", which, raise_on_error, yes, verbosity)


def _as_qresources(values: dict[str, Any]) -> dict[str, Any]:
    from qtoolkit.core.data_objects import QResources

    try:
        serialised: dict[str, Any] = QResources(**values).as_dict()
    except Exception as error:
        raise ConfigError(f"these are no QResources: {error}") from error
    return serialised


def set_priority(
    which: JobQuery,
    priority: Annotated[int, typer.Argument(help="Jobs with a higher one run first.")],
    raise_on_error: RaiseOnError = False,
    yes: t.Yes = False,
    verbosity: t.Verbosity = 0,
) -> None:
    """Set the priority of jobs."""
    from jobflow_remote.control import act

    _set(act.set_properties(priority=priority), "set the priority of", which, raise_on_error, yes, verbosity)


def _set(
    decide: act.Decide, verb: str, which: JobQuery, raise_on_error: bool, yes: bool, verbosity: int
) -> None:
    _perform(
        decide, verb, which=which, job_id=None, index=None, verbosity=verbosity, yes=yes,
        raise_on_error=raise_on_error,
    )  # fmt: skip
