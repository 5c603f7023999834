"""Run folders of this machine go, also while a process that is just ending writes into them."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from jobflow_remote.hosts import local
from jobflow_remote.layout import IN_FILENAME, run_folder


def _folder(tmp_path: Path) -> Path:
    folder = Path(run_folder(str(tmp_path), "0a1b2c3d-0000-4000-8000-000000000000", 1))
    folder.mkdir(parents=True)
    (folder / IN_FILENAME).write_text("{}")
    (folder / "more").write_text("")
    return folder


@pytest.mark.parametrize("appears", [1, 2, 3])
def test_files_that_appear_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, appears: int) -> None:
    folder, genuine, seen = _folder(tmp_path), os.rmdir, []

    def rmdir(path: str, **options: int) -> None:
        seen.append(path)
        if len(seen) <= appears:
            (folder / f"late{len(seen)}").write_text("")
        genuine(path, **options)

    monkeypatch.setattr(os, "rmdir", rmdir)
    assert local._remove_run_folder(str(folder))
    assert not folder.exists()
    assert len(seen) == appears + 1


def test_files_that_vanish_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, genuine = _folder(tmp_path), shutil.rmtree

    def rmtree(path: Path) -> None:
        monkeypatch.setattr(shutil, "rmtree", genuine)
        raise FileNotFoundError(errno.ENOENT, "gone", str(path / "more"))

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    assert local._remove_run_folder(str(folder))
    assert not folder.exists()


def test_what_is_no_run_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / IN_FILENAME).write_text("{}")
    assert not local._remove_run_folder(str(tmp_path))
    assert tmp_path.exists()
