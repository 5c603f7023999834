"""What the daemon runs: ``python -m jobflow_remote.engine PROJECT [ROLE …]``. People use ``jf runner run``."""

from __future__ import annotations

import argparse
import sys

from jobflow_remote.engine.runner import run_runner


def main() -> int:
    """Parse the few words that the daemon passes."""
    parser = argparse.ArgumentParser(prog="python -m jobflow_remote.engine")
    parser.add_argument("project")
    parser.add_argument("roles", nargs="*")
    parser.add_argument("--log-level", default=None)
    words = parser.parse_args()
    return run_runner(words.project, roles=words.roles, log_level=words.log_level, daemonized=True)


if __name__ == "__main__":
    sys.exit(main())
