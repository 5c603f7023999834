"""The site is built without warnings, complete, and needs no network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.sitecheck import build_site, external_resources


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("built") / "site"
    done = build_site(target)
    assert done.returncode == 0, done.stderr
    return target


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    assert external_resources(site) == []


def test_what_would_be_fetched_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<script src="https://x.example/a.js"></script><a href="https://y.example">y</a>'
    )
    (tmp_path / "a.css").write_text("@font-face { src: url(https://fonts.example/f.woff2) }")
    assert external_resources(tmp_path) == ["https://fonts.example/f.woff2", "https://x.example/a.js"]


def test_diagrams_are_drawn(site: Path) -> None:
    page = (site / "lifecycle.html").read_text(encoding="utf-8")
    drawings = re.findall(r"<svg viewBox.*?</svg>", page, re.DOTALL)
    assert len([each for each in drawings if "REMOTE_ERROR" in each and "rerun" in each]) == 1
    assert len([each for each in drawings if "CHECKED_OUT" in each and "give_up" in each]) == 1
    assert "flowchart TD" not in page


def test_the_names_of_the_api_are_there(site: Path) -> None:
    page = (site / "api.html").read_text(encoding="utf-8")
    for name in (
        "submit_flow",
        "JobController.get_jobs_info",
        "JobController.rerun_job",
        "ConfigManager.set_worker",
    ):
        assert f'{name}"' in page, name
    assert not re.search(r":(?:func|class|meth|mod):", page)
