"""The console script. What compute nodes run is answered before the rest of the command line is imported."""

from __future__ import annotations

import atexit
import gc
import sys

_FULL_EXC = ("-fe", "--full-exc")


def main() -> None:
    """Run ``jf``.

    ``jf -fe execution run DIR`` is what submission scripts of release 1.0.1 contain: it has to start fast and
    to need neither a project nor the libraries of the command line.
    """
    arguments = sys.argv[1:]
    rest = arguments[1:] if arguments[:1] and arguments[0] in _FULL_EXC else arguments
    if rest[:1] == ["execution"] and not {"-h", "--help", "--tree"} & set(rest):
        from jobflow_remote.execution import main as run_on_node

        sys.exit(run_on_node(rest[1:]))
    # Nothing that is imported is ever garbage: looking for it costs a listing a tenth of its time.
    gc.set_threshold(50_000, 20, 20)
    from jobflow_remote.cli.jf import app

    try:
        app(prog_name="jf")
    finally:
        gc.freeze()  # or the interpreter looks through all of it once more before it ends
        _leave_monitors_alone()


def _leave_monitors_alone() -> None:
    """Do not wait at the end for pymongo's threads, which sleep half a second; its connections are closed by now."""
    monitor = sys.modules.get("pymongo.synchronous.monitor")
    wait = getattr(monitor, "_shutdown_resources", None)
    if wait is not None:
        atexit.unregister(wait)


if __name__ == "__main__":
    main()
