"""What the shell offers after the Tab key."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from jobflow_remote.model.states import JobState

Offers = Any


@pytest.fixture
def offers(world: Any, monkeypatch: pytest.MonkeyPatch, jf: Any) -> Offers:
    """``offers("job info ")``: the words that may follow, as fish asks."""

    def ask(line: str) -> list[str]:
        monkeypatch.setenv("_JF_COMPLETE", "complete_fish")
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", f"jf {line}")
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        return [line.partition("\t")[0] for line in jf("").stdout.splitlines() if line]

    return ask


def test_commands_and_options(offers: Offers) -> None:
    assert {"job", "flow", "plugin", "runner"} <= set(offers(""))
    assert "execution" not in offers("")
    assert {"list", "info", "files", "set"} <= set(offers("job "))
    assert "worker" in offers("job set ")
    assert {"--state", "--start-date", "--stored-data-key"} <= set(offers("job list --s"))


def test_ids_of_jobs(world: Any, offers: Offers) -> None:
    _, (uuid, _) = world.add_flow("add multiply", uuids=["abc" + "0" * 29, "bcd" + "0" * 29])
    assert set(offers("job info ")) == {"1", "2"}
    assert offers("job info 2") == ["2"]
    assert offers("job info abc") == [uuid]
    assert offers("job list -did 1") == ["1"]
    assert offers("job list -jid abc") == [f"{uuid}:1"]
    assert offers("job info 9") == []


def test_ids_of_flows(world: Any, offers: Offers) -> None:
    flow, _ = world.add_flow("add", name="sums")
    assert offers("flow info ") == [flow]
    assert offers(f"flow list -fid {flow[:3]}")[0] == flow
    assert "1" in offers("flow info 1")


def test_names(offers: Offers) -> None:
    assert offers("job list -wk ") == ["local_shell"]
    assert offers("-p ") == ["tutorial"]
    assert offers("job list -s RE") == ["READY", "REMOTE_ERROR"]
    assert offers("flow list -s C") == ["COMPLETED"]
    assert offers("job list -o db_id,na") == ["db_id,name"]


def test_the_project_on_the_line_counts(world: Any, offers: Offers) -> None:
    second = world.projects_folder / "second.yaml"
    text = world.file.read_text().replace("name: tutorial", "name: second")
    second.write_text(text.replace("local_shell:", "other:").replace("/tutorial", "/second"))
    world.old_enough()
    assert offers("-p second job list -wk ") == ["other"]
    assert offers("-p tutorial job list -wk ") == ["local_shell"]


def test_nothing_is_offered_where_nothing_works(world: Any, offers: Offers) -> None:
    world.file.write_text("name: [")
    assert offers("job info ") == []
    assert offers("job list -wk ") == []
    assert "READY" in offers("job list -s ")
    assert JobState.READY.value in offers("job set-state ")


def test_a_completion_imports_little(world: Any) -> None:
    world.add_flow()
    code = (
        "import sys\nfrom jobflow_remote.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = ('jobflow', 'maggma', 'pymongo', 'pydantic', 'numpy', 'ruamel')\n"
        "print('LOADED', *[name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    words = {
        "_JF_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_ARGS": "jf job info ",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }

    def ask() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code], env=os.environ | words, capture_output=True, text=True, check=False
        )

    ask()  # writes the snapshot of the project
    done = ask()
    assert done.stdout.split("\t")[0] == "1"
    assert done.stderr.splitlines()[-1].split() == ["LOADED"]
