from __future__ import annotations

import asyncio
from pathlib import Path

from jobflow_remote.control.following import QueueFiles
from jobflow_remote.hosts.local import LocalHost


class Reader:
    """Looks at a folder again and again."""

    def __init__(self, folder: Path) -> None:
        self.files = QueueFiles(LocalHost(), str(folder))

    def look(self) -> list[tuple[str, str]]:
        told: list[tuple[str, str]] = []
        asyncio.run(self.files.tell_new(lambda name, text: told.append((name, text))))
        return told


def test_only_what_is_new_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "a 'folder'; `id`"
    reader = Reader(folder)
    assert reader.look() == []
    folder.mkdir()
    out, err = folder / "queue.out", folder / "queue.err"
    out.write_text("one\n\n")
    assert reader.look() == [("queue.out", "one\n\n")]
    with out.open("a") as file:
        file.write("two")
    err.write_text("no\n")
    assert reader.look() == [("queue.out", "two"), ("queue.err", "no\n")]
    assert reader.look() == []


def test_a_job_that_runs_again_is_told_from_its_beginning(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    (tmp_path / "queue.out").write_text("first attempt\n")
    reader.look()
    (tmp_path / "queue.out").write_text("again\n")
    assert reader.look() == [("queue.out", "again\n")]


def test_letters_that_were_written_by_halves(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    whole = "naïve".encode()
    (tmp_path / "queue.out").write_bytes(whole[:3])
    assert reader.look() == [("queue.out", "na")]
    (tmp_path / "queue.out").write_bytes(whole)
    assert reader.look() == [("queue.out", "ïve")]
