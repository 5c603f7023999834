"""Which project is in which file, without reading more than that needs. Standard library only.

The name is the key ``name`` at the top level of the file; the file's own name says nothing.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from jobflow_remote.errors import ProjectParsingError

EXTENSIONS = ("json", "yaml", "toml")

# A plain or quoted scalar at the top level. Whatever looks like more than that is left to the YAML reader.
_YAML_NAME = re.compile(
    r"""^name[ \t]*:[ \t]+(?:'([\w. -]+)'|"([\w. -]+)"|([A-Za-z_][\w.-]*))[ \t]*(?:#.*)?$""", re.MULTILINE
)
_NOT_TEXT = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


def list_project_files(folder: str | os.PathLike[str]) -> list[Path]:
    """Files that may be projects, by format and then by name."""
    directory = Path(folder)
    return [path for ext in EXTENSIONS for path in sorted(directory.glob(f"*.{ext}")) if path.is_file()]


def read_project_name(path: Path) -> str:
    """Name of the project in a file.

    Raises
    ------
    ProjectParsingError
        If the file cannot be read, or has no name.
    """
    name = _guess_yaml_name(path) if path.suffix == ".yaml" else None
    if name is not None:
        return name
    from jobflow_remote.config.projectfile import read_document

    found = read_document(path).data.get("name")
    if not isinstance(found, str) or not found:
        raise ProjectParsingError(f"the project file {path} has no `name`")
    return found


def _guess_yaml_name(path: Path) -> str | None:
    try:
        found = _YAML_NAME.findall(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    names = ["".join(groups) for groups in found]
    return names[0] if len(names) == 1 and names[0].lower() not in _NOT_TEXT else None
