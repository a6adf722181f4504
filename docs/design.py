"""Draws the packages of `csc` from the table of its test: ``python docs/design.py``.

Writes ``design.svg`` and the table in ``design.md``; `make docs` does the same.
"""

import ast
import re
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
RULES = HERE.parent / "tests" / "project" / "test_architecture.py"
OPEN = {"kernels", "utilities"}  # open to all: drawn as a base line
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 118, 34, 26, 62, 16
TABLE = re.compile(r"(<!-- table of packages -->\n).*?(<!-- end -->)", re.DOTALL)


def may_import():
    """The table ``MAY_IMPORT`` of the architecture test, without running the test."""
    for node in ast.parse(RULES.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "MAY_IMPORT":
            return {
                ast.literal_eval(key): sorted(n.value for n in ast.walk(value) if is_name(n))
                for key, value in zip(node.value.keys, node.value.values, strict=True)
            }
    raise LookupError(f"no MAY_IMPORT in {RULES}")


def is_name(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def rows_of(table):
    """Names by level: one more than the highest level imported (mutual imports share a level)."""
    levels = dict.fromkeys(table, 0)
    for _ in table:
        for name, used in table.items():
            above = [levels[u] + (name not in table[u]) for u in used]
            levels[name] = max(above, default=0)
    return [[n for n in table if levels[n] == at] for at in range(max(levels.values()) + 1)]


def direct(table):
    """Arrows without those that a chain of other arrows implies."""
    for name, used in table.items():
        for target in used:
            # of two that import each other, the first in the alphabet leaves common arrows to the other
            others = [u for u in used if u != target and (name not in table[u] or name < u)]
            if not any(target in table[u] for u in others):
                yield name, target


def drawing(table):
    """The text of an SVG: a box for each package, an arrow for each direct import."""
    table = {n: [u for u in used if u not in OPEN] for n, used in table.items() if n not in OPEN}
    rows = rows_of(table)[::-1]
    wide = max(map(len, rows)) * (WIDTH + GAP_X) - GAP_X + 2 * MARGIN
    high = len(rows) * (HEIGHT + GAP_Y) + HEIGHT + 2 * MARGIN
    place = {}
    for i, row in enumerate(rows):
        left = (wide - len(row) * (WIDTH + GAP_X) + GAP_X) / 2
        for j, name in enumerate(row):
            place[name] = (left + j * (WIDTH + GAP_X), MARGIN + i * (HEIGHT + GAP_Y))
    boxes = [box(name, *at, WIDTH) for name, at in place.items()]
    base = box("utilities (csc/_*.py) and kernels: open to all", MARGIN, high - MARGIN - HEIGHT,
               wide - 2 * MARGIN)  # fmt: skip
    arrows = [arrow(place[a], place[b]) for a, b in direct(table)]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}"'
        ' font-family="sans-serif" font-size="13" text-anchor="middle">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
        ' markerHeight="7" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#666"/></marker></defs>',
        f'<rect width="{wide}" height="{high}" fill="white"/>',
        *arrows, *boxes, base, "</svg>\n",
    ])  # fmt: skip


def box(name, x, y, width):
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{HEIGHT}" rx="5" fill="#e8f0f8"'
        f' stroke="#35618f"/><text x="{x + width / 2:g}" y="{y + 22:g}">{escape(name)}</text>'
    )


def arrow(source, target):
    """From the importing box down to the imported one; between neighbours, along the row."""
    (x, y), (u, v) = source, target
    if y == v:
        right = u > x
        x, u = (x + WIDTH, u) if right else (x, u + WIDTH)
        y = v = y + HEIGHT / 2 + (4 if right else -4)
    else:
        x, y, u = x + WIDTH / 2, y + HEIGHT, u + WIDTH / 2
    return (
        f'<line x1="{x:g}" y1="{y:g}" x2="{u:g}" y2="{v:g}" stroke="#666" marker-end="url(#tip)"/>'
    )


def rows_in_markdown(table):
    """The table as Markdown."""
    lines = ["| package | may import |", "| --- | --- |"]
    for name, used in table.items():
        lines.append(f"| `{name}` | {', '.join(f'`{u}`' for u in used) or 'none'} |")
    return "\n".join(lines) + "\n"


def outputs():
    """Pairs of a path and the text that belongs there."""
    table, page = may_import(), HERE / "design.md"
    text = page.read_text(encoding="utf-8")
    yield HERE / "design.svg", drawing(table)
    yield page, TABLE.sub(lambda m: m[1] + rows_in_markdown(table) + m[2], text)


def write():
    """Bring picture and table up to date."""
    for path, text in outputs():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
