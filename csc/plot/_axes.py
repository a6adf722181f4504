"""Axes and colours of the plots."""

from importlib import import_module

# The palette of Okabe and Ito without yellow, which is hard to see on white.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#000000")
ATOMS_COLOUR, NULL_COLOUR = PALETTE[:2]


def axes_of(ax, *, polar=False):
    """Return ``ax``, or the axes of a new figure if it is None."""
    if ax is None:
        return matplotlib("pyplot").figure(layout="constrained").add_subplot(polar=polar)
    if not hasattr(ax, "set_axis_off"):
        raise TypeError(
            f"ax must be axes of matplotlib, such as figure.add_subplot(), got {type(ax).__name__}"
        )
    if polar and not hasattr(ax, "set_rlim"):
        raise TypeError("ax must be polar axes, such as figure.add_subplot(projection='polar')")
    return ax


def count_with_integers(axis):
    """Put the ticks of an axis that counts at integers only."""
    axis.set_major_locator(matplotlib("ticker").MaxNLocator("auto", integer=True))


def matplotlib(module):
    """Import a module of matplotlib; the error says how to install it."""
    try:
        return import_module(f"matplotlib.{module}")
    except ImportError as error:
        raise ImportError("csc.plot needs matplotlib: pip install 'mlcsc[demos]'") from error


def check_attribute(name, value, attribute, description):
    """Raise TypeError for a value without an attribute."""
    if not hasattr(value, attribute):
        raise TypeError(f"{name} must be {description}, got {type(value).__name__}")
