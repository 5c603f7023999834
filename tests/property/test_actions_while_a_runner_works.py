"""Random actions of people while a runner works, and reruns whose outputs must be those of a fresh run.

Small here; ``python -m tests.shows commands --only 2,3`` is the same at full size.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.services.warmnode import WarmNode
from tests.shows import commands_actions, commands_rerun, randomactions
from tests.shows.inprocess import Bench


@pytest.mark.timeout(600)
def test_nothing_is_stuck_and_outputs_are_right(tmp_path: Path) -> None:
    done, wrong = commands_actions.play_at_random(tmp_path, examples=3)
    assert wrong == []
    assert done["histories"] == 3
    assert sum(done[kind] for kind in randomactions.KINDS) >= 6, done  # the rest was refused


@pytest.mark.timeout(600)
def test_outputs_after_a_rerun_are_those_of_a_fresh_run(tmp_path: Path) -> None:
    node = WarmNode(tmp_path)
    bench = Bench(tmp_path, node)
    try:
        wrong = [line for story in commands_rerun.SMALL for line in commands_rerun.tell(bench, story)]
        wrong += commands_rerun.change_inputs(bench)
    finally:
        bench.close()
        node.stop()
    assert wrong == []
