"""The commands of jobflow-remote 1.0.1 and of its slides: arguments, and options with their long and short names.

A line for each command: its words, its arguments (``[…]``: may be left out, ``…``: several), and its options.
Facts about another program, written down once; :mod:`.test_commands` compares them with ours.
"""

from __future__ import annotations

_WHICH = "--job-id/-jid --db-id/-did --flow-id/-fid --state/-s --start-date/-sdate --end-date/-edate "
_JOBS = _WHICH + "--name/-n --metadata/-meta --days/-ds --hours/-hs --worker/-wk --query/-q "
_FLOWS = _WHICH + "--name/-n --days/-ds --hours/-hs "
_ONE = "[ID] [INDEX]"
_LIST = "--verbosity/-v --max-results/-m --sort --reverse-sort/-revs --locked/-l --count "
_ACT = _JOBS + "--verbosity/-v --wait/-w --raise-on-error/-re "
_SET = _JOBS + "--verbosity/-v --raise-on-error/-re "
_END = "--wait/-w --all/-a --json/-j --max-wait/-m"

GLOBAL = "--project/-p --full-exc/-fe --profile/-prof --warn-project/-wp --tree --help/-h"
"""Options of ``jf`` itself."""

COMMANDS: dict[str, tuple[str, str]] = {
    # -- jobs
    "job list": (
        "",
        _JOBS + _LIST + "--latest-flow/-lf --error/-e --running/-run --stored-data-key/-sdk --output/-o --color/-col",
    ),
    "job info": (_ONE, "--pid --show-none/-n --verbosity/-v"),
    "job set-state": ("NEW_STATE [ID] [INDEX]", _JOBS + "--verbosity/-v --wait/-w --break-lock/-bl"),
    "job rerun": (_ONE, _ACT + "--break-lock/-bl --force/-f --no-delete/-nd"),
    "job retry": (_ONE, _ACT + "--break-lock/-bl"),
    "job pause": (_ONE, _ACT),
    "job resume": (_ONE, _ACT),
    "job play": (_ONE, _ACT),
    "job stop": (_ONE, _ACT + "--break-lock/-bl"),
    "job delete": (_ONE, _ACT + "--output/-o --files/-fi --all/-a"),
    "job set worker": ("WORKER", _SET),
    "job set exec-config": ("EXEC_CONFIG", _SET),
    "job set resources": ("RESOURCES", _SET + "--replace/-r --qresources/-qr"),
    "job set priority": ("PRIORITY", _SET),
    "job queue-out": ("ID [INDEX]", ""),
    "job files ls": ("ID [INDEX]", ""),
    "job files get": ("ID FILE_NAMES…", "--index/-i --path/-p"),
    "job files delete": ("ID", "--index/-i --all-states/-as --force/-f"),
    "job output": ("ID [INDEX]", "--path/-p --load/-l"),
    "job todir": (_ONE, "--shell/-s"),
    "job dump": ("", _JOBS + "--path/-p"),
    "job report": ("[INTERVAL] [NUM_INTERVALS]", ""),
    # -- flows
    "flow list": ("", _FLOWS + _LIST + "--metadata/-meta"),
    "flow info": (
        "ID",
        "--job/-j --verbosity/-v --stored-data-key/-sdk --output/-o --sort --jobs-sort --reverse-sort/-revs "
        "--reverse-jobs-sort/-jrevs --report/-rep",
    ),
    "flow delete": (
        "",
        _FLOWS + "--yes/-y --max/-m --verbosity/-v --output/-o --files/-fi --all/-a --keep-processes/-kp "
        "--wait/-w --break-lock/-bl --force/-f",
    ),
    "flow graph": ("ID", "--job/-j --label/-l --path/-p --dash/-d --mermaid/-m"),
    "flow report": ("[INTERVAL] [NUM_INTERVALS]", ""),
    "flow resume": ("ID", "--job/-j"),
    "flow clean": (
        "",
        _FLOWS + "--metadata/-meta --locked/-l --verbosity/-v --force/-f --yes/-y --all-states/-as",
    ),
    "flow set store": ("ID [STORE]", "--job/-j"),
    # -- the administrator
    "admin upgrade": ("", "--no-dry-run/-ndr --check-env/-ce --target/-t --force/-f"),
    "admin reset": ("[DATE]", "--output/-o --yes/-y --force/-f"),
    "admin unlock": (
        "",
        "--job-id/-jid --db-id/-did --state/-s --start-date/-sdate --end-date/-edate --yes/-y --force/-f",
    ),
    "admin unlock-flow": ("", _WHICH + "--yes/-y --force/-f"),
    "admin unlock-runner": ("", ""),
    "admin index rebuild": ("", "--foreground/-fg"),
    "admin index create": ("INDEX [DIRECTION]", "--collection/-c --unique/-u --foreground/-fg"),
    "backup create": ("[BACKUP_DIR]", "--compress/-c --mongo-path/-m --python/-p"),
    "backup restore": ("[BACKUP_DIR]", "--mongo-path/-m --python/-p"),
    # -- batches
    "batch list": (
        "",
        "--worker/-wk --max-results/-m --state/-s --job-id/-jid --db-id/-did --verbosity/-v",
    ),
    "batch info": ("ID", ""),
    "batch delete": ("", "--state/-s --process-id/-pid --batch-uid/-bid --worker/-wk --yes/-y"),
    "batch fix-batch-doc-jobs-dict": ("", ""),
    # -- compute nodes
    "execution run": ("[RUN_DIR]", ""),
    "execution run-batch": (
        "BASE_RUN_DIR FILES_DIR BATCH_UID",
        "--max-time/-mt --max-wait/-mw --max-jobs/-mj --parallel-jobs/-pj --sleep-time/-st",
    ),
    # -- projects
    "project list": ("", "--warn/-w"),
    "project generate": ("NAME", "--format/-f --full"),
    "project check": ("", "--jobstore/-js --queue/-q --worker/-w --errors/-e --full/-f"),
    "project check-conflicts": ("", ""),
    "project remove": ("NAME", "--keep-folders/-k --yes/-y --force/-f"),
    "project exec_config list": ("", "--verbosity/-v"),
    "project worker list": ("", "--verbosity/-v"),
    "project edit replace": ("OLD NEW", "--all/-a --yes/-y --no-backup/-nb --force/-f"),
    # -- the runner
    "runner run": (
        "",
        "--log-level/-log --set-pid/-pid --transfer/-t --complete/-com --queue/-q --checkout/-cho "
        "--connect-interactive/-i --daemonized/-d",
    ),
    "runner start": (
        "", "--transfer/-t --complete/-com --single/-s --log-level/-log --connect-interactive/-i",
    ),
    "runner stop": ("", _END),
    "runner stop-processes": ("", _END),
    "runner shutdown": ("", _END),
    "runner kill": ("", _END),
    "runner restart": ("", ""),
    "runner status": ("", ""),
    "runner info": ("", "--verbosity/-v --pings/-p"),
    "runner foreground": ("", ""),
    "runner reset": ("", "--yes/-y --break-lock/-bl --force/-f"),
    "runner update-status": ("", "--log-level/-log --set-pid/-pid --connect-interactive/-i"),
    # -- the rest
    "plugin list": ("", "--error/-e"),
    "gui": ("", "--port/-p"),
}  # fmt: skip
"""Command → its arguments and its options."""

HIDDEN = {
    "job play", "job dump", "batch fix-batch-doc-jobs-dict", "execution run", "execution run-batch",
    "runner stop-processes",
}  # fmt: skip
"""Commands that 1.0.1 does not show."""

SLIDES = """
admin index create, admin index rebuild, admin reset, admin unlock, admin unlock-flow, admin unlock-runner,
admin upgrade, backup create, backup restore, batch list, flow delete, flow graph, flow info, flow list, flow report,
gui, job delete, job files get, job files ls, job info, job list, job output, job pause, job play, job queue-out,
job report, job rerun, job retry, job set exec-config, job set priority, job set resources, job set worker,
job set-state, job stop, project check, project exec_config list, project generate, project list, project remove,
project worker list, runner foreground, runner info, runner kill, runner reset, runner run, runner shutdown,
runner start, runner status, runner stop
"""
"""The tree of the slides, group and command."""

LINES_OF_THE_SLIDES = """
job list -m 10
job info 667
flow list -m 5
flow info -j 668
flow delete -did 592
job rerun 646
job retry 634
job set resources -did 634 nodes=2,ntasks=32
project list
project check
project generate -h
project generate example_tutorial
runner status
runner start
runner info
runner shutdown
-p example_tutorial job list
"""
"""What the slides type behind ``jf``."""

DIFFERENT: dict[str, str] = {
    "flow graph --dash": "the page of `--path FILE.html` needs no server",
}
"""Command (and option) that is not as in 1.0.1 → the reason, as in differences.md."""
