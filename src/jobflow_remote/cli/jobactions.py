"""``jf job`` rerun, retry, pause, resume, stop, set-state and set: one shape for all that people do to jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobflow_remote.cli import completing
from jobflow_remote.cli import types as t
from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper, OptionBundle
from jobflow_remote.cli.output import confirm, out_console, print_error, print_json, print_message, print_note
from jobflow_remote.cli.parsing import parse_assignment, parse_settings
from jobflow_remote.cli.selecting import JobQuery
from jobflow_remote.control import runsettings
from jobflow_remote.errors import JobflowRemoteError
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
_CHANGED = "Changed in the same step"
SetInput = Annotated[
    list[Any] | None,
    typer.Option(
        "--set-input", "-si", parser=parse_assignment, metavar="NAME=VALUE", rich_help_panel=_CHANGED,
        help="With another argument: its name, or its number if it is positional (0 is the first), and a value in "
        "JSON or a text; repeatable.",
    ),
]  # fmt: skip


@dataclass(frozen=True)
class Changes(OptionBundle):
    """How jobs run from now on, where that is to be different."""

    to_worker: Annotated[
        str | None,
        typer.Option(
            "--to-worker", help="Run on this worker.", rich_help_panel=_CHANGED,
            autocompletion=completing.complete_workers,
        ),
    ] = None  # fmt: skip
    exec_config: Annotated[
        str | None,
        typer.Option(
            "--exec-config", help="With this exec_config of the project.", rich_help_panel=_CHANGED,
            autocompletion=completing.complete_exec_configs,
        ),
    ] = None  # fmt: skip
    resources: Annotated[
        Any,
        typer.Option(
            "--resources", parser=parse_settings, metavar="JSON|KEY=VALUE,…", rich_help_panel=_CHANGED,
            help="With these resources; those not named stay.",
        ),
    ] = None  # fmt: skip
    priority: Annotated[
        int | None, typer.Option("--priority", help="With this priority.", rich_help_panel=_CHANGED)
    ] = None

    def settings(self) -> act.RunSettings:
        """The same for the control functions; names that the project does not know are refused."""
        from jobflow_remote.control import act

        return _checked(act.RunSettings(self.to_worker, self.exec_config, self.resources, self.priority))


Why = Annotated[str | None, typer.Option("--why", help="A reason, for the history of the job.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would change.", show_default=False)]


def find_chosen(
    which: JobQuery, job_id: str | None, index: int | None, *, quiet: bool = False
) -> list[dict[str, Any]]:
    """The jobs that are meant: ``uuid``, ``index``, ``db_id`` and name of each."""
    from jobflow_remote.control import ids

    queue = current().queue(for_machines=quiet)
    fields = ("uuid", "index", "db_id", "job.name")
    if job_id is not None:
        if not which.is_empty:
            raise JobflowRemoteError(
                "an ID and options that select jobs cannot be used together", hint="keep one of them"
            )
        uuid, number = ids.resolve_job(queue, job_id, index)
        return queue.find_jobs({"uuid": uuid, "index": number}, fields=fields)
    return queue.find_jobs(which.select(queue).to_filter(), fields=fields, sort=(("db_number", 1),))


def name_some(found: list[dict[str, Any]]) -> str:
    """Ids and names of jobs, for a question."""
    names = ", ".join(f"{job['db_id']} {job['job']['name']}" for job in found[:_SHOWN])
    return f"{names}, …" if len(found) > _SHOWN else names


def key_of(job: dict[str, Any]) -> act.Key:
    """What identifies a job of :func:`find_chosen`."""
    return (job["uuid"], job["index"])


def _keys(
    which: JobQuery, job_id: str | None, index: int | None, yes: bool, verb: str, quiet: bool
) -> list[act.Key]:
    found = find_chosen(which, job_id, index, quiet=quiet)
    if found and job_id is None and which.is_empty and not yes:
        question = f"No filter: this will {verb} all {len(found)} jobs ({name_some(found)}). Proceed?"
        if not confirm(question):
            raise typer.Exit(0)
    return [key_of(job) for job in found]


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

    from jobflow_remote.control import act

    keys = _keys(which, job_id, index, yes, verb, as_json)
    outcomes: list[act.JobOutcome] = []
    if keys:
        services = current().services(for_machines=as_json)

        def run(wanted: Iterable[act.Key], on_progress: Callable[[act.JobOutcome], None]) -> None:
            outcomes.extend(
                act.act_on_jobs(services, wanted, decide, dry_run=dry_run, on_progress=on_progress)
            )

        with_progress(keys, run, raise_on_error=raise_on_error)
    if as_json:
        print_json([asdict(outcome) for outcome in outcomes])
    else:
        _tell(outcomes, verbosity=verbosity, dry_run=dry_run, single=job_id is not None)
    if job_id is not None or outcomes:
        raise typer.Exit(0 if any(outcome.done for outcome in outcomes) else 1)


def with_progress(
    keys: list[act.Key],
    run: Callable[[Iterable[act.Key], Callable[[act.JobOutcome], None]], None],
    *,
    raise_on_error: bool,
) -> None:
    """Have ``run`` act on jobs under a progress bar; with ``raise_on_error`` none after one that refused."""
    from rich.progress import Progress

    from jobflow_remote.cli.output import err_console

    refused: list[act.JobOutcome] = []
    with Progress(console=err_console(), transient=True, disable=len(keys) < _SHOWN) as progress:
        task = progress.add_task("jobs", total=len(keys))

        def on_progress(outcome: act.JobOutcome) -> None:
            progress.advance(task)
            if not outcome.done:
                refused.append(outcome)

        run((key for key in keys if not (raise_on_error and refused)), on_progress)


def tell_refused(outcomes: list[act.JobOutcome], *, everything: bool) -> None:
    """Say which jobs were not changed and why, and what else is to be known."""
    refused = [outcome for outcome in outcomes if not outcome.done]
    for outcome in refused if everything else refused[:_SHOWN]:
        print_error(outcome.refusal or "", outcome.hint if everything or len(refused) == 1 else None)
    if len(refused) > _SHOWN and not everything:
        print_error(f"… and {len(refused) - _SHOWN} more that were not changed (-v shows all)")
    for outcome in outcomes:
        for warning in outcome.warnings:
            print_note(f"job {outcome.db_id}: {warning}")


def _tell(outcomes: list[act.JobOutcome], *, verbosity: int, dry_run: bool, single: bool) -> None:
    changed = list(dict.fromkeys(db_id for outcome in outcomes for db_id in outcome.changed))
    tell_refused(outcomes, everything=bool(verbosity) or single)
    if not outcomes:
        print_message("No job matches", style="gold1", to_stderr=True)
    elif changed or not single:
        done = "jobs would be modified" if dry_run else "jobs modified"
        print_message(f"Operation completed: {len(changed)} {done}", style="green" if changed else "gold1")
        if verbosity or dry_run:
            _tell_each(outcomes)


def _tell_each(outcomes: list[act.JobOutcome]) -> None:
    for outcome in outcomes:
        if outcome.done and outcome.before is not None:
            effects = [_effect(effect) for effect in outcome.effects]
            out_console().print("\n".join(effects), soft_wrap=True, highlight=False, markup=False)


def _effect(effect: act.Effect) -> str:
    becomes = f" → {effect.after.value}" if effect.after not in (None, effect.before) else ""
    return f"{effect.db_id} {effect.name}: {effect.event} ({effect.before.value}{becomes})"


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
    changes: Changes,
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
    descendants: Annotated[
        bool | None,
        typer.Option(
            "--descendants/--no-descendants",
            help="Whether all that depends on the job runs again, or the jobs that refer to it only. "
            "By default all with --force.",
            show_default=False,
        ),
    ] = None,
    no_delete: Annotated[
        bool, typer.Option("--no-delete", "-nd", help="Keep the files of the former run.", show_default=False)
    ] = False,
    set_input: SetInput = None,
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

    Possible where nothing has built upon the job. With --force what depends on it runs again, whatever it did. Jobs
    that the former run brought about (replacements, detours, additions) count no more: they are stopped and superseded
    by those of the new run. Inputs, worker, resources and priority may be changed in the same command. --dry-run lists
    what would change.
    """
    from jobflow_remote.control import act

    decide = act.run_again(
        force=force, descendants=descendants, keep_files=no_delete, settings=changes.settings(),
        inputs=dict(set_input or ()), why=why,
    )  # fmt: skip
    _perform(
        decide, "rerun", which=which, job_id=one, index=index, verbosity=verbosity, yes=yes, as_json=as_json,
        raise_on_error=raise_on_error, dry_run=dry_run,
    )  # fmt: skip


def retry(
    which: JobQuery,
    changes: Changes,
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
    """Try the failed step of jobs again: REMOTE_ERROR goes back to the state before it.

    How a job runs may be changed in the same command if it was not submitted yet.
    """
    from jobflow_remote.control import act

    _perform(
        act.retry(why, settings=changes.settings()), "retry", which=which, job_id=one, index=index,
        verbosity=verbosity, yes=yes, as_json=as_json, raise_on_error=raise_on_error,
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


def _checked(settings: act.RunSettings) -> act.RunSettings:
    if settings.worker is not None or settings.exec_config is not None:
        runsettings.check_settings(current().services().project, settings)
    return settings


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
    as_json: t.AsJson = False,
) -> None:
    """Set the worker of jobs that the runner has not in hand."""
    from jobflow_remote.control import act

    decide = act.set_properties(_checked(act.RunSettings(worker=new_worker)))
    _set(
        decide, "set the worker of", which, raise_on_error=raise_on_error, yes=yes, verbosity=verbosity,
        as_json=as_json,
    )  # fmt: skip


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
    as_json: t.AsJson = False,
) -> None:
    """Set the execution configuration of jobs that the runner has not in hand."""
    from jobflow_remote.control import act

    decide = act.set_properties(_checked(act.RunSettings(exec_config=exec_config)))
    _set(
        decide, "set the exec_config of", which, raise_on_error=raise_on_error, yes=yes, verbosity=verbosity,
        as_json=as_json,
    )  # fmt: skip


def set_resources(
    which: JobQuery,
    resources: Annotated[
        Any,
        typer.Argument(
            parser=parse_settings, metavar="RESOURCES", help="The resources: KEY=VALUE,… or a JSON object."
        ),
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
    as_json: t.AsJson = False,
) -> None:
    """Set the resources of jobs that the runner has not in hand."""
    from jobflow_remote.control import act

    values = runsettings.make_qresources(resources) if qresources else resources
    decide = act.set_properties(act.RunSettings(resources=values, merge=not replace))
    _set(
        decide, "set the resources of", which, raise_on_error=raise_on_error, yes=yes, verbosity=verbosity,
        as_json=as_json,
    )  # fmt: skip


def set_priority(
    which: JobQuery,
    priority: Annotated[int, typer.Argument(help="Jobs with a higher one run first.")],
    raise_on_error: RaiseOnError = False,
    yes: t.Yes = False,
    verbosity: t.Verbosity = 0,
    as_json: t.AsJson = False,
) -> None:
    """Set the priority of jobs."""
    from jobflow_remote.control import act

    decide = act.set_properties(act.RunSettings(priority=priority))
    _set(
        decide, "set the priority of", which, raise_on_error=raise_on_error, yes=yes, verbosity=verbosity,
        as_json=as_json,
    )  # fmt: skip


def _set(decide: act.Decide, verb: str, which: JobQuery, **how: Any) -> None:
    _perform(decide, verb, which=which, job_id=None, index=None, **how)
