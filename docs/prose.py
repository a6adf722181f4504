"""Docstrings are written to be read as they stand; here they become reStructuredText."""

import re

LITERAL = re.compile(r"(``.*?``|`[^`]*`)")
CITED = re.compile(r"\[(\d)\]_")  # in a method: of the class that it belongs to
SHAPE = re.compile(r"(?<=[ (])\*(?=\(|[A-Za-z]\w*[,)])")  # the star of (N, C, *S)


def restructured(lines):
    """Lines whose indented formulas are literal and whose stars and bars mean themselves."""
    out, last = [], ""
    formula = False
    for line in lines:
        indented = line.startswith("    ")
        begins = indented and not formula and out[-1:] == [""] and is_text(last)
        if begins:
            out += [] if last.endswith("::") else ["::", ""]
        formula = begins or (formula and (indented or not line))
        out.append(line if formula or line.lstrip().startswith(">>>") else escaped(line))
        last = line or last
    return out


def is_text(line):
    """Whether a line is of a paragraph at the left margin."""
    return bool(line) and not line.startswith((" ", "..", ">>>", "-", "*"))


def escaped(line):
    """The line, its stars of shapes and bars of norms escaped outside of literals."""
    parts = LITERAL.split(line)
    return "".join(
        part if i % 2 else SHAPE.sub(r"\\*", part).replace("|", r"\|")
        for i, part in enumerate(parts)
    )


def process(app, what, name, obj, options, lines):
    """Called by autodoc before numpydoc."""
    text = "\n".join(restructured(lines))
    lines[:] = CITED.sub(lambda m: m[0] if f".. [{m[1]}]" in text else f"[{m[1]}]", text).split(
        "\n"
    )


def setup(app):
    """Extension of Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", process, priority=100)
    return {"parallel_read_safe": True}
