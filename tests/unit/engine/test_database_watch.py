"""What a process of the runner knows of its queue database."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from jobflow_remote.engine.databasewatch import DatabaseWatch
from jobflow_remote.errors import ConfigError, QueueDatabaseAwayError
from jobflow_remote.services.awaynote import read_note


class Asked:
    """A question that is answered, or not."""

    def __init__(self) -> None:
        self.answers = True
        self.times = 0

    def __call__(self) -> int:
        self.times += 1
        if not self.answers:
            raise QueueDatabaseAwayError("nobody there")
        return self.times


@pytest.fixture(autouse=True)
def _propagate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("jobflow_remote"), "propagate", True)


def test_it_is_said_once_and_asked_by_one_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch, asked, back = DatabaseWatch(tmp_path), Asked(), []
    watch.on_back = lambda: back.append(1)
    assert watch.call(asked) == 1
    asked.answers = False
    for _ in range(3):
        with pytest.raises(QueueDatabaseAwayError, match="nobody there"):
            watch.call(asked)
    assert asked.times == 2, "lanes do not ask what is known to be away"
    with pytest.raises(QueueDatabaseAwayError):
        watch.ask(asked)
    note = read_note(tmp_path)
    assert note is not None
    assert note.why == "nobody there"
    assert len([line for line in caplog.messages if "away since" in line]) == 1

    asked.answers = True
    with pytest.raises(QueueDatabaseAwayError):
        watch.call(asked)
    watch.ask(asked)
    assert watch.call(asked) == 5
    assert back == [1]
    assert read_note(tmp_path) is None
    assert len([line for line in caplog.messages if "is back after" in line]) == 1


def test_an_answer_to_an_older_question_says_nothing(tmp_path: Path) -> None:
    watch, may_answer, began = DatabaseWatch(tmp_path), threading.Event(), threading.Event()

    def slow() -> None:
        began.set()
        assert may_answer.wait(10)

    thread = threading.Thread(target=watch.ask, args=(slow,))
    thread.start()
    assert began.wait(10)
    watch.note_failure(QueueDatabaseAwayError("gone"))
    may_answer.set()
    thread.join(10)
    assert watch.is_away


def test_other_errors_are_answers_of_no_kind(tmp_path: Path) -> None:
    watch = DatabaseWatch(tmp_path)

    def refuses() -> None:
        raise ConfigError("no")

    with pytest.raises(ConfigError):
        watch.call(refuses)
    assert not watch.is_away
    watch.note_failure(QueueDatabaseAwayError("gone"))
    with pytest.raises(ConfigError):
        watch.ask(refuses)
    assert watch.is_away


def test_the_note_of_a_killed_runner_is_removed(tmp_path: Path) -> None:
    DatabaseWatch(tmp_path).note_failure(QueueDatabaseAwayError("gone"))
    assert read_note(tmp_path) is not None
    DatabaseWatch(tmp_path).forget_former()
    assert read_note(tmp_path) is None
    (tmp_path / "database_away.json").write_text("{")
    assert read_note(tmp_path) is None
