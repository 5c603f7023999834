"""``jf project init``: a project for one's own machines, by questions or by options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobflow_remote.cli import types as t
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import confirm, out_console, print_error, print_message, print_note
from jobflow_remote.cli.parsing import parse_dict
from jobflow_remote.config.sshhosts import read_ssh_hosts
from jobflow_remote.errors import ConfigError, JobflowRemoteError

if TYPE_CHECKING:
    from jobflow_remote.control.newproject import HostFacts, WorkerWish

_HERE = "local"


def register(app: JFRTyper) -> None:
    """Add the command to ``jf project``."""
    app.command("init")(init)


def init(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the project.")] = None,
    host: Annotated[
        str | None,
        typer.Option(
            "--worker-host",
            help="Where jobs run: a host, or alias of ~/.ssh/config; local: on this machine.",
        ),
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="Name to log in with.")] = None,
    worker: Annotated[str | None, typer.Option("--worker", help="Name of the worker.")] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="What runs jobs there: slurm, pbs, sge or shell.")
    ] = None,
    work_dir: Annotated[str | None, typer.Option("--work-dir", help="Folder for run folders there.")] = None,
    partition: Annotated[str | None, typer.Option("--partition", help="Partition (queue) for jobs.")] = None,
    resources: Annotated[
        Any,
        typer.Option(
            "--resources", parser=parse_dict, metavar="JSON|KEY=VALUE,…", help="Resources of jobs by default."
        ),
    ] = None,
    pre_run: Annotated[
        str | None, typer.Option("--pre-run", help="Line of shell that makes Python ready there.")
    ] = None,
    max_jobs: Annotated[
        int | None, typer.Option("--max-jobs", help="Most jobs in the scheduler at a time.")
    ] = None,
    ask: Annotated[
        bool | None,
        typer.Option(
            "--ask-host/--no-ask-host",
            help="Log in now, to ask for the home and the partitions (asked if not given).",
            show_default=False,
        ),
    ] = None,
    yes: t.Yes = False,
) -> None:
    """Make a project for your machines: it asks what it has to know.

    With --yes it asks nothing and takes the defaults for what no option says. Queue and outputs are kept in files in
    the folder of the project; `jf project edit` changes that.
    """
    asking = Asking(yes)
    project = asking.text("Name of the project", name, "main")
    _refuse_existing(project)
    given = Given(host, user, worker, scheduler, work_dir, partition, resources, pre_run, max_jobs, ask)
    wishes = [_describe_worker(asking, project, given)]
    while asking.agree("Describe another worker?"):
        wishes.append(_describe_worker(asking, project, Given()))
    _create(project, wishes)


@dataclass(frozen=True, slots=True)
class Given:
    """What options say of a worker; nobody is asked for it."""

    host: str | None = None
    user: str | None = None
    worker: str | None = None
    scheduler: str | None = None
    work_dir: str | None = None
    partition: str | None = None
    resources: dict[str, Any] | None = None
    pre_run: str | None = None
    max_jobs: int | None = None
    ask_host: bool | None = None


def _describe_worker(asking: Asking, project: str, given: Given) -> WorkerWish:
    from jobflow_remote.control.newproject import WorkerWish, guess_scheduler

    place = _choose_host(asking, given.host)
    host = None if place == _HERE else place
    wish = WorkerWish(
        scheduler=asking.text("Scheduler (slurm, pbs, sge, shell)", given.scheduler, guess_scheduler(host)),
        name=asking.text("Name of the worker", given.worker, host or "local_shell"),
        host=host,
        user=given.user,
        pre_run=given.pre_run,
        max_jobs=given.max_jobs,
        resources={key: _number(value) for key, value in (given.resources or {}).items()},
    )
    facts = _ask_host(asking, wish, given.ask_host)
    return _complete(asking, wish, facts, project=project, work_dir=given.work_dir, partition=given.partition)


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class Asking:
    """Questions to a person; with ``--yes`` the defaults answer."""

    def __init__(self, silent: bool) -> None:
        self.silent = silent

    def text(self, question: str, given: str | None, default: str | None) -> str:
        """A word; what an option gave is not asked for.

        Raises
        ------
        ConfigError
            If nobody can be asked and there is no default.
        """
        if given is not None:
            return given
        if self.silent:
            if default is None:
                raise ConfigError(
                    f"{question}: nobody can say", hint="give it as an option, or leave --yes out"
                )
            return default
        from rich.prompt import Prompt

        try:
            answer = (
                Prompt.ask(question, console=out_console())
                if default is None
                else Prompt.ask(question, default=default, console=out_console())
            )
        except EOFError:
            raise ConfigError("there is nobody to ask", hint="--yes takes the defaults") from None
        return (answer or "").strip() or self.text(question, None, default)

    def agree(self, question: str) -> bool:
        """Whether a person wants something; nobody wants anything by default."""
        return not self.silent and confirm(question)


def _refuse_existing(name: str) -> None:
    from jobflow_remote.config.manager import ConfigManager

    manager = ConfigManager()
    if name in manager.project_names_from_files(suppress_warnings=True)[0]:
        raise ConfigError(
            f"a project {name!r} exists already in {manager.projects_folder}",
            hint=f"give the new one another name, or change this one: `jf -p {name} project edit`",
        )


def _choose_host(asking: Asking, given: str | None) -> str:
    if given is not None or asking.silent:
        return given or _HERE
    known = read_ssh_hosts()
    print_message("Where do jobs run?", style="")
    for number, line in enumerate(["this machine", *(each.description for each in known)]):
        print_message(f"  {number}  {line}", style="")
    answer = asking.text("A number, or the name of another host", None, "0")
    if not answer.isdigit():
        return answer
    if int(answer) > len(known):
        raise ConfigError(f"there is no host {answer} in the list")
    return known[int(answer) - 1].name if int(answer) else _HERE


def _ask_host(asking: Asking, wish: WorkerWish, wanted: bool | None) -> HostFacts | None:
    from jobflow_remote.control.newproject import ask_host

    if wish.host is None and wish.scheduler != "slurm":
        return None
    if wanted is None:
        where = wish.host or "this machine"
        wanted = asking.agree(f"Ask {where} now for its partitions and your home (logs in)?")
    if not wanted:
        return None
    try:
        return ask_host(wish)
    except JobflowRemoteError as error:
        print_error(error.message, error.hint)
        return None


def _complete(
    asking: Asking,
    wish: WorkerWish,
    facts: HostFacts | None,
    *,
    project: str,
    work_dir: str | None,
    partition: str | None,
) -> WorkerWish:
    from dataclasses import replace

    from jobflow_remote.control.newproject import default_work_dir

    folder = asking.text(
        "Folder for run folders there (absolute)", work_dir, default_work_dir(project, wish, facts)
    )
    queue = partition if partition is not None else _choose_partition(asking, facts)
    key = "partition" if wish.scheduler == "slurm" else "queue"
    resources = {**wish.resources, **({key: queue} if queue else {})}
    pre_run = wish.pre_run
    if pre_run is None and wish.host is not None and not asking.silent:
        question = "Line of shell that makes Python and jobflow-remote ready there (- for none)"
        answer = asking.text(question, None, "-")
        pre_run = None if answer == "-" else answer
    return replace(wish, work_dir=folder, resources=resources, pre_run=pre_run)


def _choose_partition(asking: Asking, facts: HostFacts | None) -> str | None:
    if facts is None or not facts.partitions:
        return None
    default = next((each.name for each in facts.partitions if each.is_default), facts.partitions[0].name)
    if not asking.silent:
        print_message("Its partitions:", style="")
        for each in facts.partitions:
            print_message(f"  {each.description}", style="")
    return asking.text("Partition for jobs", None, default)


def _create(name: str, wishes: list[WorkerWish]) -> None:
    from jobflow_remote.config.manager import ConfigManager
    from jobflow_remote.control.newproject import make_project

    manager = ConfigManager(exclude_unset=True)
    manager.create_project(make_project(name, wishes), explained=True)
    path = manager.get_project_data(name).filepath
    print_message(f"The project {name} is described in {path}")
    print_note(f"`jf -p {name} project check --run` tells whether it works, `jf project edit` changes it")
