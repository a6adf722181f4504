"""Figures in colour-blind safe colours, and files that are written completely or not at all."""

import json
import os
from importlib.util import find_spec

import csc

if find_spec("matplotlib") is None:
    raise SystemExit("the demos draw with matplotlib; install it: pip install 'mlcsc[demos]'")

DOTS_PER_INCH = 100


def new_figure(width, height):
    """Return an empty figure, size in inches, with the colours of `csc.plot.PALETTE`."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["axes.prop_cycle"] = mpl.cycler(color=csc.plot.PALETTE)
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure, folder, name, dpi=DOTS_PER_INCH, n_colours=None):
    """Write ``name.png``; an interrupted run leaves no incomplete file of that name.

    ``n_colours``, up to 256, takes the nearest of so many colours: files of large charts get a third of
    the size.
    """
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{name}.part"
    figure.savefig(partial, format="png", dpi=dpi)
    if n_colours is not None:
        with Image.open(partial) as drawn:
            few = drawn.convert("RGB").quantize(n_colours, dither=Image.Dither.NONE)
        few.save(partial, format="png", optimize=True)
    os.replace(partial, folder / f"{name}.png")


def save_results(figure, results, folder, name, dpi=DOTS_PER_INCH, n_colours=None):
    """Write ``name.png`` and ``name.json``, and print where they are."""
    save_figure(figure, folder, name, dpi, n_colours)
    partial = folder / f"{name}.part"
    partial.write_text(json.dumps(results, indent=1))
    os.replace(partial, folder / f"{name}.json")
    print(f"figure:  {folder / name}.png\nresults: {folder / name}.json")
