"""Output between marks is found whatever the pieces in which it comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobflow_remote.hosts.agent import render_piece, render_request, render_start
from jobflow_remote.hosts.session import MarkedOutput

MARK = b"0123abcd"
PARTS_OF_MARKS = st.sampled_from([MARK[:3], MARK[:7], b"\n", b" start\n", b" end 0\n", b"0", b"\0\xff"])
NOISE = st.lists(st.one_of(st.binary(max_size=20), PARTS_OF_MARKS), max_size=6).map(b"".join)


def _without_mark(data: bytes) -> bool:
    return MARK not in data


@given(
    before=NOISE.filter(_without_mark),
    output=NOISE.filter(_without_mark),
    code=st.integers(0, 255),
    cuts=st.lists(st.integers(1, 9), max_size=40),
)
def test_any_output_in_any_pieces(before: bytes, output: bytes, code: int, cuts: list[int]) -> None:
    if before.endswith(tuple(MARK[:n] for n in range(1, len(MARK)))) or output.endswith(
        tuple(MARK[:n] for n in range(1, len(MARK)))
    ):
        return  # together with the mark behind it, it would be found too early; nobody can guess half a mark
    stream = before + MARK + b" start\n" + output + MARK + b" end %d\n" % code
    found, reader = b"", MarkedOutput(MARK)
    for cut in [*cuts, len(stream)]:
        found += reader.feed(stream[:cut])
        stream = stream[cut:]
    assert found == output
    assert reader.exit_code == code


def test_no_answer_before_the_end() -> None:
    reader = MarkedOutput(MARK)
    assert reader.feed(b"banner\n") == b""
    assert not reader.started
    said = b"some output, and more"
    assert said.startswith(reader.feed(MARK + b" start\n" + said))
    assert reader.started
    assert reader.exit_code is None


def test_requests_carry_their_lengths() -> None:
    assert render_request("é".encode(), seconds=1.5, has_input=True) == b"2 1.5 1\n\xc3\xa9"
    assert render_request(b"ls", seconds=None, has_input=False) == b"2 0 0\nls"
    assert render_piece(b"abc") == b"3\nabc"
    assert render_piece(b"") == b"0\n"


def test_the_start_is_one_line_for_any_shell() -> None:
    for shell in ("bash", "zsh", None):
        line = render_start(1000, shell_cmd=shell)
        assert "\n" not in line
        assert "!" not in line  # csh would look into its history
        assert line.count("'") == 2
    assert " -l " in render_start(1, shell_cmd="bash", login_shell=True)
    assert " -l " not in render_start(1, shell_cmd="bash", login_shell=False)
