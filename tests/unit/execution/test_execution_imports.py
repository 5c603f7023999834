"""What the compute node imports, and when."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BEFORE_THE_JOB = """
import json, sys
before = set(sys.modules)
import jobflow_remote.execution.__main__
import jobflow_remote.execution.loading
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_only_the_standard_library_before_the_job_is_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", BEFORE_THE_JOB], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names) == {"jobflow_remote"}
    ours = [name for name in loaded if name.startswith("jobflow_remote.")]
    assert {name.split(".")[1] for name in ours} == {"execution", "errors", "layout"}


AFTER_RUN = """
import json, sys
import jobflow
before = set(sys.modules)
from jobflow_remote.execution.run import run_job
import jobflow_remote.testing
run_job(sys.argv[1])
new = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
ours = [name for name in sys.modules if name.startswith("jobflow_remote.")]
print("\\n" + json.dumps([sorted(new), sorted(ours)]))
"""


def test_running_imports_nothing_beside_jobflow(tmp_path: Path) -> None:
    from jobflow_remote.execution.jobfields import serialise_job
    from jobflow_remote.outputs.jobfiles import render_input
    from jobflow_remote.utils.examples import add

    job = serialise_job(add(1, 2))
    (tmp_path / "jfremote_in.json").write_bytes(render_input({}, job=job, store_names=["data"], attempt="1"))
    done = subprocess.run(
        [sys.executable, "-c", AFTER_RUN, str(tmp_path)], capture_output=True, text=True, check=True
    )
    foreign, ours = json.loads(done.stdout.splitlines()[-1])
    assert foreign == ["jobflow", "jobflow_remote"]
    allowed = ("execution", "errors", "layout", "utils", "testing")
    assert [name for name in ours if name.split(".")[1] not in allowed] == []
