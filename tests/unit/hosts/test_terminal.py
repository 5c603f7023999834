from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from jobflow_remote.config.workers import ConnectionData, LocalWorker, RemoteWorker
from jobflow_remote.errors import ConfigError
from jobflow_remote.hosts.terminal import render_shell_command

NASTY = '/scratch/it\'s; `id` $(id) "x"/d_1'


def test_a_local_shell_starts_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "it's; `id` $(id)"
    folder.mkdir()
    command = render_shell_command(
        LocalWorker(scheduler_type="shell", work_dir=tmp_path), str(folder), shell="pwd"
    )
    assert subprocess.check_output(command, text=True).rstrip("\n") == str(folder)


def test_a_remote_one_goes_the_way_of_the_worker() -> None:
    worker = RemoteWorker(
        scheduler_type="slurm", work_dir=Path("/scratch"), host="login", user="me", port=2222,
        key_filename="/keys/id", gateway=ConnectionData(host="gate", user="you"),
    )  # fmt: skip
    command = render_shell_command(worker, NASTY, shell="bash -l")
    assert command[:2] == ["ssh", "-t"]
    assert command[-3:-1] == ["--", "login"]
    assert {"-p", "2222", "-l", "me", "-i", "/keys/id", "-J", "you@gate"} <= set(command)
    words = subprocess.check_output(
        ["bash", "-c", "sh() { printf '%s\\n' \"$@\"; }; " + command[-1].removeprefix("exec ")], text=True
    )
    assert words.splitlines()[0] == "-c"
    assert "exec bash -l" in words


@pytest.mark.parametrize("shell", ["", "'unfinished"])
def test_a_shell_that_is_no_command(shell: str) -> None:
    with pytest.raises(ConfigError, match="--shell"):
        render_shell_command(LocalWorker(scheduler_type="shell", work_dir=Path("/w")), "/w", shell=shell)
