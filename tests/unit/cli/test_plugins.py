"""Plug-ins: found without much ado, used if they work, told of if they do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

GOOD = """\
from jobflow_remote.cli.jf import add_cli_logger_names, app
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.types import force_opt
from jobflow_remote.cli.utils import exit_with_warning_msg, get_job_controller, out_console

extra = JFRTyper(name="extra", help="Something more.")


@extra.command()
def count(force: force_opt = False) -> None:
    out_console.print(f"{get_job_controller().count_jobs()} jobs")


@extra.command()
def leave() -> None:
    exit_with_warning_msg("nothing to do")


def setup_jf_plugin():
    app.add_typer(extra)
    add_cli_logger_names("good_plugin")
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a plug-in that works and three that do not, as if they were installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    modules = {
        "good_plugin": GOOD,
        "raising_plugin": "raise RuntimeError('no luck')\n",
        "leaving_plugin": "import sys\ndef setup_jf_plugin():\n    sys.exit(3)\n",
        "empty_plugin": "",
    }
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[jobflow_remote.plugins]\n{name} = {name}\n")
    return folder


@pytest.fixture
def run(world: Any, site: Path) -> Any:
    """Run ``jf`` in a process that has the plug-ins."""
    world.add_flow("a b")

    def in_a_process(words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "jobflow_remote.cli.main", *words.split()],
            env=os.environ | {"PYTHONPATH": str(site)} | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return in_a_process


def test_plugins_add_commands_and_broken_ones_only_a_line(run: Any) -> None:
    done = run("extra count")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "2 jobs")
    said = done.stderr.splitlines()
    assert "the plug-in raising_plugin cannot be used: RuntimeError: no luck" in said
    assert any("leaving_plugin" in line and "SystemExit: 3" in line for line in said)
    assert any("empty_plugin" in line and "setup_jf_plugin()" in line for line in said)
    help_page = run("-h")
    assert "extra" in help_page.stdout
    assert "Something more." in help_page.stdout


def test_plugins_may_be_left_alone(run: Any) -> None:
    done = run("job list", JFREMOTE_CLI_LOAD_PLUGINS="false")
    assert done.returncode == 0
    assert "plug-in" not in done.stderr
    assert run("extra count", JFREMOTE_CLI_LOAD_PLUGINS="false").returncode == 2


def test_plugins_are_listed_with_what_is_wrong(run: Any) -> None:
    found = {
        each["name"]: each["error"]
        for each in map(json.loads, run("plugin list --jsonl").stdout.splitlines())
    }
    assert found["good_plugin"] is None
    assert found["raising_plugin"] == "RuntimeError('no luck')"
    assert "setup_jf_plugin()" in found["empty_plugin"]
    told = run("plugin list -e", JFREMOTE_CLI_LOAD_PLUGINS="false")
    assert told.returncode == 0
    assert "- good_plugin (good_plugin)" in told.stdout
    assert "Traceback" in told.stderr


def test_without_plugins(jf: Any) -> None:
    jf("plugin list", required_out="No plug-in is installed")


def test_names_that_plugins_import() -> None:
    from jobflow_remote.cli import utils

    for name in utils.__all__:
        assert getattr(utils, name) is not None
    assert [each.value for each in utils.IndexDirection] == ["asc", "desc"]
    assert [each.value for each in utils.ReportInterval][1] == "days"
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = utils.nonsense
