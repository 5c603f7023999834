"""``python -m jobflow_remote.execution run FOLDER``."""

import sys

from jobflow_remote.execution.commandline import run_command_line

if __name__ == "__main__":
    sys.exit(run_command_line())
