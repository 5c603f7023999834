"""Workers: where jobs run, and through which scheduler."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from jobflow_remote.config.nearest import did_you_mean
from jobflow_remote.config.plugins import SCHEDULERS_GROUP, TRANSPORTS_GROUP, known_names
from jobflow_remote.config.redact import redact
from jobflow_remote.errors import ConfigError

SCHEDULERS = ("slurm", "pbs", "sge", "shell")
TRANSPORTS = ("asyncssh", "openssh")
DEFAULT_EXECUTION_CMD = "jf -fe execution run {}"

ReprArgs: TypeAlias = Iterable[tuple[str | None, Any]]


def _must_be_absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError(f"must be an absolute path (~ is not replaced), not {str(path)!r}")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_must_be_absolute)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _check_name(value: str, ours: tuple[str, ...], group: str) -> None:
    if value not in ours and value not in (known := known_names(ours, group)):
        raise ValueError(f"is {value!r}; can be {', '.join(known)}" + did_you_mean(value, known))


class _Shown(BaseModel):
    """A model whose representation hides passwords."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    def __repr_args__(self) -> ReprArgs:
        for name, value in super().__repr_args__():
            yield name, redact(value, name or "")


class BatchConfig(_Shown):
    """Makes a worker a batch worker: a few long scheduler jobs (pilots) that run many of ours in turn."""

    jobs_handle_dir: AbsolutePath
    """Folder on the worker through which runner and pilots speak; each worker has its own."""
    work_dir: AbsolutePath
    """Folder for the files of the pilots themselves."""
    max_jobs_per_batch: NonNegativeInt | None = None
    """A pilot ends after this many jobs."""
    max_wait: Seconds | None = 60
    """A pilot ends when it had nothing to do for so many seconds."""
    max_time: Seconds | None = None
    """A pilot starts no job after so many seconds."""
    parallel_jobs: NonNegativeInt | None = None
    """Jobs that a pilot runs at the same time (1)."""
    sleep_time: Seconds | None = None
    """How long an idle pilot waits at most between two looks for jobs, in seconds (2)."""
    reuse: bool = False
    """Jobs may follow one another in the same process; by default each has a process of its own, forked in no time."""
    preload: list[str] = []
    """Modules that a pilot imports once, for all of its jobs."""
    pack: bool = False
    """Give out the cores, GPUs and memory of the allocation: jobs run beside each other as they fit.

    What they need is `cores`, `gpus`, `memory`, `nodes`, `time` in their resources; each is kept to its own.
    `parallel_jobs`, if set, is the most at a time."""
    keep_pending: NonNegativeInt = 0
    """Pilots that wait in the scheduler's queue as long as there is any work, beside those that the work deserves."""


class WorkerBase(_Shown):
    """What all kinds of workers have in common."""

    type: str
    """``local``, ``remote`` or ``separated_transfer``."""
    scheduler_type: str | dict[str, Any]
    """``slurm``, ``pbs``, ``sge``, ``shell``, the name of a plug-in, or a serialised scheduler of qtoolkit."""
    work_dir: AbsolutePath
    """Folder on the worker below which jobs get their run folders."""
    resources: dict[str, Any] | None = None
    """Resources of jobs that bring none: keywords of the scheduler's header, or serialised QResources."""
    pre_run: str | None = None
    """Lines of shell before the job."""
    post_run: str | None = None
    """Lines of shell after the job."""
    execution_cmd: str | None = None
    """Command that runs a job on the worker; ``{}`` stands for the run folder."""
    timeout_execute: PositiveInt = 60
    """Longest time that a command of ours may take on the worker, in seconds."""
    max_jobs: NonNegativeInt | None = None
    """Most jobs (of a batch worker: pilots) in the scheduler at the same time.

    0 means no limit, except for batch workers."""
    max_submitted_user_jobs: NonNegativeInt | None = None
    """Most jobs of the user in the scheduler's queue, those submitted by hand included."""
    batch: BatchConfig | None = None
    """Makes it a batch worker."""
    scheduler_username: str | None = None
    """Whose jobs to ask the scheduler for; null: those of the login."""
    sanitize_command: bool = False
    """The shell of the host prints text of its own (a banner): find the output of commands between marks."""
    delay_download: NonNegativeInt | None = None
    """Seconds between the end of a job and the download of its files, for slow file systems."""

    @field_validator("scheduler_type")
    @classmethod
    def _check_scheduler(cls, value: str | dict[str, Any]) -> str | dict[str, Any]:
        if isinstance(value, dict):
            if not {"@module", "@class"} <= value.keys():
                raise ValueError("a scheduler given as a mapping needs the keys `@module` and `@class`")
        else:
            _check_name(value, SCHEDULERS, SCHEDULERS_GROUP)
        return value

    @field_validator("execution_cmd")
    @classmethod
    def _check_execution_cmd(cls, value: str | None) -> str | None:
        if value is not None and "{}" not in value:
            raise ValueError("must contain {}, which stands for the folder of the job")
        return value

    @model_validator(mode="after")
    def _keep_type(self) -> Self:
        self.model_fields_set.add("type")  # has a default in Python, and must be there in a file
        return self

    @property
    def is_local(self) -> bool:
        """Jobs run on the machine of the runner, and their files need not be copied."""
        return False

    @property
    def is_batch(self) -> bool:
        """Jobs are run by pilots."""
        return self.batch is not None

    @property
    def scheduler_name(self) -> str:
        """Name of the scheduler, or of the class of its adapter."""
        if isinstance(self.scheduler_type, str):
            return self.scheduler_type
        return str(self.scheduler_type["@class"])

    @property
    def job_limit(self) -> int | None:
        """Most jobs (pilots) at the same time in the end; None: no limit.

        A shell on the runner's own machine without ``max_jobs`` gets one job per core: a wide flow must not
        start ten thousand interpreters. A batch worker without ``max_jobs`` gets one pilot.
        """
        if self.is_batch:
            return 1 if self.max_jobs is None else self.max_jobs
        if self.max_jobs is None and self.is_local and self.scheduler_type == "shell":
            return _cores()
        return self.max_jobs or None

    @property
    def cli_info(self) -> dict[str, Any]:
        """A few words about the worker, for tables."""
        info: dict[str, Any] = {"scheduler_type": self.scheduler_name, "work_dir": str(self.work_dir)}
        if self.max_jobs is not None:
            info["max_jobs"] = self.max_jobs
        if self.batch is not None:
            info["jobs_handle_dir"] = str(self.batch.jobs_handle_dir)
        return info

    def get_scheduler_io(self) -> Any:
        """The qtoolkit object that knows the scheduler's commands."""
        if isinstance(self.scheduler_type, dict):
            from monty.json import MontyDecoder

            return MontyDecoder().process_decoded(self.scheduler_type)
        from qtoolkit.io import scheduler_mapping

        if self.scheduler_type not in scheduler_mapping:
            raise ConfigError(f"the scheduler {self.scheduler_type} is a plug-in's, not one of qtoolkit")
        return scheduler_mapping[self.scheduler_type]()

    def get_host(self) -> Any:
        """The host of the worker, not yet connected."""
        from jobflow_remote import bootstrap  # the one exception to the layers: it opens things, when called

        return bootstrap.make_host(self)


class LocalWorker(WorkerBase):
    """Jobs run on the machine of the runner."""

    type: Literal["local"] = "local"
    launch: Literal["script", "fork"] | None = None
    """How jobs of the `shell` scheduler start: ``fork``: by a warm process that has imported jobflow, in no time;
    ``script``: by a script, each with an interpreter of its own.

    By default the first where a job needs no shell, else the second. ``fork`` makes it an error if it does."""
    preload: list[str] = []
    """Modules that the warm process imports once, for all jobs; a changed file is imported anew."""
    pin_cores: bool = False
    """Each job that is forked keeps to its share of the cores."""

    @property
    def is_local(self) -> bool:
        """True: the files of jobs are not copied."""
        return True

    @property
    def can_fork(self) -> bool:
        """Whether a warm process may start jobs."""
        return self.scheduler_type == "shell" and not self.is_batch and self.launch != "script"

    @property
    def cores_per_job(self) -> int | None:
        """Share of the cores that a job of the `shell` scheduler has; None: nothing says how many share them."""
        if self.scheduler_type != "shell" or self.is_batch or not self.job_limit:
            return None
        return max(1, _cores() // self.job_limit)

    @model_validator(mode="after")
    def _check_launch(self) -> Self:
        here = "the scheduler is `shell` and the worker has no `batch`"
        if self.launch == "fork" and not self.can_fork:
            raise ValueError(f"`launch: fork` is possible only where {here}")
        for name in ("preload", "pin_cores"):
            if getattr(self, name) and not self.can_fork:
                raise ValueError(
                    f"`{name}` is for jobs that are forked: where {here}, and `launch` is not `script`"
                )
        return self


def _connect_kwargs(login: ConnectionData | BaseRemoteWorker) -> dict[str, Any]:
    given = {name: getattr(login, name) for name in ("password", "key_filename", "passphrase")}
    return {
        **(login.connect_kwargs or {}),
        **{name: value for name, value in given.items() if value is not None},
    }


class ConnectionData(_Shown):
    """How to log in somewhere: a gateway, or the host through which files are transferred."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    host: str
    """Name or address, or an alias of ``~/.ssh/config``."""
    user: str | None = None
    """Name to log in with."""
    port: int | None = None
    """Port of its SSH server."""
    password: str | None = None
    """Password; better a key."""
    key_filename: str | list[str] | None = None
    """File, or files, with private keys."""
    passphrase: str | None = None
    """Passphrase of the key."""
    gateway: str | ConnectionData | None = None
    """A proxy command, or a host to pass through."""
    connect_kwargs: dict[str, Any] | None = None
    """Further options of the SSH connection."""

    def get_connect_kwargs(self) -> dict[str, Any]:
        """Options of the SSH connection, with password, key and passphrase among them."""
        return _connect_kwargs(self)


class BaseRemoteWorker(WorkerBase):
    """Jobs run on another machine, which is reached through SSH."""

    host: str
    """Name or address, or an alias of ``~/.ssh/config``."""
    user: str | None = None
    """Name to log in with."""
    port: int | None = None
    """Port of its SSH server."""
    password: str | None = None
    """Password; better a key."""
    key_filename: str | list[str] | None = None
    """File, or files, with private keys."""
    passphrase: str | None = None
    """Passphrase of the key."""
    gateway: str | ConnectionData | None = None
    """A proxy command, or a host to pass through."""
    forward_agent: bool | None = None
    """Let the host use the keys of the local SSH agent."""
    connect_timeout: NonNegativeInt | None = None
    """Seconds to wait for a connection."""
    connect_kwargs: dict[str, Any] | None = None
    """Further options of the SSH connection."""
    inline_ssh_env: bool | None = None
    """Set variables in front of commands instead of asking the SSH server to."""
    keepalive: NonNegativeInt | None = 60
    """Seconds between signs of life over an idle connection."""
    shell_cmd: str | None = "bash"
    """Shell in which commands run; null: as they are."""
    login_shell: bool = True
    """Whether that shell reads the profile of the user."""
    interactive_login: bool = False
    """The login asks questions (one-time passwords)."""
    transport: str = "asyncssh"
    """``openssh``: use a session of the system's ``ssh`` that you, or ``jf worker login``, opened beforehand.

    Also the name of a plug-in."""
    host_keys: Literal["accept-new", "strict"] = "accept-new"
    """Hosts that are not in ``known_hosts``: ``accept-new`` records them at the first login, ``strict`` refuses."""

    @field_validator("transport")
    @classmethod
    def _check_transport(cls, value: str) -> str:
        _check_name(value, TRANSPORTS, TRANSPORTS_GROUP)
        return value

    def get_connect_kwargs(self) -> dict[str, Any]:
        """Options of the SSH connection, with password, key and passphrase among them."""
        return _connect_kwargs(self)

    @property
    def cli_info(self) -> dict[str, Any]:
        """A few words about the worker, for tables."""
        return {"host": self.host, **super().cli_info}


class RemoteWorker(BaseRemoteWorker):
    """Commands and files go through the same SSH host."""

    type: Literal["remote"] = "remote"


class SeparatedTransferWorker(BaseRemoteWorker):
    """Commands go to one SSH host, files through another one."""

    type: Literal["separated_transfer"] = "separated_transfer"
    transfer: ConnectionData
    """The host for files; what it leaves out (user, port, credentials) is as for commands."""

    @property
    def cli_info(self) -> dict[str, Any]:
        """A few words about the worker, for tables."""
        return {**super().cli_info, "transfer_host": self.transfer.host}


WorkerConfig: TypeAlias = Annotated[
    LocalWorker | RemoteWorker | SeparatedTransferWorker, Field(discriminator="type")
]
WORKER_TYPES: dict[str, type[LocalWorker] | type[RemoteWorker] | type[SeparatedTransferWorker]] = {
    "local": LocalWorker,
    "remote": RemoteWorker,
    "separated_transfer": SeparatedTransferWorker,
}


def host_key(worker: WorkerBase) -> tuple[str, int | None]:
    """Workers with the same key are on the same machine, as far as their configuration tells."""
    if isinstance(worker, BaseRemoteWorker):
        return (worker.host, worker.port if worker.port != 22 else None)
    return ("", None)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
