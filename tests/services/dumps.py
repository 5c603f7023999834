"""Databases that older releases left behind (``tests/data/upgrade``), put into a server again."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from bson import json_util
from pymongo import ASCENDING, DESCENDING
from pymongo.database import Database

DUMPS = Path(__file__).parents[1] / "data" / "upgrade"
HOME = "/home/somebody/group"
"""In a dump, the folder of the project."""
COLLECTIONS = ("jobs", "flows", "jf_auxiliary", "batches", "outputs", "outputs_blobs")
RELEASES = tuple(sorted(path.name.removesuffix(".json.gz") for path in DUMPS.glob("*.json.gz")))


def read_dump(release: str, folder: Path | None = None) -> dict[str, Any]:
    """A dump; ``folder`` takes the place of the project's."""
    text = gzip.decompress((DUMPS / f"{release}.json.gz").read_bytes()).decode()
    if folder is not None:
        text = text.replace(HOME, str(folder))
    options = json_util.JSONOptions(tz_aware=False)
    dump: dict[str, Any] = json_util.loads(text, json_options=options)
    return dump


def load_dump(dump: dict[str, Any], database: Database[Any]) -> None:
    """Put a dump into an empty database, with the indexes that the older release had made."""
    for name in COLLECTIONS:
        if dump[name]:
            database[name].insert_many(dump[name])
    for name, indexes in dump["indexes"].items():
        for index in indexes:
            if index != "_id_":
                unique = index in (
                    "db_id_1",
                    "uuid_1_index_1",
                    "batch_uid_1",
                    "batch_uid_1_start_time_1",
                ) or (name, index) == (
                    "flows",
                    "uuid_1",
                )
                database[name].create_index(_keys(index), unique=unique)


def _keys(name: str) -> list[tuple[str, int]]:
    """``state_1_remote.retry_time_limit_1`` → the keys of the index."""
    keys, words = [], name.split("_")
    field: list[str] = []
    for word in words:
        if field and word in ("1", "-1"):
            keys.append(("_".join(field), ASCENDING if word == "1" else DESCENDING))
            field = []
        else:
            field.append(word)
    return keys


def write_files(dump: dict[str, Any], folder: Path) -> None:
    """The files of the jobs that were in flight, as they were when these had ended."""
    for name, text in dump["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
