"""Formulas become MathML when the pages are made: they show without a network or scripts."""

from docutils.nodes import SkipNode
from latex2mathml.converter import convert


def inline(writer, node):
    """A formula in a line of text."""
    writer.body.append(convert(node.astext()))
    raise SkipNode


def block(writer, node):
    """A formula on lines of its own."""
    formula = convert(node.astext(), display="block")
    writer.body.append(f'<div style="margin: 1rem 0; overflow-x: auto">{formula}</div>')
    raise SkipNode


def setup(app):
    """Extension of Sphinx."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
