"""Draws the pictures of the how-to pages from their own code: ``python docs/figures.py``."""

import re
from pathlib import Path

import matplotlib as mpl

HERE = Path(__file__).parent
PAGES = ["howto_denoise", "howto_series"]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run(page):
    """Names that the blocks of a page define, run in order."""
    names = {}
    for block in BLOCK.findall((HERE / f"{page}.md").read_text(encoding="utf-8")):
        exec(compile(block, page, "exec"), names)
    return names


if __name__ == "__main__":
    mpl.use("agg")
    for name in PAGES:
        run(name)["figure"].savefig(HERE / f"{name}.png", dpi=100)
