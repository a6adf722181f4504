"""Docstrings are written to be read as they stand; here they become reStructuredText."""

import re

from sphinx.ext.autosummary import Autosummary

LITERAL = re.compile(r"(``.*?``|`[^`]*`)")
CITED = re.compile(r"\[(\d)\]_")  # in a method: of the class that it belongs to
NUMBERS = re.compile(r" *\[R?\w*-?\d\]_?")  # as numpydoc writes them
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


class Summaries(Autosummary):
    """Tables of names without the numbers of what their first sentences cite."""

    def get_items(self, names):
        return [
            (*item[:2], NUMBERS.sub("", item[2]), *item[3:]) for item in super().get_items(names)
        ]


def setup(app):
    """Extension of Sphinx."""
    app.setup_extension("sphinx.ext.autosummary")
    app.add_directive("autosummary", Summaries, override=True)
    app.connect("autodoc-process-docstring", process, priority=100)
    return {"parallel_read_safe": True}
