"""Start, stop and ask the daemon of one project. Names and return values are those of jobflow-remote 1.0.1."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import psutil

from jobflow_remote.config.manager import ConfigManager
from jobflow_remote.config.project import Project
from jobflow_remote.daemon.logs import follow_logs, log_of
from jobflow_remote.daemon.programs import (
    STOP_SECONDS,
    DaemonFiles,
    RunnerLayout,
    parse_layout,
    render_configuration,
)
from jobflow_remote.errors import DaemonError, RunnerActiveError, RunningDaemonError
from jobflow_remote.hosts.questions import ask_at_terminal
from jobflow_remote.queuedb import open_queue_database
from jobflow_remote.services.logindesk import log_runner_in_everywhere
from jobflow_remote.services.session import describe_owner, no_runner_alive, open_session

_POLL_SECONDS = 0.05
_HAND_OVER_SECONDS = 15.0
"""How long processes of a runner whose daemon was killed may take to notice and end."""


class DaemonStatus(Enum):
    """State of the daemon as a whole."""

    SHUT_DOWN = "SHUT_DOWN"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    STOPPED = "STOPPED"
    STOPPING = "STOPPING"
    PARTIALLY_RUNNING = "PARTIALLY_RUNNING"
    STARTING = "STARTING"
    RUNNING = "RUNNING"


_AT_WORK = (DaemonStatus.RUNNING, DaemonStatus.PARTIALLY_RUNNING, DaemonStatus.STARTING)


class DaemonManager:
    """The daemon of one project on this machine.

    Parameters
    ----------
    daemon_dir, log_dir
        Folders for the daemon's files and for the logs.
    project
        The project that the runner works for.
    job_controller
        Accepted for scripts of 1.0.1; the queue database is opened when it is needed.

    Examples
    --------
    >>> manager = DaemonManager.from_project_name("tutorial")  # doctest: +SKIP
    >>> manager.start(num_procs_transfer=2, single=False)  # doctest: +SKIP
    True
    >>> manager.check_status()  # doctest: +SKIP
    <DaemonStatus.RUNNING: 'RUNNING'>
    """

    def __init__(
        self,
        daemon_dir: str | Path,
        log_dir: str | Path,
        project: Project,
        job_controller: Any = None,
    ) -> None:
        self.project = project
        self.job_controller = job_controller
        self.files = DaemonFiles(Path(daemon_dir), Path(log_dir))

    @classmethod
    def from_project(cls, project: Project) -> DaemonManager:
        """The daemon of a project.

        Examples
        --------
        >>> DaemonManager.from_project(ConfigManager().get_project("mine")).project.name
        'mine'
        """
        return cls(str(project.daemon_dir), str(project.log_dir), project)

    @classmethod
    def from_project_name(cls, project_name: str | None = None) -> DaemonManager:
        """The daemon of a project, by its name.

        Examples
        --------
        >>> DaemonManager.from_project_name("mine").project.name
        'mine'
        """
        return cls.from_project(ConfigManager().get_project(project_name))

    @property
    def conf_filepath(self) -> Path:
        """supervisord's configuration."""
        return self.files.configuration

    @property
    def pid_filepath(self) -> Path:
        """Pid of supervisord."""
        return self.files.pid

    @property
    def sock_filepath(self) -> Path:
        """Socket on which supervisord listens."""
        return self.files.socket

    @property
    def log_filepath(self) -> Path:
        """supervisord's own log."""
        return self.files.log

    # -- asking ------------------------------------------------------------------------------------------------

    def get_supervisord_pid(self) -> int | None:
        """Pid of this project's supervisord; None if none runs (a pid file may outlive it, and pids are used again).

        Examples
        --------
        >>> DaemonManager.from_project_name().get_supervisord_pid() is None
        True
        """
        try:
            process = psutil.Process(int(self.files.pid.read_text()))
            if (
                str(self.files.configuration) in process.cmdline()
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                return process.pid
        except (OSError, ValueError, psutil.Error):
            pass
        return None

    def get_processes_info(self) -> dict[str, dict[str, Any]] | None:
        """Pid and state of supervisord and of each process (``group:process``); None if the daemon is shut down.

        While it shuts down, supervisord tells nothing of the processes, which finish the steps in hand.

        Examples
        --------
        >>> DaemonManager.from_project_name().get_processes_info() is None
        True
        """
        pid = self.get_supervisord_pid()
        if pid is None:
            return None
        info: dict[str, dict[str, Any]] = {"supervisord": {"pid": pid, "statename": "RUNNING"}}
        state = self._call(lambda supervisor: supervisor.getState())
        if state is None:
            info["supervisord"]["statename"] = "SHUTDOWN"
            return info if self.get_supervisord_pid() == pid else None
        info["supervisord"]["statename"] = state["statename"]
        for process in self._call(lambda supervisor: supervisor.getAllProcessInfo()) or []:
            info[f"{process['group']}:{process['name']}"] = process
        return info

    def check_supervisord_process(self) -> bool:
        """Whether this project's supervisord runs.

        Examples
        --------
        >>> DaemonManager.from_project_name().check_supervisord_process()
        False
        """
        return self.get_supervisord_pid() is not None

    def check_status(self, raise_on_shutdown: bool = True) -> DaemonStatus:
        """State of the daemon.

        Raises
        ------
        DaemonError
            With ``raise_on_shutdown``, if it is just shutting down.

        Examples
        --------
        >>> DaemonManager.from_project_name().check_status(raise_on_shutdown=False)
        <DaemonStatus.SHUT_DOWN: 'SHUT_DOWN'>
        """
        info = self.get_processes_info()
        if info is None:
            return DaemonStatus.SHUT_DOWN
        if info.pop("supervisord")["statename"] != "RUNNING":
            if raise_on_shutdown:
                raise DaemonError(
                    f"the runner of {self.project.name} is shutting down",
                    hint="`jf runner shutdown --wait` returns when it is down",
                )
            return DaemonStatus.SHUTTING_DOWN
        return _combine([process["statename"] for process in info.values()])

    def wait_start(self, timeout: float = 30) -> None:
        """Wait until all processes run.

        Raises
        ------
        DaemonError
            After ``timeout`` seconds; the message says where the logs are.

        Examples
        --------
        >>> runner = DaemonManager.from_project_name()  # doctest: +SKIP
        >>> runner.start() and runner.wait_start(timeout=60)  # doctest: +SKIP
        """
        end = time.monotonic() + timeout
        while (status := self.check_status(False)) is not DaemonStatus.RUNNING:
            if time.monotonic() > end:
                raise DaemonError(
                    f"the runner is {status.value.lower()} after {timeout:g} s",
                    hint=f"see the logs in {self.files.log_dir}",
                )
            time.sleep(_POLL_SECONDS)

    # -- acting ------------------------------------------------------------------------------------------------

    def start(
        self,
        num_procs_transfer: int = 1,
        num_procs_complete: int = 1,
        single: bool = True,
        log_level: str | None = None,
        raise_on_error: bool = False,
        connect_interactive: bool = False,
        takeover: bool = False,
    ) -> bool:
        """Start the daemon; returns whether it was started.

        If only some of its processes run, the others are started again, as they were.

        Parameters
        ----------
        single
            One process for everything; else one for each role, of which two may have several.
        log_level
            By default that of the project, also when it is changed later on.
        takeover
            Take the queue over from a runner elsewhere, which is superseded and stops by itself.

        Raises
        ------
        DaemonError, RunnerActiveError
            With ``raise_on_error``: it runs already, here or elsewhere.
        HostError
            With ``connect_interactive`` (log in to hosts that ask questions, at this terminal): one refused the login.

        Examples
        --------
        >>> runner = DaemonManager.from_project_name()  # doctest: +SKIP
        >>> runner.start(single=False)  # doctest: +SKIP
        True
        """
        if connect_interactive and not single:
            raise DaemonError(
                "each process of the runner has a connection of its own and would ask the same questions",
                hint="interactive logins take a single process: `jf runner start -s -i`",
            )
        layout = RunnerLayout(
            single, num_procs_transfer, num_procs_complete, log_level, interactive=connect_interactive
        )
        return self._try(lambda: self._start(layout, takeover), raise_on_error, layout)

    def restart(self, raise_on_error: bool = False, *, successor: DaemonManager | None = None) -> bool:
        """Shut the daemon down and start it again with the options it had; False if it does not run.

        ``successor``: the daemon by the project file as it is now, if that is not what this one was started by.

        Raises
        ------
        DaemonError, RunnerActiveError
            With ``raise_on_error``: it does not run, or does not start.

        Examples
        --------
        >>> DaemonManager.from_project_name().restart()  # doctest: +SKIP
        True
        """
        layout = self._former_layout()

        def do() -> None:
            status = self.check_status(False)
            if status not in _AT_WORK:
                raise DaemonError(
                    f"the runner of {self.project.name} is {status.value.lower()}: there is nothing to start again",
                    hint="start it: `jf runner start`",
                )
            self._end_supervisord(wait=True)
            (successor or self)._start(layout, False)

        return self._try(do, raise_on_error, layout)

    def _try(self, do: Callable[[], None], raise_on_error: bool, layout: RunnerLayout) -> bool:
        try:
            with self._starting():
                do()
        except (DaemonError, RunnerActiveError):
            if raise_on_error:
                raise
            return False
        if layout.interactive:
            log_runner_in_everywhere(self.project, ask_at_terminal)
        return True

    def _former_layout(self) -> RunnerLayout:
        try:
            text = self.files.configuration.read_text(encoding="utf-8")
        except OSError:
            return RunnerLayout()
        return parse_layout(text) or RunnerLayout()

    def parse_config_file(self) -> dict[str, Any]:
        """Options of :meth:`start` with which the daemon was started last.

        Examples
        --------
        >>> DaemonManager.from_project_name().parse_config_file()["num_procs_transfer"]
        1
        """
        layout = self._former_layout()
        return {
            "num_procs_transfer": layout.transfer,
            "num_procs_complete": layout.complete,
            "single": layout.single,
            "log_level": layout.log_level,
            "connect_interactive": layout.interactive,
        }

    def _start(self, layout: RunnerLayout, takeover: bool) -> None:
        status = self.check_status(False)
        if status is DaemonStatus.PARTIALLY_RUNNING:
            self.start_processes()
            return
        if status in (DaemonStatus.STOPPED, DaemonStatus.STOPPING, DaemonStatus.SHUTTING_DOWN):
            self._end_supervisord(wait=True)  # begin anew: options may differ
        elif status is not DaemonStatus.SHUT_DOWN:
            raise DaemonError(f"the runner of {self.project.name} is {status.value.lower()} already")
        self.files.log_dir.mkdir(parents=True, exist_ok=True)
        with no_runner_alive(self.files.daemon_dir, wait_seconds=_HAND_OVER_SECONDS):
            token = self._open_session(layout, takeover)
            text = render_configuration(self.files, layout, project=self.project.name, token=token)
            self.files.configuration.write_text(text, encoding="utf-8")
            self.files.configuration.chmod(0o600)
            self._launch()

    def start_processes(self) -> None:
        """Have supervisord start those of its processes that do not run.

        Examples
        --------
        >>> DaemonManager.from_project_name().start_processes()  # doctest: +SKIP
        """
        self._call(lambda supervisor: supervisor.startAllProcesses(False))

    def _open_session(self, layout: RunnerLayout, takeover: bool) -> str:
        options = self.project.runner
        owner = describe_owner(
            self.project.name,
            self.files.daemon_dir,
            runner_options=options.model_dump(mode="json"),
            mode="single" if layout.single else "split",
        )
        with contextlib.closing(open_queue_database(self.project.queue_spec())) as queue:
            try:
                session = open_session(queue, owner, lease_seconds=options.lease_seconds, takeover=takeover)
            except RunnerActiveError as error:
                raise RunningDaemonError(error.message, hint=error.hint) from error
            return session.token

    def _launch(self) -> None:
        self.files.pid.unlink(missing_ok=True)
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.files.configuration)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.files.daemon_dir)
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise DaemonError(f"supervisord did not start: {said}", hint=f"see {self.files.log}")
        self._wait_until(
            lambda: self.get_supervisord_pid() is not None, "supervisord did not write its pid file"
        )

    def stop(self, wait: bool = False, raise_on_error: bool = False) -> bool:
        """Tell the processes to finish the steps in hand and end; supervisord stays. False if nothing ran.

        Examples
        --------
        >>> DaemonManager.from_project_name().stop()
        False
        """
        if not self._runs(raise_on_error):
            return False
        self._call(lambda supervisor: supervisor.stopAllProcesses(wait))
        if wait:  # supervisord does not, for those that are stopping already
            self._wait_until(
                lambda: self.check_status(False) is not DaemonStatus.STOPPING,
                "processes do not end",
                seconds=2 * STOP_SECONDS,
            )
        return True

    def kill(self, raise_on_error: bool = False, wait: bool = False) -> bool:
        """Kill the processes at once; supervisord stays and does not start them again.

        Examples
        --------
        >>> DaemonManager.from_project_name().kill()
        False
        """
        if not self._runs(raise_on_error):
            return False
        pids = self._pids()
        self._call(lambda supervisor: supervisor.stopAllProcesses(False))
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if wait:
            self._wait_until(lambda: not any(map(psutil.pid_exists, pids)), "processes do not end")
        return True

    def shut_down(self, raise_on_error: bool = False, wait: bool = False) -> bool:
        """End the processes (steps in hand are finished) and supervisord; False if it did not run.

        Examples
        --------
        >>> DaemonManager.from_project_name().shut_down()
        False
        """
        if self.get_supervisord_pid() is None:
            if raise_on_error:
                raise DaemonError(f"the runner of {self.project.name} does not run")
            return False
        self._end_supervisord(wait=wait)
        return True

    def _end_supervisord(self, *, wait: bool) -> None:
        pid = self.get_supervisord_pid()
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        if wait:
            self._wait_until(
                lambda: self.get_supervisord_pid() is None,
                "supervisord does not end",
                seconds=2 * STOP_SECONDS,
            )

    def clean_files(self) -> None:
        """Remove what a daemon that was killed left behind: configuration, pid file and socket.

        Raises
        ------
        DaemonError
            If it runs.

        Examples
        --------
        >>> DaemonManager.from_project_name().clean_files()
        """
        if self.check_supervisord_process():
            raise DaemonError(
                f"the daemon of {self.project.name} runs", hint="stop it first: `jf runner shutdown --wait`"
            )
        for path in (self.files.configuration, self.files.pid, self.files.socket):
            path.unlink(missing_ok=True)

    # -- watching ----------------------------------------------------------------------------------------------

    def foreground_processes(
        self,
        processes_names: list[str] | None = None,
        print_function: Callable[[str], Any] | None = None,
    ) -> None:
        """Print what processes write into their logs from now on, until Ctrl-C or until the daemon ends.

        Parameters
        ----------
        processes_names
            As in :meth:`get_processes_info`; by default all.
        print_function
            Gets each line.

        Raises
        ------
        DaemonError
            If the daemon does not run, or has no such process.

        Examples
        --------
        >>> DaemonManager.from_project_name().foreground_processes(print_function=print)  # doctest: +SKIP
        """
        layout, info = self._former_layout(), self.get_processes_info()
        if info is None:
            raise DaemonError("the daemon is not running", hint="start it: `jf runner start`")
        known = {name for name in info if name != "supervisord"}
        wanted = known if processes_names is None else set(processes_names)
        if wanted - known:
            raise DaemonError(
                f"the daemon has no process {', '.join(sorted(wanted - known))}",
                hint=f"it has {', '.join(sorted(known))}",
            )
        logs = {name: self.files.log_dir / log_of(name, layout) for name in sorted(wanted)}
        try:
            follow_logs(logs, print_function or print, goes_on=self.check_supervisord_process)
        except KeyboardInterrupt:
            pass

    def foreground_process(self, name: str, print_function: Callable[[str], Any] | None = None) -> None:
        """Print what one process writes into its log (see :meth:`foreground_processes`).

        Examples
        --------
        >>> runner = DaemonManager.from_project_name()
        >>> runner.foreground_process("runner_daemon_queue:run_jobflow_queue")  # doctest: +SKIP
        """
        self.foreground_processes([name], print_function)

    # -- supervisord -------------------------------------------------------------------------------------------

    def get_interface(self) -> Any:
        """supervisord's XML-RPC interface, as long as it runs.

        Examples
        --------
        >>> DaemonManager.from_project_name().get_interface().getState()  # doctest: +SKIP
        {'statecode': 1, 'statename': 'RUNNING'}
        """
        from xmlrpc.client import ServerProxy

        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{self.files.socket}")
        return ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def get_controller(self) -> Any:
        """supervisorctl's Controller for this daemon: ``onecmd("status")``.

        Examples
        --------
        >>> DaemonManager.from_project_name().get_controller().onecmd("status")  # doctest: +SKIP
        """
        from supervisor.options import ClientOptions
        from supervisor.supervisorctl import Controller

        options = ClientOptions()
        options.realize(args=["-c", str(self.files.configuration)])
        return Controller(options)

    # -- the runner that is registered --------------------------------------------------------------------------

    def check_matching_runner(self, raise_on_error: bool = False, allow_missing: bool = False) -> str | None:
        """Whether the runner that is registered in the database is this one: None, or what differs.

        Host, project, user and folder are compared.

        Raises
        ------
        RunningDaemonError
            With ``raise_on_error``, if it is another one.

        Examples
        --------
        >>> DaemonManager.from_project_name().check_matching_runner()
        'no runner is registered in the database'
        """
        with contextlib.closing(open_queue_database(self.project.queue_spec())) as queue:
            session = queue.get_session()
        if session is None:
            message = None if allow_missing else "no runner is registered in the database"
        else:
            ours = describe_owner(self.project.name, self.files.daemon_dir)
            keys = ("hostname", "project_name", "user", "daemon_dir")
            differing = [key for key in keys if session.owner.get(key) != ours[key]]
            words = ", ".join(f"{key} {session.owner.get(key)} instead of {ours[key]}" for key in differing)
            message = f"another runner is registered: {words}" if differing else None
        if message and raise_on_error:
            raise RunningDaemonError(message, hint="`jf runner info` shows it")
        return message

    def _pids(self) -> list[int]:
        """Of the processes, also while supervisord shuts down."""
        pid = self.get_supervisord_pid()
        with contextlib.suppress(psutil.Error):
            return [] if pid is None else [child.pid for child in psutil.Process(pid).children()]
        return []

    # -- inside ------------------------------------------------------------------------------------------------

    def _runs(self, raise_on_error: bool) -> bool:
        status = self.check_status(False)
        if status in (DaemonStatus.SHUT_DOWN, DaemonStatus.STOPPED):
            if raise_on_error:
                raise DaemonError(f"the runner of {self.project.name} does not run")
            return False
        return True

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        """One start at a time."""
        self.files.daemon_dir.mkdir(parents=True, exist_ok=True)
        with open(self.files.daemon_dir / "start.lock", "a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _call(self, ask: Callable[[Any], Any]) -> Any:
        """Ask supervisord; None if it does not answer (it is ending)."""
        from xmlrpc.client import Fault, ServerProxy

        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{self.files.socket}")
        try:
            return ask(ServerProxy("http://127.0.0.1", transport=transport).supervisor)
        except Fault as fault:
            if "SHUTDOWN_STATE" in fault.faultString:
                return None
            raise DaemonError(f"supervisord refused: {fault.faultString}") from fault
        except OSError:
            return None
        finally:
            transport.close()

    def _wait_until(self, holds: Callable[[], bool], complaint: str, *, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                raise DaemonError(complaint, hint=f"see the logs in {self.files.log_dir}")
            time.sleep(_POLL_SECONDS)


def _combine(states: list[str]) -> DaemonStatus:
    present = set(states)
    if present <= {"RUNNING"}:
        return DaemonStatus.RUNNING
    if present <= {"STOPPED", "EXITED", "FATAL"}:
        return DaemonStatus.STOPPED
    if "STOPPING" in present:
        return DaemonStatus.STOPPING
    if present <= {"RUNNING", "STARTING", "BACKOFF"}:
        return DaemonStatus.STARTING
    return DaemonStatus.PARTIALLY_RUNNING
