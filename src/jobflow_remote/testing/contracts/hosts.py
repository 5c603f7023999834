"""The contract of a host, as tests: subclass it and say how the host is reached.

>>> class TestMyHost(HostContract):
...     @pytest.fixture
...     def host(self):
...         return MyHost(...)
...
...     @pytest.fixture
...     def folder(self):
...         return "/scratch/empty"  # on the host, empty at the beginning of each test
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import shlex
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from jobflow_remote.errors import HostError, JobflowRemoteError
from jobflow_remote.hosts.port import CommandResult, Host
from jobflow_remote.layout import IN_FILENAME, run_folder

R = TypeVar("R")

ODD_NAMES = [
    "two words",
    'it\'s "quoted"',
    "$HOME `id` $(id)",
    "-rf",
    "new\nline",
    "back\\slash",
    "Grüße 世界",
    "star*?[x]",
    "semi;colon&",
    " lead and trail ",
    "x" * 150,
]
_SPARE_BYTES = 30_000_000


def act(work: Coroutine[Any, Any, R]) -> R:
    """Do something asynchronous, in an event loop of its own."""
    return asyncio.run(work)


class Place:
    """A host and an empty folder there, with short words for what tests do."""

    def __init__(self, host: Host, folder: str) -> None:
        self.host, self.folder = host, folder

    def at(self, *names: str) -> str:
        """A path in the folder."""
        return posixpath.join(self.folder, *names)

    def run(self, command: str, **options: Any) -> CommandResult:
        """Run a command."""
        return act(self.host.run(command, **options))

    def put(self, **files: bytes) -> None:
        """Write files of simple names."""
        act(self.host.put_many({self.at(name): content for name, content in files.items()}))

    def read(self, path: str) -> str | None:
        """A small file."""
        return act(self.host.read_tail(path, 100_000))

    def names(self, *, deep: bool = False) -> list[str]:
        """What is in the folder."""
        found = act(self.host.list_folder(self.folder, deep=deep))
        assert found is not None
        return [info.name for info in found]


class _HostFixtures:
    many_files = 500
    big_bytes = 60_000_000
    """Size of a file that would be noticed in the memory."""

    @pytest.fixture
    def host(self) -> Host:
        """The host under test; a subclass provides it."""
        raise NotImplementedError

    @pytest.fixture
    def folder(self) -> str:
        """An empty folder on the host; a subclass provides it."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, host: Host, folder: str) -> Iterator[Place]:
        """Somewhere to play."""
        yield Place(host, folder)
        act(host.close())


class CommandContract(_HostFixtures):
    """Commands and their answers."""

    simultaneous = True
    """Whether the host runs several commands at a time."""

    def test_an_answer_has_both_streams_and_the_exit_code(self, place: Place) -> None:
        answer = place.run("echo out; echo complaint >&2; exit 3")
        assert (answer.stdout, answer.stderr.strip(), answer.exit_code) == ("out\n", "complaint", 3)

    def test_output_without_newline_stays_without(self, place: Place) -> None:
        assert place.run("printf abc").stdout == "abc"

    def test_nothing_said_is_nothing_heard(self, place: Place) -> None:
        assert place.run(":") == CommandResult("", "", 0)

    def test_input_arrives_byte_by_byte(self, place: Place) -> None:
        data = bytes(range(256)) * 300
        path = place.at("copy")
        assert place.run(f"cat > {shlex.quote(path)}", stdin=data).exit_code == 0
        assert place.run(f"cksum < {shlex.quote(path)}").stdout == place.run("cksum", stdin=data).stdout
        assert place.run(f"wc -c < {shlex.quote(path)}").stdout.strip() == str(len(data))

    def test_without_input_there_is_none(self, place: Place) -> None:
        assert place.run("cat", timeout_seconds=20).stdout == ""

    def test_input_that_nobody_reads_disturbs_nobody(self, place: Place) -> None:
        assert place.run("exit 4", stdin=b"echo never\n" * 100_000).exit_code == 4
        assert place.run("echo fine").stdout == "fine\n"

    def test_bytes_that_are_no_text_are_replaced(self, place: Place) -> None:
        assert place.run("printf 'a\\377b\\0c'").stdout == "a\N{REPLACEMENT CHARACTER}b\0c"

    def test_text_of_all_alphabets(self, place: Place) -> None:
        assert place.run("echo 'Grüße, 世界, 🐈'").stdout == "Grüße, 世界, 🐈\n"

    def test_quoted_text_is_taken_literally(self, place: Place) -> None:
        for text in ODD_NAMES:
            assert place.run(f"printf %s {shlex.quote(text)}").stdout == text

    def test_a_script_of_many_lines(self, place: Place) -> None:
        script = "f() {\n  cat <<'END'\n$x ' \"\nEND\n}\nfor i in 1 2; do\n  f\ndone\n"
        assert place.run(script).stdout == "$x ' \"\n" * 2

    def test_a_command_of_any_length(self, place: Place) -> None:
        words = [f"word{number}" for number in range(40_000)]
        answer = place.run(f"words=({' '.join(words)}); echo ${{words[39999]}}")
        assert answer == CommandResult("word39999\n", "", 0)

    def test_a_lot_of_output_on_both_streams(self, place: Place) -> None:
        answer = place.run("for i in {1..60000}; do echo 0123456789012345678901234; done | tee /dev/stderr")
        assert len(answer.stdout) == len(answer.stderr) == 26 * 60_000

    def test_a_command_that_is_no_bash_is_an_answer(self, place: Place) -> None:
        answer = place.run("if ( then")
        assert answer.exit_code != 0
        assert "syntax" in answer.stderr
        assert place.run("nothing_of_that_name").exit_code == 127

    def test_commands_leave_nothing_behind_for_the_next(self, place: Place) -> None:
        before = place.run("pwd").stdout
        place.run("cd /; x=1; set -e; f() { echo f; }; exec 2>/dev/null; false; exit 1")
        assert place.run('pwd; echo "x=$x"; false; f').stdout == before + "x=\n"

    def test_a_zero_byte_is_refused(self, place: Place) -> None:
        with pytest.raises(HostError):
            place.run("echo a\0b")
        assert place.run("echo fine").stdout == "fine\n"

    def test_a_late_command_is_killed_with_its_children(self, place: Place) -> None:
        pids = shlex.quote(place.at("pids"))
        with pytest.raises(HostError, match="no answer within"):
            place.run(f"sleep 1000 & echo $! > {pids}; sleep 1000 | sleep 1000", timeout_seconds=0.5)
        alive = f"read p < {pids}; for i in {{1..100}}; do kill -0 $p 2>/dev/null || exit 0; sleep 0.05; done; exit 9"
        assert place.run(alive).exit_code == 0

    def test_a_time_limit_that_is_kept_does_no_harm(self, place: Place) -> None:
        assert place.run("echo done", timeout_seconds=30).stdout == "done\n"

    def test_processes_that_a_command_leaves_behind_do_not_hold_it_up(self, place: Place) -> None:
        answer = place.run("nohup sleep 300 > /dev/null 2>&1 < /dev/null & echo $!", timeout_seconds=20)
        assert place.run(f"kill -0 {answer.stdout}").exit_code == 0
        place.run(f"kill -9 {answer.stdout}")

    def test_many_commands_answer_in_order(self, place: Place) -> None:
        answers = act(place.host.run_many([f"sleep 0.0{9 - n}; echo {n}; exit {n}" for n in range(10)]))
        assert [(answer.stdout, answer.exit_code) for answer in answers] == [(f"{n}\n", n) for n in range(10)]

    def test_commands_run_at_the_same_time(self, place: Place) -> None:
        if not self.simultaneous:
            pytest.skip("this host takes one command at a time")
        mine, yours = shlex.quote(place.at("mine")), shlex.quote(place.at("yours"))
        meet = "touch {}; until [ -e {} ]; do sleep 0.02; done"  # each waits for the other
        answers = act(
            place.host.run_many([meet.format(mine, yours), meet.format(yours, mine)], timeout_seconds=30)
        )
        assert [answer.exit_code for answer in answers] == [0, 0]

    def test_it_can_be_closed_twice_and_used_again(self, place: Place) -> None:
        assert place.run("echo 1").stdout == "1\n"
        act(place.host.close())
        act(place.host.close())
        assert place.run("echo 2").stdout == "2\n"


class WritingContract(_HostFixtures):
    """Files to the host."""

    def test_many_files_in_folders_that_did_not_exist(self, place: Place) -> None:
        files = {
            place.at(f"{n % 50}", "deeper", f"file{n}"): f"content {n}\n".encode()
            for n in range(self.many_files)
        }
        act(place.host.put_many(files))
        assert place.names() == sorted(str(n) for n in range(50))
        found = act(place.host.list_folder(place.folder, deep=True))
        assert found is not None
        assert sum(not info.is_folder for info in found) == self.many_files
        assert place.read(place.at("7", "deeper", "file57")) == "content 57\n"

    def test_names_of_all_kinds(self, place: Place) -> None:
        act(place.host.put_many({place.at(name, name): name.encode() for name in ODD_NAMES}))
        assert place.names() == sorted(ODD_NAMES)
        for name in ODD_NAMES:
            assert place.read(place.at(name, name)) == name

    def test_content_of_all_kinds(self, place: Place) -> None:
        files = {"empty": b"", "bytes": bytes(range(256)), "zero": b"\0" * 5000, "crlf": b"a\r\nb\r"}
        place.put(**files)
        for name, content in files.items():
            answer = place.run(f"od -An -v -tx1 {shlex.quote(place.at(name))} | tr -d ' \\n'")
            assert bytes.fromhex(answer.stdout) == content

    def test_nothing_to_write(self, place: Place) -> None:
        act(place.host.put_many({}))
        assert place.names() == []

    def test_what_was_there_is_replaced(self, place: Place) -> None:
        place.put(a=b"old and longer")
        place.put(a=b"new")
        assert place.read(place.at("a")) == "new"
        assert place.names() == ["a"]

    def test_leftovers_are_removed_first(self, place: Place) -> None:
        place.put(old=b"1", both=b"2", kept=b"3")
        gone = [place.at("old"), place.at("both"), place.at("never")]
        act(place.host.put_many({place.at("both"): b"new"}, replace_in=gone))
        assert place.names() == ["both", "kept"]
        assert place.read(place.at("both")) == "new"
        act(place.host.put_many({}, replace_in=[place.at("kept")]))
        assert place.names() == ["both"]

    def test_files_of_this_machine(self, place: Place, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"text of a file")
        act(place.host.put_many({place.at("a"): source, place.at("b"): b"bytes"}))
        assert place.read(place.at("a")) == "text of a file"
        assert place.read(place.at("b")) == "bytes"

    def test_a_file_of_this_machine_that_is_missing(self, place: Place, tmp_path: Path) -> None:
        with pytest.raises(JobflowRemoteError):
            act(place.host.put_many({place.at("a"): tmp_path / "missing"}))
        assert place.names() == []
        place.put(b=b"goes on")
        assert place.names() == ["b"]

    def test_files_and_the_command_that_needs_them(self, place: Place) -> None:
        def put_and_run(name: str, command: str) -> CommandResult:
            file = {place.at(name): b"some text"}
            return act(place.host.put_and_run(file, command, timeout_seconds=30))

        path = shlex.quote(place.at("a"))
        answer = put_and_run("a", f"cat {path}; cat; echo again >&2; exit 5")
        assert answer == CommandResult("some text", "again\n", 5)
        with pytest.raises(HostError):
            put_and_run("a/below", f"touch {path}.ran")
        assert place.names() == ["a"]
        assert act(place.host.put_and_run({}, "echo nothing")).stdout == "nothing\n"

    def test_a_place_that_takes_no_file(self, place: Place) -> None:
        place.put(file=b"not a folder")
        with pytest.raises(HostError):
            act(place.host.put_many({place.at("file", "below"): b"x", place.at("other"): b"y"}))
        assert place.read(place.at("file")) == "not a folder"
        assert not [name for name in place.names() if "part" in name]

    def test_nobody_sees_half_a_file(self, place: Place) -> None:
        path, end = place.at("grows"), place.at("end")
        sizes = (2_000_000, 6_000_000)
        act(place.host.put_many({path: bytes(sizes[0])}))
        size = f"stat -c %s {shlex.quote(path)} 2>/dev/null"
        look = f"until [ -e {shlex.quote(end)} ]; do {size}; done | uniq | tail -n 100"

        async def replace_while_looking() -> str:
            looking = asyncio.create_task(place.host.run(look, timeout_seconds=60))
            await asyncio.sleep(0)
            await place.host.put_many({path: os.urandom(sizes[1])})
            await place.host.put_many({end: b""})
            return (await looking).stdout

        if not getattr(self, "simultaneous", True):
            pytest.skip("this host takes one command at a time")
        assert set(act(replace_while_looking()).split()) <= {str(size) for size in sizes}


class ReadingContract(_HostFixtures):
    """Files from the host."""

    def test_files_and_which_are_missing(self, place: Place, tmp_path: Path) -> None:
        place.put(a=b"1", b=b"2" * 100_000)
        wanted = {place.at(name): tmp_path / "new" / "folder" / f"my_{name}" for name in ("a", "b", "c")}
        assert act(place.host.get_many(wanted)) == {place.at("c")}
        assert wanted[place.at("a")].read_bytes() == b"1"
        assert wanted[place.at("b")].read_bytes() == b"2" * 100_000
        assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == ["my_a", "my_b"]

    def test_all_missing_or_nothing_wanted(self, place: Place, tmp_path: Path) -> None:
        missing = {place.at("x", "y"): tmp_path / "x", place.at("z"): tmp_path / "z"}
        assert act(place.host.get_many(missing)) == set(missing)
        assert act(place.host.get_many({})) == frozenset()

    def test_many_files_of_all_names(self, place: Place, tmp_path: Path) -> None:
        files = {
            place.at(name): name.encode() for name in [*ODD_NAMES, *(f"n{n}" for n in range(self.many_files))]
        }
        act(place.host.put_many(files))
        wanted = {path: tmp_path / str(number) for number, path in enumerate(files)}
        assert act(place.host.get_many(wanted)) == frozenset()
        assert {path: target.read_bytes() for path, target in wanted.items()} == files

    def test_folders_are_no_files_and_links_are_what_they_point_to(
        self, place: Place, tmp_path: Path
    ) -> None:
        place.put(a=b"one")
        here = shlex.quote(place.folder)
        place.run(f"cd {here} && mkdir folder && ln -s a soft && ln a hard && ln -s nowhere broken")
        names = ("folder", "soft", "hard", "broken", "a")
        missing = act(place.host.get_many({place.at(name): tmp_path / name for name in names}))
        assert missing == {place.at("folder"), place.at("broken")}
        assert [(tmp_path / name).read_bytes() for name in ("soft", "hard", "a")] == [b"one"] * 3
        assert not (tmp_path / "soft").is_symlink()

    def test_a_target_that_takes_no_file(self, place: Place, tmp_path: Path) -> None:
        place.put(a=os.urandom(3_000_000), b=b"2")
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(HostError):
            act(place.host.get_many({place.at("a"): tmp_path / "file" / "a", place.at("b"): tmp_path / "b"}))
        assert act(place.host.get_many({place.at("b"): tmp_path / "b"})) == frozenset()

    def test_big_files_do_not_fill_the_memory(self, place: Place, tmp_path: Path) -> None:
        source, back = tmp_path / "source", tmp_path / "back"
        with source.open("wb") as file:
            for _ in range(self.big_bytes // 1_000_000):
                file.write(os.urandom(10_000) * 100)
        with MemoryPeak() as peak:
            act(place.host.put_many({place.at("big"): source, place.at("small"): b"1"}))
            act(place.host.get_many({place.at("big"): back}))
        assert back.stat().st_size == source.stat().st_size == self.big_bytes
        sums = place.run(f"cksum < {shlex.quote(place.at('big'))}").stdout
        assert sums == place.run("cksum", stdin=back.read_bytes()).stdout
        assert peak.grown_bytes < _SPARE_BYTES

    def test_the_end_of_a_file(self, place: Place) -> None:
        place.put(a=b"0123456789", binary=b"\xff\xfeend", empty=b"")
        read = place.host.read_tail
        assert act(read(place.at("a"), 4)) == "6789"
        assert act(read(place.at("a"), 1000)) == "0123456789"
        assert act(read(place.at("binary"), 4)) == "\N{REPLACEMENT CHARACTER}end"
        assert act(read(place.at("empty"), 5)) == ""
        assert act(read(place.at("missing"), 5)) is None

    def test_what_is_in_a_folder(self, place: Place) -> None:
        act(
            place.host.put_many(
                {place.at("b"): b"22", place.at("a", "c"): b"333", place.at("a", "d", "e"): b""}
            )
        )
        flat = act(place.host.list_folder(place.folder))
        assert flat is not None
        assert [(info.name, info.size, info.is_folder) for info in flat] == [("a", 0, True), ("b", 2, False)]
        now = float(place.run("date +%s").stdout)
        assert all(abs(info.modified - now) < 3600 for info in flat)
        deep = act(place.host.list_folder(place.folder, deep=True))
        assert deep is not None
        assert [(info.name, info.size) for info in deep] == [
            ("a", 0), ("a/c", 3), ("a/d", 0), ("a/d/e", 0), ("b", 2)
        ]  # fmt: skip
        assert act(place.host.list_folder(place.at("missing"))) is None
        assert act(place.host.list_folder(place.at("b"))) is None
        assert act(place.host.list_folder(place.at("a", "d"), deep=True)) != []


class RemovingContract(_HostFixtures):
    """Files and folders that go away."""

    def test_files(self, place: Place) -> None:
        act(place.host.put_many({place.at(name): b"" for name in [*ODD_NAMES, "kept"]}))
        gone = [place.at(name) for name in [*ODD_NAMES, "missing"]]
        assert act(place.host.remove_files(gone)) == {place.at(name) for name in ODD_NAMES}
        assert place.names() == ["kept"]
        assert act(place.host.remove_files(gone)) == frozenset()
        assert act(place.host.remove_files([])) == frozenset()

    def test_folders_are_not_removed_as_files(self, place: Place) -> None:
        act(place.host.put_many({place.at("folder", "file"): b""}))
        with pytest.raises(HostError):
            act(place.host.remove_files([place.at("folder")]))
        assert place.names(deep=True) == ["folder", "folder/file"]

    def test_run_folders(self, place: Place) -> None:
        ours = [run_folder(place.folder, f"{n:08d}-1234-4321-8888-0123456789ab", 1) for n in range(3)]
        files = {posixpath.join(ours[0], IN_FILENAME): b"{}", posixpath.join(ours[0], "sub", "x"): b""}
        files |= {posixpath.join(ours[1], IN_FILENAME + ".gz"): b"", posixpath.join(ours[2], "other"): b""}
        act(place.host.put_many(files))
        missing = run_folder(place.folder, "99999999-1234-4321-8888-0123456789ab", 1)
        assert act(place.host.remove_run_folders([*ours, missing])) == set(ours[:2])
        assert act(place.host.list_folder(ours[0])) is None
        assert act(place.host.list_folder(ours[2])) != []

    def test_a_folder_that_is_not_a_job_s_stays(self, place: Place) -> None:
        act(place.host.put_many({place.at("mine", IN_FILENAME): b"{}", place.at(IN_FILENAME): b"{}"}))
        asked = [place.at("mine"), place.folder, place.at("mine") + "/", place.at("mine", "..", "mine")]
        assert act(place.host.remove_run_folders(asked)) == frozenset()
        assert place.names(deep=True) == [IN_FILENAME, "mine", f"mine/{IN_FILENAME}"]


class HostContract(CommandContract, WritingContract, ReadingContract, RemovingContract):
    """What every :class:`~jobflow_remote.hosts.port.Host` must do."""


class MemoryPeak:
    """How far this process grew beyond what it had (Linux; elsewhere nothing is known)."""

    grown_bytes = 0

    def __enter__(self) -> MemoryPeak:
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the peak is what there is now
            self._before = _status("VmRSS")
        except OSError:
            self._before = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            self.grown_bytes = (_status("VmHWM") or 0) - self._before


def _status(name: str) -> int | None:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return None
