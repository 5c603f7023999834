"""Reading and writing configuration files in YAML, JSON and TOML. It knows nothing of projects."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobflow_remote.errors import ConfigError, ProjectParsingError

FORMATS = ("json", "yaml", "toml")

Location = Sequence[str | int]


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration file that has been read."""

    path: str
    data: dict[str, Any]
    find_line: Callable[[Location], int | None]

    def line_of(self, location: Location) -> int | None:
        """Line (from 1) of the key at ``location``, or of the nearest one around it; None if not known."""
        for length in range(len(location), 0, -1):
            line = self.find_line(location[:length])
            if line is not None:
                return line
        return None


def read_document(path: str | os.PathLike[str], *, kind: str = "project") -> Document:
    """Read a file by the format that its ending names.

    Raises
    ------
    ProjectParsingError
        If it cannot be read, or is not a mapping; the message names file and line, and never quotes the file
        (it may hold passwords). ConfigError when ``kind`` is not ``"project"``.
    """
    error = ProjectParsingError if kind == "project" else ConfigError
    name = os.fspath(path)
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise error(f"the {kind} file {name} cannot be read: {reason}") from None
    reader = _READERS[_format_of(name)]
    try:
        data, find_line = reader(text)
    except _SyntaxProblem as exc:
        place = f"line {exc.line} of {name}" if exc.line else name
        raise error(
            f"{place}: {exc.problem}", hint=f"the file must be valid {_format_of(name).upper()}"
        ) from None
    if data is None:
        data = {}  # an empty file
    if not isinstance(data, dict):
        raise error(f"the {kind} file {name} must be a mapping from keys to values")
    return Document(path=name, data=data, find_line=find_line)


def write_document(
    path: str | os.PathLike[str],
    data: Mapping[str, Any],
    *,
    comments: Mapping[tuple[str, ...], str] | None = None,
) -> None:
    """Write a file, readable by its owner only, at one stroke.

    Of a YAML or TOML file that exists, what did not change stays as it is written, with its comments. A new one in
    YAML gets ``comments``, by the place of the key that they stand before; the one at ``()`` begins the file.
    """
    name = os.fspath(path)
    if comments and _format_of(name) == "yaml" and not os.path.exists(name):
        text = _render_commented_yaml(data, comments)
    else:
        text = {"json": _render_json, "yaml": _render_yaml, "toml": _render_toml}[_format_of(name)](
            name, data
        )
    write_private(name, text)


def write_private(path: str | os.PathLike[str], text: str) -> None:
    """Write a text, readable by its owner only, at one stroke."""
    target = os.path.realpath(path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    draft = f"{target}.{os.getpid()}.tmp"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, target)


def back_up(path: str | os.PathLike[str]) -> Path:
    """Copy a file to ``<file>.bak.<N>`` beside it, readable by its owner only; returns the copy."""
    number = 1
    while (backup := Path(f"{os.fspath(path)}.bak.{number}")).exists():
        number += 1
    write_private(backup, Path(path).read_text(encoding="utf-8"))
    return backup


def without_none(value: Any) -> Any:
    """A copy without keys and items that are None, which TOML cannot express."""
    if isinstance(value, Mapping):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [without_none(item) for item in value if item is not None]
    return value


class _SyntaxProblem(Exception):
    def __init__(self, problem: str, line: int | None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line


def _format_of(name: str) -> str:
    ending = os.path.splitext(name)[1].lower().removeprefix(".")
    return "yaml" if ending in {"yaml", "yml"} else ending if ending in FORMATS else "yaml"


# -- reading -------------------------------------------------------------------------------------------------


def _read_yaml(text: str) -> tuple[Any, Callable[[Location], int | None]]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        tree: Any = YAML(typ="rt").load(text)
    except MarkedYAMLError as exc:
        # a duplicate key is quoted with its value, which may be a password
        problem = re.sub(
            r" with value .*", "", exc.problem or exc.context or "not valid YAML", flags=re.DOTALL
        )
        mark = exc.problem_mark or exc.context_mark
        raise _SyntaxProblem(problem, mark.line + 1 if mark else None) from None
    except YAMLError as exc:
        raise _SyntaxProblem(str(exc).splitlines()[0], None) from None

    def find_line(location: Location) -> int | None:
        node = tree
        line: int | None = None
        for step in location:
            try:
                position = (node.lc.item if isinstance(step, int) else node.lc.key)(step)
                node, line = node[step], position[0] + 1
            except (AttributeError, KeyError, IndexError, TypeError):
                return None
        return line

    return _to_plain(tree), find_line


def _to_plain(value: Any) -> Any:
    """The builtin types behind what ruamel reads (it remembers how numbers and texts were written)."""
    if isinstance(value, Mapping):
        return {_to_plain(key): _to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(item) for item in value]
    for builtin in (bool, int, float, str):
        if isinstance(value, builtin):
            return builtin(value)
    if type(value).__name__ == "ScalarBoolean":
        return bool(value)
    if type(value).__name__ == "TaggedScalar":
        raise _SyntaxProblem(f"the tag {value.tag.value} has no meaning here", None)
    return value


def _read_json(text: str) -> tuple[Any, Callable[[Location], int | None]]:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as exc:
        raise _SyntaxProblem(exc.msg, exc.lineno) from None
    return data, _line_finder(text, '"{key}"(?=\\s*:)')


def _read_toml(text: str) -> tuple[Any, Callable[[Location], int | None]]:
    import tomllib

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        problem = str(exc)
        found = re.search(r" \(at line (\d+)[^)]*\)$", problem)
        line = int(found[1]) if found else None
        raise _SyntaxProblem(problem[: found.start()] if found else problem, line) from None
    return data, _line_finder(text, "(?<![\\w-])[\"']?{key}[\"']?(?=\\s*[=.\\]])")


_READERS = {"yaml": _read_yaml, "json": _read_json, "toml": _read_toml}


def _line_finder(text: str, pattern: str) -> Callable[[Location], int | None]:
    """Looks for the keys of a location one after another: cheap, and right if no value looks like a key."""

    def find_line(location: Location) -> int | None:
        position, start = 0, None
        for step in location:
            if isinstance(step, int):
                continue
            found = re.compile(pattern.replace("{key}", re.escape(step))).search(text, position)
            if found is None:
                return None
            start, position = found.start(), found.end()
        return None if start is None else text.count("\n", 0, start) + 1

    return find_line


# -- writing -------------------------------------------------------------------------------------------------


def _render_json(name: str, data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _render_yaml(name: str, data: Mapping[str, Any]) -> str:
    from io import StringIO

    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.scalarstring import walk_tree

    yaml = YAML(typ="rt")
    yaml.width = 110
    tree: Any = None
    if os.path.exists(name):
        try:
            tree = yaml.load(Path(name).read_text(encoding="utf-8"))
        except YAMLError:
            tree = None  # it is being replaced
    if isinstance(tree, MutableMapping):
        _bring_up_to_date(tree, data)
    else:
        tree = _to_plain(data)
    walk_tree(tree)  # texts of several lines become block literals
    stream = StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()


def _render_commented_yaml(data: Mapping[str, Any], comments: Mapping[tuple[str, ...], str]) -> str:
    from io import StringIO

    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.scalarstring import walk_tree

    def build(value: Any, place: tuple[str, ...]) -> Any:
        if not isinstance(value, Mapping) or not value:
            return value
        tree = CommentedMap()
        for key, item in value.items():
            tree[key] = build(item, (*place, str(key)))
            if comment := comments.get((*place, str(key))):
                wrapped = "\n".join(textwrap.wrap(comment, 100 - 2 * len(place)))
                tree.yaml_set_comment_before_after_key(key, before=wrapped, indent=2 * len(place))
        return tree

    yaml = YAML(typ="rt")
    yaml.width = 110
    tree = build(_to_plain(data), ())
    walk_tree(tree)
    stream = StringIO()
    yaml.dump(tree, stream)
    head = "".join(f"# {line}\n" for line in comments.get((), "").splitlines())
    return (head + "\n" if head else "") + stream.getvalue()


def _render_toml(name: str, data: Mapping[str, Any]) -> str:
    import tomlkit
    from tomlkit.exceptions import ParseError

    new = without_none(data)
    tree: Any = tomlkit.document()
    if os.path.exists(name):
        try:
            tree = tomlkit.parse(Path(name).read_text(encoding="utf-8"))
        except ParseError:
            tree = tomlkit.document()  # it is being replaced
    _bring_up_to_date(tree, new)
    return tomlkit.dumps(tree)


def _bring_up_to_date(tree: MutableMapping[str, Any], data: Mapping[str, Any]) -> None:
    """Make ``tree`` equal to ``data``, touching nothing that is equal already."""
    for key in [key for key in tree if key not in data]:
        del tree[key]
    for key, value in data.items():
        present = tree.get(key)
        if isinstance(value, Mapping) and isinstance(present, MutableMapping):
            _bring_up_to_date(present, value)
        elif key not in tree or present != value or isinstance(present, bool) != isinstance(value, bool):
            tree[key] = value
