"""What the documentation promises to list is listed, what is generated is up to date, links lead somewhere."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from jobflow_remote import layout
from jobflow_remote.cli.execution import app as execution
from jobflow_remote.cli.jf import app
from jobflow_remote.config.project import ExecutionConfig, Project, QueueConfig
from jobflow_remote.config.runner_options import RunnerOptions
from jobflow_remote.config.settings import JobflowRemoteSettings, setting_names
from jobflow_remote.config.workers import (
    BaseRemoteWorker,
    BatchConfig,
    ConnectionData,
    SeparatedTransferWorker,
)
from jobflow_remote.model.lifecycle import ACTIVE, TABLE
from jobflow_remote.model.records import new_flow_document, new_job_document, remote_defaults
from jobflow_remote.model.states import JobState
from jobflow_remote.queuedb.sqlite.schema import COMPOSED, FLOW_COLUMNS

ROOT = Path(__file__).parents[2]
OF_PLUGINS = {"weather"}
"""Commands of the plug-ins that pages make."""
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "changelog.d").glob("*.md")])
MODELS: list[type[BaseModel]] = [
    Project, RunnerOptions, QueueConfig, ExecutionConfig, BatchConfig, ConnectionData, BaseRemoteWorker,
    SeparatedTransferWorker,
]  # fmt: skip


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def code_blocks(page: Path, language: str = "") -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


# -- generated parts -----------------------------------------------------------------------------------------------


def test_generated_parts_are_up_to_date(generate: ModuleType) -> None:
    stale = [path.name for path in generate.find_stale()]
    assert not stale, f"run `make docs`: {', '.join(stale)}"


def test_a_page_that_lost_its_marks_is_noticed(generate: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"page\.md: there should be a part between"):
        generate.fill("<!-- generated: x --> no end", {"x": lambda: ""}, page="page.md")


@pytest.mark.parametrize("model", MODELS)
def test_every_key_of_a_project_file_says_what_it_means(generate: ModuleType, model: type[BaseModel]) -> None:
    assert [name for name in model.model_fields if name not in generate.read_attribute_docs(model)] == []


def test_every_setting_and_option_is_on_the_page(generate: ModuleType) -> None:
    page = read("docs/configuration.md")
    assert set(setting_names()) <= set(generate.read_attribute_docs(JobflowRemoteSettings))
    for name in [*setting_names(), *(field for model in MODELS for field in model.model_fields)]:
        assert f"| `{name}` |" in page, name


def test_every_command_is_listed_and_says_what_it_is_for(generate: ModuleType) -> None:
    page = read("docs/commands.md")
    commands = generate.list_commands()
    assert {"jf quickstart", "jf job list", "jf runner start"} <= {words for words, _ in commands}
    for words, command in commands:
        assert f"### {words}\n" in page
        assert (command.help or "").strip(), words


def test_the_lifecycle_page_has_every_event_and_state(generate: ModuleType) -> None:
    page = read("docs/lifecycle.md")
    for row in TABLE:
        assert f"| `{row.event}`" in page
    diagram = generate.render_runner_diagram()
    for state in ACTIVE | {JobState.READY, JobState.COMPLETED, JobState.FAILED, JobState.REMOTE_ERROR}:
        assert re.search(rf"\b{state}\b", diagram)
    edges = re.findall(r"(\w+) -->\|([\w, ]+)\| (\w+)", diagram)
    assert len(edges) > len(ACTIVE)
    for source, events, to in edges:
        assert set(events.split(", ")) <= {row.event for row in TABLE}
        assert {source, to} <= {*JobState, "active"}


# -- documents -----------------------------------------------------------------------------------------------------


def documented_fields() -> set[str]:
    first_cells = re.findall(r"^\| ([^|]+) \|", read("docs/documents.md"), re.MULTILINE)
    return {name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_field_of_a_document_is_described() -> None:
    job = new_job_document(
        {"uuid": "u", "index": 1}, flow_uuid="f", worker="w", parents=(), now=datetime(2026, 1, 1), who="me"
    )
    flow = new_flow_document(uuid="f", name="n", now=datetime(2026, 1, 1))
    wanted = {*job, *remote_defaults(), *flow, *FLOW_COLUMNS, *COMPOSED, "counts"}
    assert wanted - documented_fields() == set()


def test_fields_that_are_written_later_are_described_too() -> None:
    written = {
        name
        for path in (ROOT / "src").rglob("*.py")
        for name in re.findall(r'"remote\.(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert {"exit_code", "process_id"} <= written
    assert written - documented_fields() == set()


def test_every_file_of_a_run_folder_is_described() -> None:
    page = read("docs/documents.md")
    names = [
        value
        for name, value in vars(layout).items()
        if name.endswith(("_FILENAME", "_PREFIX", "_STEM")) and isinstance(value, str)
    ]
    assert len(names) > 8
    assert [name for name in names if f"`{name}" not in page] == []


# -- pages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_on_the_pages_compiles_and_imports_what_exists(page: Path) -> None:
    blocks = code_blocks(page, "python")
    own = {name for block in blocks for name in re.findall(r"^# file: (\w+)\.py", block)}
    for block in blocks:
        compile(block, str(page), "exec")
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module not in own:
                module = importlib.import_module(node.module or "")
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{page.name}: {node.module}.{alias.name}"


def test_the_readme_shows_how_to_submit() -> None:
    blocks = code_blocks(ROOT / "README.md", "python")
    assert any("submit_flow(" in block for block in blocks)


def commands_on(page: Path) -> list[str]:
    """Every ``jf …`` that the text of a page mentions or its examples type."""
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(
        body for language, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        if language in ("", "sh", "bash")
    )  # fmt: skip
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    typed = re.findall(r"(?:^|  )(jf [^\n]*?)(?:  |$)", blocks, re.MULTILINE)
    return [*typed, *(" ".join(each.split()) for each in re.findall(r"`(jf [^`]+)`", prose))]


def explain_wrong(words: list[str], root: Any, commands: dict[str, Any]) -> str | None:
    """What is wrong with a command that a page shows; None if there is such a command with these options."""
    path, rest = "jf", words[1:]
    own = {"-h", "--help", *(name for parameter in root.params for name in parameter.opts)}
    while rest and rest[0] in own:
        rest = rest[2 if rest[0] == "-p" else 1 :]
    groups = {name.rpartition(" ")[0] for name in commands}
    while rest and f"{path} {rest[0]}" in {*commands, *groups}:
        path, rest = f"{path} {rest[0]}", rest[1:]
    if path in groups:
        return f"there is no {' '.join(words)}" if rest and re.fullmatch(r"[a-z-]+", rest[0]) else None
    known = {
        "-h",
        "--help",
        *(name for each in commands[path].params for name in (*each.opts, *each.secondary_opts)),
    }
    wrong = [
        word for word in rest if re.match(r"--?[a-z]", word) and word not in known and set(word) != {*"-v"}
    ]
    return f"{path} has no {wrong[0]}" if wrong else None


def all_commands(generate: ModuleType) -> dict[str, Any]:
    hidden = typer.main.get_command(execution)
    return {
        **dict(generate.list_commands()),
        "jf execution run": getattr(hidden, "commands", {}).get("run", hidden),
    }


@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if page.name != "commands.md" and page.parent.name not in ("changelog.d", "decisions")
    ],
    ids=lambda page: page.name,
)
def test_commands_on_the_pages_exist(generate: ModuleType, page: Path) -> None:
    commands, root = all_commands(generate), typer.main.get_command(app)
    shown = [shlex.split(line, comments=True) for line in commands_on(page)]
    wrong = [explain_wrong(words, root, commands) for words in shown if not OF_PLUGINS & set(words[1:2])]
    assert [each for each in wrong if each is not None] == []


def test_wrong_commands_are_noticed(generate: ModuleType) -> None:
    commands, root = all_commands(generate), typer.main.get_command(app)
    for right in ("jf -p x job list -n 'a b'", "jf runner start --single", "jf -fe job", "jf --tree"):
        assert explain_wrong(shlex.split(right), root, commands) is None
    for wrong in ("jf job lst", "jf runner start --sinlge", "jf jbo list", "jf job files lsl"):
        assert explain_wrong(wrong.split(), root, commands) is not None


def test_targets_in_examples_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    shown = "\n".join(body for name in ("README.md", "CONTRIBUTING.md") for body in code_blocks(ROOT / name))
    used = set(re.findall(r"^make ([a-z-]+)", shown, re.MULTILINE))
    assert used
    assert used <= targets


def test_glossary_is_in_alphabetical_order_and_has_no_empty_entry() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", read("docs/glossary.md"), re.MULTILINE)[2:]
    words = [word.lower() for word, _ in rows]
    assert len(words) > 30
    assert words == sorted(words)
    assert all(meaning.strip() for _, meaning in rows)


def test_decisions_are_numbered_and_listed() -> None:
    index = read("docs/decisions/README.md")
    pages = sorted((DOCS / "decisions").glob("0*.md"))
    assert len(pages) >= 6
    for number, page in enumerate(pages, 1):
        assert page.name.startswith(f"{number:04}-")
        title = page.read_text(encoding="utf-8").splitlines()[0]
        assert title.startswith(f"# {number}. ")
        assert f"({page.name})" in index


def test_changelog_fragments_say_of_what_kind_they_are() -> None:
    fragments = [page for page in (ROOT / "changelog.d").glob("*.md") if page.name != "README.md"]
    assert fragments
    for page in fragments:
        assert re.fullmatch(r"[a-z0-9-]+\.(added|changed|fixed|removed)\.md", page.name), page.name
        assert page.read_text(encoding="utf-8").strip().endswith(".")
