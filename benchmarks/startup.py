"""Start-up: what each command costs before it does anything."""

from __future__ import annotations

from benchmarks.home import Home
from benchmarks.measure import Figure, interleaved_cpu

TOPIC = "start-up"


def measure(home: Home, *, times: int = 9) -> list[Figure]:
    """CPU of ``jf --help`` and ``jf job list``, and of one trivial job on the compute node, beside its imports."""
    return command_line(home, times=times) + compute_node(home, times=times)


def command_line(home: Home, *, times: int = 9) -> list[Figure]:
    """CPU of the two commands that people type most."""
    commands = {
        "jf --help": home.command("--help"),
        "jf job list": home.command("job", "list"),
        "python -c pass": [home.python, "-c", "pass"],
    }
    costs = interleaved_cpu(commands, env=home.env, times=times)
    return [Figure(TOPIC, name, cost, "s CPU") for name, cost in costs.items()]


def compute_node(home: Home, *, times: int = 9) -> list[Figure]:
    """CPU of the script of one ``add``, run by hand, beside the import of jobflow, which no job can do without."""
    home.start()
    home.drive("run", "wide", "1", "240")
    folder = newest_run_folder(home)
    home.shut_down()
    again = home.folder / "again.sh"
    copy = home.folder / "by-hand"
    lines = [
        f"rm -rf {copy} && mkdir {copy} && cp {folder}/jfremote_in.json {copy}/",
        f"sed 's#{folder}#{copy}#g' {folder}/submit.sh > {copy}/submit.sh",
        f"cd {copy} && bash submit.sh > queue.out 2> queue.err && test -s jfremote_out.json",
    ]
    again.write_text("set -e\n" + "\n".join(lines) + "\n", encoding="utf-8")
    commands = {
        "one add on the compute node": ["bash", str(again)],
        "import jobflow": [home.python, "-c", "import jobflow"],
        "copying of the folder": ["bash", "-c", "\n".join(lines[:2])],
    }
    costs = interleaved_cpu(commands, env=home.env, times=times)
    job = costs["one add on the compute node"] - costs["copying of the folder"]
    imports = costs["import jobflow"]
    return [
        Figure(TOPIC, "one add on the compute node", job, "s CPU"),
        Figure(TOPIC, "import jobflow", imports, "s CPU"),
        Figure(TOPIC, "one add / import jobflow", job / imports, "×"),
    ]


def newest_run_folder(home: Home) -> str:
    """Folder of the job that was uploaded last."""
    inputs = (home.folder / "runs").rglob("jfremote_in.json")
    return str(max(inputs, key=lambda path: path.stat().st_mtime).parent)
