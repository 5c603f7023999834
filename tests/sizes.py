"""The size limits of the house: functions p90 <= 25 lines, none over 80; modules p90 <= 420, none over 600.

Bodies without docstrings, as in the table that the limits come from. Exceptions need a reason here.
"""

from __future__ import annotations

import ast
import pathlib
import sys

FUNCTION_P90, FUNCTION_MAX = 25, 80
MODULE_P90, MODULE_MAX = 420, 600
EXCEPTIONS: dict[str, str] = {}
"""``path`` or ``path:function`` → why it may be longer."""

Node = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def docstring_lines(node: Node) -> int:
    """Lines of the docstring of a node, 0 without one."""
    if ast.get_docstring(node, clean=False) is None:
        return 0
    first = node.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1


def measure(root: pathlib.Path) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Lengths of modules and of functions below ``root``, longest first."""
    modules, functions = [], []
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        nodes = [node for node in ast.walk(tree) if isinstance(node, Node)]
        modules.append((text.count("\n") - sum(map(docstring_lines, nodes)), str(path)))
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if docstring_lines(node) else node.body
                if body:
                    functions.append(((body[-1].end_lineno or 0) - body[0].lineno + 1, f"{path}:{node.name}"))
    return sorted(modules, reverse=True), sorted(functions, reverse=True)


def check(what: str, rows: list[tuple[int, str]], p90_limit: int, limit: int) -> bool:
    """Print the figures of one kind; False if a limit is broken."""
    p90 = rows[len(rows) // 10][0]
    over = [row for row in rows if row[0] > limit and row[1] not in EXCEPTIONS]
    print(f"   {len(rows)} {what}: p90 {p90} lines (limit {p90_limit}), longest {rows[0][0]} (limit {limit})")
    for lines, where in over:
        print(f"   too long: {where}: {lines} lines")
    return p90 <= p90_limit and not over


def main() -> int:
    """Check the package."""
    modules, functions = measure(pathlib.Path("src/jobflow_remote"))
    fine = [
        check("modules", modules, MODULE_P90, MODULE_MAX),
        check("functions", functions, FUNCTION_P90, FUNCTION_MAX),
    ]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
