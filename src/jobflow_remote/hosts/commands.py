"""The shell commands behind the verbs of a host, and how their answers read. Text in, text out.

They take bash and what a Linux system has (GNU tar, find, xargs). Lists of names go through ``printf``, which is part
of the shell, so that no number of names is too long for a command line; and through arrays, since the time that bash
takes for the words of a ``for`` grows with the square of their number (19 s for 20,000).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from jobflow_remote.errors import HostError
from jobflow_remote.hosts.port import FileInfo
from jobflow_remote.layout import IN_FILENAME

EXIT_MISSING = 44
"""Exit code of our own commands: there is no such file or folder."""
EXIT_NOT_WRITTEN = 121
"""Exit code: files could not be written, so that the command after them did not run."""


def check_path(path: str) -> str:
    """The path, if a host can have it.

    Raises
    ------
    HostError
        If it is not absolute: nobody knows what it would be relative to.
    """
    if not path.startswith("/") or "\0" in path:
        raise HostError(f"{path!r} is not an absolute path")
    return path


def _words(names: Iterable[str]) -> str:
    return " ".join(shlex.quote(name) for name in names)


def _each(names: Sequence[str], command: str) -> str:
    """Give names to a command that reads them from its input, separated by zero bytes."""
    return f"printf '%s\\0' {_words(names)} | {command}" if names else ":"


def render_put(paths: Sequence[str], suffix: str, replace_in: Sequence[str]) -> str:
    """Unpack a compressed tar archive of files called path + ``suffix``, then give them their names.

    Nobody sees half a file, and what was unpacked is removed if something goes wrong.
    """
    remove = _each(replace_in, "xargs -0 rm -f --")
    if not paths:
        return remove
    return f"""{remove} || exit
s={shlex.quote(suffix)} names=({_words(paths)})
rename() {{
  if command -v perl >/dev/null; then
    S=$s perl -0 -ne 'chomp; rename("$_$ENV{{S}}", $_) or die "cannot write $_: $!\\n"'
  else
    while IFS= read -r -d '' f; do mv -fT -- "$f$s" "$f" || return; done
  fi
}}
tar -xzmof - --no-same-permissions -C / && printf '%s\\0' "${{names[@]}}" | rename && exit
code=$?
printf '%s\\0' "${{names[@]/%/$s}}" | xargs -0 rm -f --
exit $code
"""


def render_put_and_run(paths: Sequence[str], suffix: str, command: str) -> str:
    """:func:`render_put`, then a command; :data:`EXIT_NOT_WRITTEN` if there was no command."""
    return f"(\n{render_put(paths, suffix, ())}\n) || exit {EXIT_NOT_WRITTEN}\nexec </dev/null\n{command}"


def render_get(paths: Sequence[str]) -> str:
    """Write those files that exist to the output, as a compressed tar archive with absolute names."""
    return f"""set -o pipefail
names=({_words(paths)})
for f in "${{names[@]}}"; do [ ! -f "$f" ] || printf '%s\\0' "$f"; done |
tar -chPf - --hard-dereference --null --verbatim-files-from -T - | gzip -1
code=("${{PIPESTATUS[@]}}")
[ "${{code[1]}}" -gt 1 ] && exit "${{code[1]}}"  # 1: a file grew meanwhile
exit "${{code[2]}}"
"""


def render_read_tail(path: str, max_bytes: int) -> str:
    """Write the end of a file to the output."""
    name = shlex.quote(path)
    return f"[ -e {name} ] || exit {EXIT_MISSING}; tail -c {int(max_bytes)} -- {name}"


def render_list(path: str, *, deep: bool) -> str:
    """List a folder: name, size, time and kind of each, separated by zero bytes."""
    name, depth = shlex.quote(path), "" if deep else " -maxdepth 1"
    return (
        f"[ -d {name} ] || exit {EXIT_MISSING}; "
        f"find -H {name} -mindepth 1{depth} -printf '%P\\0%s\\0%T@\\0%Y\\0'"
    )


def parse_list(stdout: bytes) -> list[FileInfo]:
    """What :func:`render_list` wrote."""
    words = stdout.decode(errors="surrogateescape").split("\0")[:-1]
    found = []
    for name, size, modified, kind in zip(*(iter(words),) * 4, strict=True):
        is_folder = kind == "d"
        found.append(FileInfo(name, 0 if is_folder else int(size), float(modified), is_folder))
    return sorted(found, key=lambda info: info.name)


def _render_remove(paths: Sequence[str], wanted: str, remove: str) -> str:
    return f"""found=() names=({_words(paths)})
for f in "${{names[@]}}"; do if {wanted}; then found+=("$f"); fi; done
[ ${{#found[@]}} = 0 ] || {{ printf '%s\\0' "${{found[@]}}" | xargs -0 {remove} -- && printf '%s\\0' "${{found[@]}}"; }}
"""


def render_remove_run_folders(paths: Sequence[str]) -> str:
    """Remove folders that hold a job's input file; writes which."""
    file = f'"$f/{IN_FILENAME}"'
    return _render_remove(paths, f"[ -e {file} ] || [ -e {file}.gz ]", "rm -rf")


def render_remove_files(paths: Sequence[str]) -> str:
    """Remove files; writes which were there."""
    return _render_remove(paths, '[ -e "$f" ] || [ -L "$f" ]', "rm -f")


def parse_removed(stdout: bytes) -> frozenset[str]:
    """Which paths were removed."""
    return frozenset(filter(None, stdout.decode(errors="surrogateescape").split("\0")))
