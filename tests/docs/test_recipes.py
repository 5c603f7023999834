"""Project files on the pages can be used as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from jobflow_remote.bootstrap import make_host, make_scheduler
from jobflow_remote.config.project import Project

DOCS = Path(__file__).parents[2] / "docs"
RECIPES = [
    found
    for page in ("workers.md", "install.md")
    for found in re.findall(
        r"^```yaml\n(name: .*?)^```$", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE
    )
]


@pytest.mark.parametrize("text", RECIPES)
def test_recipes_for_workers(text: str) -> None:
    project = Project.model_validate(YAML(typ="safe").load(text))
    for worker in project.workers.values():
        make_host(worker)
        header = make_scheduler(worker).render_header(
            name="relax", run_dir="/scratch/me/jobs", resources=worker.resources or {}, attempt="0a"
        )
        assert all(str(value) in header for value in (worker.resources or {}).values())


def test_there_are_recipes() -> None:
    assert len(RECIPES) == 11
