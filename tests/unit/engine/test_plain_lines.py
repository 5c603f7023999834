"""What a ``pre_run`` comes to without a shell."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from jobflow_remote.engine.plainlines import variables_of


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        (None, {}),
        ("", {}),
        ("  \n# nothing but words\n", {}),
        ("export A=1", {"A": "1"}),
        ("export A=1 # why\nexport B='x/y:z'  C=\"2\"", {"A": "1", "B": "x/y:z", "C": "2"}),
        ("export A=1\nexport A=", {"A": ""}),
        ("export A=it#s", None),
        ("export A=$HOME", None),
        ("export A=~/x", None),
        ("export A='a b'", None),
        ("export A=`date`", None),
        ("export A=1; echo done", None),
        ("export A=1 && ls", None),
        ("export A", None),
        ("export -n A=1", None),
        ("A=1", None),
        ("module load x", None),
        ("source /etc/profile", None),
        ("source activate", None),
        ("source /no/such/bin/activate", None),
        ("conda activate x", None),
    ],
)
def test_lines(text: str | None, variables: dict[str, str] | None) -> None:
    assert variables_of(text) == variables


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A virtual environment in which this process works."""
    venv.create(tmp_path / "env", symlinks=True)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    return tmp_path / "env"


@pytest.mark.parametrize("line", ["source {}", ". {}", 'source "{}"', ". '{}'", "source {}  # ours"])
def test_activating_the_environment_of_the_runner_is_what_a_shell_makes_of_it(own: Path, line: str) -> None:
    text = f"export A=1\n{line.format(own / 'bin/activate')}\nexport B=2"
    found = variables_of(text)
    assert found is not None
    done = subprocess.run(["bash", "-c", f"{text}\nenv -0"], capture_output=True, text=True, check=True)
    shell = dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)
    assert found["VIRTUAL_ENV"] == str(own)
    assert found["PATH"] == f"{own}/bin:{os.environ['PATH']}"
    assert {name: shell[name] for name in found} == found
    assert {n for n in shell if os.environ.get(n) != shell[n]} - {"_", "SHLVL"} <= found.keys()


def test_activating_another_environment_needs_a_shell(own: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "other", symlinks=True)
    assert variables_of(f"source {tmp_path / 'other/bin/activate'}") is None
    assert variables_of(f"source {own / 'bin/activate'} x") is None
