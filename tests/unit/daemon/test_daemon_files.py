"""What the daemon writes down, and how logs are followed."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from jobflow_remote.daemon.logs import follow_logs, log_of
from jobflow_remote.daemon.programs import DaemonFiles, RunnerLayout, parse_layout, render_configuration


@pytest.mark.parametrize(
    "layout", [RunnerLayout(), RunnerLayout(True, 1, 1, None, True), RunnerLayout(False, 3, 2, "debug")]
)
def test_options_are_found_again(layout: RunnerLayout) -> None:
    text = render_configuration(DaemonFiles(Path("/d"), Path("/l")), layout, project="p", token="t")
    assert parse_layout(text) == layout
    assert parse_layout(text.partition("\n")[2]) is None
    assert parse_layout("; started with {}x") is None


def test_processes_share_no_file() -> None:
    files = DaemonFiles(Path("/d"), Path("/l %"))
    text = render_configuration(files, RunnerLayout(transfer=2), project="p", token="t")
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    program = parser["program:runner_daemon_transfer"]
    expanded = {program["stdout_logfile"] % {"process_num": number} for number in range(2)}
    assert expanded == {"/l %/runner_daemon_transfer_0.out", "/l %/runner_daemon_transfer_1.out"}


def test_logs_by_process() -> None:
    layout = RunnerLayout(transfer=2)
    assert log_of("runner_daemon_transfer:run_jobflow_transfer1", layout) == "runner_transfer-1.log"
    assert log_of("runner_daemon_complete:run_jobflow_complete0", layout) == "runner_complete.log"
    assert log_of("runner_daemon_queue:run_jobflow_queue", layout) == "runner_queue.log"
    assert log_of("runner_daemon:run_jobflow0", RunnerLayout(single=True)) == "runner.log"


def test_following_goes_on_in_the_next_file(tmp_path: Path) -> None:
    log = tmp_path / "runner.log"
    told: list[str] = []
    log.write_text("before\n")

    def more() -> bool:
        match len(told):
            case 0:
                with log.open("a") as file:
                    file.write("one\nhalf")
            case 1:
                with log.open("a") as file:
                    file.write(" and half\n")
            case 2:
                log.rename(tmp_path / "runner.log.1")
                log.write_text("two\n")
        return len(told) < 3

    follow_logs({"runner": log}, told.append, goes_on=more)
    assert told == ["one", "half and half", "two"]
    follow_logs({"a": log, "b": tmp_path / "none"}, told.append, goes_on=lambda: False)
    assert len(told) == 3, "from now on only"
