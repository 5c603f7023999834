"""``jf backup``: backups of the queue database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobflow_remote.cli.invocation import current
from jobflow_remote.cli.jfr_typer import JFRTyper
from jobflow_remote.cli.output import out_console, print_message, print_note

if TYPE_CHECKING:
    from collections.abc import Mapping

app = JFRTyper(name="backup", help="Commands for backups of the queue database.")

MongoPath = Annotated[
    Path | None,
    typer.Option(
        "--mongo-path",
        "-m",
        metavar="DIR",
        help="Folder with the programs mongodump and mongorestore (default: the PATH).",
    ),
]


@app.command("create")
def create(
    backup_dir: Annotated[
        Path, typer.Argument(metavar="BACKUP_DIR", help="Folder to write to; made if needed.")
    ] = Path("."),
    compress: Annotated[
        bool, typer.Option("--compress", "-c", help="With gzip.", show_default=False)
    ] = False,
    mongo_path: MongoPath = None,
    python: Annotated[
        bool,
        typer.Option(
            "--python", "-p", help="As BSON files, without mongodump; also of SQLite.", show_default=False
        ),
    ] = False,
) -> None:
    """Write a backup of the queue database. Outputs are not in it.

    A queue in SQLite becomes one file, and may be in use meanwhile. For one in MongoDB the runner must be stopped; its
    files are those of mongodump.
    """
    from jobflow_remote.control.backup import create_backup
    from jobflow_remote.queuedb.port import BackupOptions

    project, queue = current().project(), current().queue()
    options = BackupOptions(compress=compress, bson=python, tools=mongo_path)
    counts = create_backup(queue, backup_dir, options, daemon_dir=project.daemon_dir)
    print_message(f"Backup of {queue.describe()} created in {backup_dir.absolute()}")
    _print_counts(counts)


@app.command("restore")
def restore(
    backup_dir: Annotated[
        Path, typer.Argument(metavar="BACKUP_DIR", help="Folder of the backup, or its file.")
    ] = Path("."),
    mongo_path: MongoPath = None,
    python: Annotated[
        bool, typer.Option("--python", "-p", help="Without mongorestore.", show_default=False)
    ] = False,
) -> None:
    """Put a backup into an empty queue database, of the same kind or the other one.

    The runner must be stopped. Backups of older releases are restored into MongoDB, and brought up to date with `jf
    admin upgrade`.
    """
    from jobflow_remote.control.backup import restore_backup
    from jobflow_remote.queuedb.port import BackupOptions

    project, queue = current().project(), current().queue()
    options = BackupOptions(bson=python, tools=mongo_path)
    counts = restore_backup(queue, backup_dir, options, daemon_dir=project.daemon_dir)
    print_message(f"Backup restored into {queue.describe()}")
    _print_counts(counts)
    if python and "collections" in queue.capabilities:
        print_note("Indexes that you made yourself are not in it: `jf admin index` creates them.")


def _print_counts(counts: Mapping[str, int]) -> None:
    from rich.table import Table

    table = Table("collection", "documents")
    for name, number in counts.items():
        table.add_row(name, str(number))
    out_console().print(table)
