"""``jf quickstart`` on an empty home."""

from __future__ import annotations

import pytest
from tests_home import Home

pytest.importorskip("ase")


def test_quickstart_from_nothing_and_again(home: Home) -> None:
    (home.folder / "test.yaml").unlink()
    home.env["JFREMOTE_PROJECT"] = "local"
    try:
        first = home.jf("quickstart", "--points", "5")
        for word in ("bulk modulus", "GPa", "made", "jf job output"):
            assert word in first.stdout
        assert (home.folder / "local" / "equation_of_state.png").stat().st_size > 10_000
        result = home.json("job", "output", home.json("flow", "info", "1")["jobs"][-1]["uuid"])
        assert result["bulk_modulus"] == pytest.approx(134.5, abs=2)
        assert result["volume"] == pytest.approx(11.565, abs=0.01)

        again = home.jf("quickstart", "--points", "5")
        assert "exists" in again.stdout
        assert [flow["state"] for flow in home.json("flow", "list")] == ["COMPLETED", "COMPLETED"]
        assert len(list(home.folder.glob("*.yaml"))) == 1
    finally:
        home.jf("runner", "shutdown", "--wait")
