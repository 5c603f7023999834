"""``jf`` as a whole: global options, help, the tree, errors, what it imports, bundles of options."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from jobflow_remote.cli import job
from jobflow_remote.cli.jf import app, report
from jobflow_remote.cli.jfr_typer import JFRTyper, OptionBundle, build_lazily
from jobflow_remote.errors import JobflowRemoteError, NotFoundError

HEAVY = ("jobflow", "maggma", "numpy", "pymongo", "bson", "asyncssh", "supervisor", "pydantic", "pydantic_settings",
         "ruamel", "psutil", "asyncio", "qtoolkit", "rich.markdown", "markdown_it",
         "jobflow_remote.cli.jobactions")  # fmt: skip


def in_a_process(words: list[str], *, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["job", "list"],
        ["job", "list", "-v", "-s", "READY", "-m", "5"],
        ["flow", "list"],
        ["job", "info", "1"],
    ],
)
def test_listings_import_little(world: Any, words: list[str]) -> None:
    world.add_flow()
    script = (
        "import sys\nfrom jobflow_remote.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('LOADED', *[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    in_a_process(words, script=script)  # the first one writes the snapshot of the project
    done = in_a_process(words, script=script)
    assert done.stderr.splitlines()[-1].split() == ["LOADED"], done.stderr


def test_execution_is_answered_without_typer(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom jobflow_remote.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    print('END', end.code)\n"
        "print('LOADED', [name for name in ('typer', 'rich', 'sqlite3') if name in sys.modules])"
    )
    for words in (["-fe", "execution", "run", str(tmp_path)], ["execution", "run", str(tmp_path)]):
        done = in_a_process(words, script=script)
        assert "LOADED []" in done.stdout, done.stderr
        assert "END 0" not in done.stdout


def test_commands_that_are_left_for_later_are_those_of_their_modules() -> None:
    for names, module in job.app.left_for_later:
        part = JFRTyper()
        import_module(module).register(part)
        assert list(build_lazily(part).commands) == list(names), module


def test_the_version(jf: Any) -> None:
    assert jf("--version").stdout == f"jobflow-remote {version('jobflow-remote')}\n"


def test_short_help(jf: Any) -> None:
    for words in ("-h", "job -h", "job list -h", "runner start --help", "flow watch -h"):
        jf(words, required_out=["Usage: jf", "--help"])


def test_help_of_a_command_shows_its_options(jf: Any) -> None:
    jf(
        "job list -h",
        required_out=[
            "--stored-data-key",
            "-sdk",
            "created_on|updated_on|db_id",
            "[default: 100]",
            "REMOTE_ERROR",
        ],
    )
    jf("job -h", required_out="jf -h for the global options")


@pytest.mark.parametrize("words", ["", "job", "flow", "runner", "admin"])
def test_a_group_alone_prints_its_help(jf: Any, words: str) -> None:
    result = jf(words, error=True, required_out="Usage: jf")
    assert result.exit_code == 2


def test_tree(jf: Any) -> None:
    out = jf("--tree").stdout
    for line in ("job: ", "├── info: Show all that is known about a job", "runner: ", "├── list: List jobs"):
        assert line in out
    assert "execution: " not in out


def test_tree_of_a_group(jf: Any) -> None:
    out = jf("job --tree").stdout
    assert out.splitlines()[0] == "job"
    assert "flow" not in out.split("\n")[0]


def test_execution_is_hidden(jf: Any) -> None:
    jf("--help", excluded_out="execution")
    jf("execution -h", required_out="Run the job whose input file is in a folder")


def test_wrong_commands(jf: Any) -> None:
    assert jf("jb", error=True, required_out="Did you mean 'job'").exit_code == 2
    assert jf("job lst", error=True, required_out="Did you mean 'list'").exit_code == 2


# -- projects --------------------------------------------------------------------------------------


def test_choice_of_the_project(world: Any, jf: Any) -> None:
    second = world.projects_folder / "second.yaml"
    text = world.file.read_text().replace("name: tutorial", "name: second").replace("/tutorial", "/second")
    second.write_text(text)
    result = jf("job list", error=True)
    assert result.exit_code == 1
    assert "second" in result.stderr
    jf("-p tutorial job list", required_out=f"The selected project is tutorial from config file {world.file}")
    jf("-p second job list", required_out="The selected project is second")
    assert jf("-p third job list", error=True, required_out="third").exit_code == 1


def test_broken_projects_are_explained_on_demand(
    world: Any, jf: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (world.projects_folder / "broken.yaml").write_text("name: broken\nworkers: 3\n")
    jf("-p tutorial job list")
    assert not caplog.messages
    jf("-wp -p tutorial job list")
    assert any("broken" in message for message in caplog.messages)


def test_no_project_at_all(world: Any, jf: Any) -> None:
    world.file.unlink()
    assert jf("job list", error=True).exit_code == 1
    jf("--help")


# -- errors ----------------------------------------------------------------------------------------


def test_an_error_is_one_line_and_a_hint(world: Any, jf: Any) -> None:
    result = jf("job info 99", error=True)
    assert result.stderr.splitlines() == ["no job has the id 99", "`jf job list -m 0` lists all jobs"]


def test_full_traceback_on_demand(world: Any, jf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFoundError):
        jf("-fe job info 99", error=True)
    import jobflow_remote

    monkeypatch.setattr(jobflow_remote.SETTINGS, "cli_full_exc", True)
    with pytest.raises(NotFoundError):
        jf("job info 99", error=True)


def test_exit_codes_are_those_of_the_errors(capsys: pytest.CaptureFixture[str]) -> None:
    class Special(JobflowRemoteError):
        exit_code = 7

    assert report(Special("it is [odd]", hint="do this")) == 7
    assert report(KeyError("x")) == 1
    shown = capsys.readouterr().err
    assert "it is [odd]\ndo this" in shown
    assert "KeyError: 'x'" in shown


def test_the_choice_of_project_does_not_outlive_the_command(world: Any, jf: Any) -> None:
    import jobflow_remote

    jf("-p tutorial job list")
    assert jobflow_remote.SETTINGS.project is None


# -- what plug-ins build on ------------------------------------------------------------------------


@dataclass(frozen=True)
class Size(OptionBundle):
    """Two options that belong together."""

    width: Annotated[int, typer.Option("--width", "-wd")] = 3
    names: Annotated[list[str] | None, typer.Option("--names")] = None


def make_plugin() -> JFRTyper:
    plugin = JFRTyper(name="plugin-group", help="Something more.")

    @plugin.command()
    def show_size(size: Size, word: str, loud: bool = False) -> None:
        """Show the size."""
        print(json.dumps([word, size.width, size.names, loud]))

    @plugin.command()
    def fail() -> None:
        """Fail."""
        raise NotFoundError("nothing here")

    return plugin


def test_bundles_are_spelt_out() -> None:
    words = ["show-size", "hello", "-wd", "5", "--names", "a", "--names", "b", "--loud"]
    result = CliRunner().invoke(make_plugin(), words)
    assert json.loads(result.stdout) == ["hello", 5, ["a", "b"], True]
    assert json.loads(CliRunner().invoke(make_plugin(), ["show-size", "x"]).stdout) == ["x", 3, None, False]
    assert CliRunner().invoke(make_plugin(), ["show-size", "x", "-wd", "wide"]).exit_code == 2
    assert CliRunner().invoke(make_plugin(), ["show-size"]).exit_code == 2


def test_plugins_add_groups_to_the_application() -> None:
    app.add_typer(make_plugin())
    try:
        assert json.loads(CliRunner().invoke(app, ["plugin-group", "show-size", "x"]).stdout)[0] == "x"
        failed = CliRunner().invoke(app, ["plugin-group", "fail"])
        assert failed.exit_code == 1
        assert "nothing here" in failed.stderr
        assert "plugin-group" in CliRunner().invoke(app, ["--help"]).stdout
    finally:
        app.registered_groups.pop()
