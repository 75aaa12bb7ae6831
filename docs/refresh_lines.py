"""Keep the references from these pages to the code true.

    python docs/refresh_lines.py            rewrite the lines that are stale
    python docs/refresh_lines.py --check    only name them, and fail if there are any

A reference names a file, a line and a symbol, and links to them:

    [`planners.py:88 CEM.search`](../src/planet_torch/planners.py#L88)

The symbol decides, and the line follows. A symbol is what a file defines: a function, a
class, a constant, or with a dot what a class defines.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

DOCS = Path(__file__).parent
REFERENCE = re.compile(
    r"\[`(?P<name>[\w/.-]+):\d+ (?P<symbol>[\w.]+)`\]\((?P<path>[^)#\s]+)#L\d+\)"
)


def symbols(source: str) -> dict[str, tuple[int, int]]:
    """The first and the last line of what a source defines, by its dotted name."""
    return {
        name: (first, last)
        for name, first, last in _symbols(ast.parse(source).body, "")
    }


def _symbols(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, int, int]]:
    for node in body:
        for name in _names(node):
            yield f"{prefix}{name}", node.lineno, node.end_lineno or node.lineno
        if isinstance(node, ast.ClassDef):
            yield from _symbols(node.body, f"{prefix}{node.name}.")


def _names(node: ast.stmt) -> list[str]:
    """The names that a statement defines."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case _:
            return []


def refreshed(text: str, folder: Path, on_missing: Callable[[str], object]) -> str:
    """The text of a page with the lines of today.

    Args:
        text: of the page.
        folder: in which the page is; its links start there.
        on_missing: is told each reference to a file or symbol that is not there.
    """
    found: dict[Path, dict[str, tuple[int, int]]] = {}

    def today(reference: re.Match[str]) -> str:
        name, symbol, path = reference.group("name", "symbol", "path")
        file = folder / path
        if file not in found:
            found[file] = symbols(file.read_text()) if file.is_file() else {}
        if symbol not in found[file] or not path.endswith(name):
            on_missing(reference[0])
            return reference[0]
        line, _ = found[file][symbol]
        return f"[`{name}:{line} {symbol}`]({path}#L{line})"

    return REFERENCE.sub(today, text)


def main(arguments: list[str]) -> int:
    """Refresh the pages, or check them."""
    wrong: list[str] = []
    for page in sorted(DOCS.glob("*.md")):
        missing: list[str] = []
        before = page.read_text()
        after = refreshed(before, page.parent, missing.append)
        wrong += [f"{page.name}: there is no {reference}" for reference in missing]
        if after != before and "--check" in arguments:
            wrong.append(
                f"{page.name} has stale lines: run python docs/refresh_lines.py"
            )
        elif after != before:
            page.write_text(after)
    print("\n".join(wrong) or "every reference is true")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
