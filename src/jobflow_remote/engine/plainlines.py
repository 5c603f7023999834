"""What the lines of a ``pre_run`` come to where they do nothing that needs a shell of its own for each job.

Such lines export plain values, or activate the virtual environment that the runner works in: what every worker on
the own machine had to say in 1.0.1. Everything else, as little as it may look like, needs a shell.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

_PLAIN = r"[\w@%+=:,./-]*"
PLAIN_VALUE = re.compile(_PLAIN)
"""Values that mean the same to a shell and without one."""
_EXPORT = re.compile(rf"export((?:\s+[A-Za-z_]\w*=(?:\"{_PLAIN}\"|'{_PLAIN}'|{_PLAIN}))+)")
_ACTIVATE = re.compile(rf"(?:source|\.)\s+(\"{_PLAIN}\"|'{_PLAIN}'|~?{_PLAIN})")
_OF_THE_SHELL = frozenset({"_", "SHLVL", "PWD", "OLDPWD"})
_ACTIVATION_SECONDS = 10


def variables_of(text: str | None) -> dict[str, str] | None:
    """The variables that lines of a shell script set, and nothing else; None: they may do something else.

    Parameters
    ----------
    text
        Some lines, as in ``pre_run``.
    """
    found: dict[str, str] = {}
    for line in (text or "").splitlines():
        words = re.sub(r"(^|\s)#.*", "", line).strip()
        if not words:
            continue
        variables = _exported(words) or _activated(words)
        if variables is None:
            return None
        found |= variables
    return found


def _exported(line: str) -> dict[str, str] | None:
    matched = _EXPORT.fullmatch(line)
    if matched is None:
        return None
    pairs = (word.partition("=") for word in shlex.split(matched.group(1)))
    return {name: value for name, _, value in pairs}


def _activated(line: str) -> dict[str, str] | None:
    """What it means to activate the environment of this process; None: the line does not."""
    matched = _ACTIVATE.fullmatch(line)
    if matched is None:
        return None
    script = Path(os.path.expanduser(matched.group(1).strip("\"'")))
    own = Path(sys.prefix) / "bin" / "activate"
    try:
        if (
            not script.is_absolute()
            or not script.samefile(own)
            or not (own.parents[1] / "pyvenv.cfg").is_file()
        ):
            return None
        return dict(_difference(str(script), own.stat().st_mtime_ns))
    except (OSError, subprocess.SubprocessError):
        return None


@lru_cache(maxsize=8)
def _difference(script: str, changed_at: int) -> Mapping[str, str]:  # part of the key
    """What sourcing a script changes in the environment of this process; asked of a shell once."""
    command = ["bash", "-c", 'source "$0" && env -0', script]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=_ACTIVATION_SECONDS,
        stdin=subprocess.DEVNULL,
    )
    pairs = (entry.partition("=") for entry in done.stdout.split("\0") if entry)
    return {
        name: value for name, _, value in pairs if name not in _OF_THE_SHELL and os.environ.get(name) != value
    }
