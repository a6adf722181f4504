"""Where pictures are drawn, in which colours."""

from importlib import import_module

# Okabe and Ito's palette, yellow left out: it does not show on white.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#000000")
ATOMS, NULL = PALETTE[:2]


def axes_of(ax, **kwargs):
    """The axes, or those of a new figure."""
    if ax is not None:
        return ax
    plt = matplotlib("pyplot")
    return plt.figure(layout="constrained").add_subplot(**kwargs)


def matplotlib(module):
    """A module of matplotlib, imported now; without it, what to install."""
    try:
        return import_module(f"matplotlib.{module}")
    except ImportError as error:
        raise ImportError("csc.plot needs matplotlib: pip install 'mlcsc[demos]'") from error


def check(name, thing, attribute, what):
    """Refuse a thing without an attribute, in words."""
    if not hasattr(thing, attribute):
        raise TypeError(f"{name} must be {what}, got {type(thing).__name__}")
