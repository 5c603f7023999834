"""``jf admin index``: indexes of the queue database."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import print_message

app = JFRTyper(name="index", help="Commands for the indexes of the queue database.")


class IndexDirection(StrEnum):
    """Order of an index."""

    ASC = "asc"
    DESC = "desc"


class IndexedCollection(StrEnum):
    """What can have an index of one's own."""

    JOBS = "jobs"
    FLOWS = "flows"
    AUX = "aux"


Foreground = Annotated[
    bool,
    typer.Option(
        "--foreground",
        "-fg",
        help="Kept for scripts: MongoDB has one way of building indexes, which lets others work.",
        show_default=False,
    ),
]


@app.command("rebuild")
def rebuild(foreground: Foreground = False) -> None:
    """Drop all indexes and build the standard ones. What `jf admin index create` made is gone after that."""
    queue = current().queue()
    print_message(f"{queue.rebuild_indexes()} indexes were built")


@app.command("create")
def create(
    index: Annotated[str, typer.Argument(metavar="INDEX", help="Field, for example job.metadata.tag.")],
    direction: Annotated[IndexDirection, typer.Argument(help="Order.")] = IndexDirection.ASC,
    collection: Annotated[
        IndexedCollection, typer.Option("--collection", "-c", help="Of which documents.")
    ] = IndexedCollection.JOBS,
    unique: Annotated[
        bool, typer.Option("--unique", "-u", help="Each value may occur once.", show_default=False)
    ] = False,
    foreground: Foreground = False,
) -> None:
    """Create an index, for filters (--query) that are used often."""
    queue = current().queue()
    name = "auxiliary" if collection is IndexedCollection.AUX else collection.value
    order = 1 if direction is IndexDirection.ASC else -1
    made = queue.create_index(name, [(index, order)], unique=unique)
    print_message(f"The index {made} was created")
