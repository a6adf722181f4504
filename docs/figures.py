"""Draws the pictures of the how-to pages from their own code: ``python docs/figures.py``."""

import re
from pathlib import Path

import matplotlib as mpl

HERE = Path(__file__).parent
PICTURES = {  # of each page: its files, by the name of the figure in its code
    "howto_denoise": {"figure": "howto_denoise"},
    "howto_series": {"figure": "howto_series", "epochs_figure": "howto_series_epochs"},
}
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run(page):
    """Names that the blocks of a page define, run in order."""
    names = {}
    for block in BLOCK.findall((HERE / f"{page}.md").read_text(encoding="utf-8")):
        exec(compile(block, page, "exec"), names)
    return names


if __name__ == "__main__":
    mpl.use("agg")
    for page, files in PICTURES.items():
        names = run(page)
        for figure, file in files.items():
            names[figure].savefig(HERE / f"{file}.png", dpi=100)
