"""Plots of dictionaries, learners and solutions."""

from math import ceil, sqrt
from numbers import Integral
from typing import Any

import numpy as np

from csc._montage import montage, scaled
from csc._typing import Axes
from csc._validation import check_count, check_floats
from csc.plot._axes import (
    ATOMS_COLOUR,
    NULL_COLOUR,
    PALETTE,
    axes_of,
    check_attribute,
    count_with_integers,
)

SERIES_NDIM = 3  # axes of (K, C, L)
SERIES_ASPECT = 4  # width divided by height of one series, for a montage that is about square
ROW_HEIGHT = 2.2  # of a series, whose curves lie in [-1, 1]


def dictionary(
    atoms: Any, ax: Axes | None = None, *, n_columns: int | None = None, gap: int = 1
) -> Axes:
    """Show all atoms, each scaled to its own largest modulus.

    Images and volumes are shown as a `montage`, with zero as mid-grey. A volume is the row of its
    slices along the first axis. One channel is grey, three are red, green and blue; for any other
    number each channel has its own montage. Series are curves on a grey line at zero, with one
    colour per channel.

    Parameters
    ----------
    atoms : array (K, C, *s), Dictionary or DictionaryLearning
        With one, two or three spatial axes.
    ax : matplotlib axes, optional
        Where to draw; None makes a new figure.
    n_columns : int, optional
        Atoms per row; None makes the montage about square.
    gap : int
        Pixels or samples between atoms.

    Returns
    -------
    ax

    Examples
    --------
    >>> import numpy as np, csc
    >>> rng = np.random.default_rng(0)
    >>> ax = csc.plot.dictionary(rng.standard_normal((3, 1, 7, 7)))
    >>> ax = csc.plot.dictionary(rng.standard_normal((3, 2, 20)))  # series of two channels
    """
    atoms = check_floats("atoms", atoms_of(atoms))
    if atoms.ndim == SERIES_NDIM:
        return _curves(atoms, axes_of(ax), n_columns, gap)
    image = montage(atoms, n_columns, gap)
    ax = axes_of(ax)
    ax.imshow(image, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    return ax


def atoms_of(atoms):
    """The atoms of a dictionary or a learner; an array is returned unchanged."""
    if hasattr(atoms, "fit"):
        check_attribute("atoms", atoms, "atoms_", "those of a fitted learner: learner.fit(X)")
        return atoms.atoms_
    return getattr(atoms, "atoms", atoms)


def _curves(atoms, ax, n_columns, gap):
    """Draw series in rows, one line per channel, with breaks between atoms."""
    n_atoms, _, length = atoms.shape
    gap = check_count("gap", gap, low=0)
    if n_columns is None:
        n_columns = ceil(sqrt(n_atoms / SERIES_ASPECT))
    columns = check_count("n_columns", n_columns)
    row, column = np.divmod(np.arange(n_atoms)[:, None], columns)
    x = column * (length + gap) + np.arange(length)
    broken = [(0, 0), (0, 1)]
    x, row = np.pad(x, broken, constant_values=0).ravel(), np.repeat(row, length + 1)
    zero = np.pad(np.zeros((n_atoms, length)), broken, constant_values=np.nan).ravel()
    ax.plot(x, zero - ROW_HEIGHT * row, color="0.8", lw=0.6)
    for c, channel in enumerate(np.moveaxis(scaled(atoms), 1, 0)):
        y = np.pad(channel, broken, constant_values=np.nan).ravel() - ROW_HEIGHT * row
        marker = "." if length == 1 else ""  # a single sample has no line
        ax.plot(x, y, marker=marker, color=PALETTE[c % len(PALETTE)], lw=1)
    ax.set_axis_off()
    return ax


def history(learner: Any, ax: Axes | None = None, **line_style: Any) -> Axes:
    """Plot the objective per signal against the number of signals that a learner has seen.

    Parameters
    ----------
    learner : DictionaryLearning
        A fitted learner.
    ax : matplotlib axes, optional
    **line_style
        Passed to ``ax.plot``.

    Returns
    -------
    ax

    Examples
    --------
    >>> import numpy as np, csc
    >>> X = np.random.default_rng(0).laplace(size=(60, 1, 8))
    >>> learner = csc.DictionaryLearning(5, (8,), lmbda=0.5, max_iter=2).fit(X)
    >>> ax = csc.plot.history(learner)
    """
    check_attribute("learner", learner, "history_", "a fitted learner: learner.fit(X)")
    ax = axes_of(ax)
    seen = [record.n_signals for record in learner.history_]
    objective = [record.objective for record in learner.history_]
    ax.plot(seen, objective, **({"color": ATOMS_COLOUR, "lw": 1} | line_style))
    ax.set(xscale="log", xlabel="signals seen", ylabel="objective per signal")
    return ax


def convergence(solution: Any, ax: Axes | None = None, **line_style: Any) -> Axes:
    """Plot the certified relative duality gap against seconds, one point per check.

    Parameters
    ----------
    solution : Solution
        Solution of a convex problem.
    ax : matplotlib axes, optional
    **line_style
        Passed to ``ax.loglog``.

    Returns
    -------
    ax

    Raises
    ------
    ValueError
        If the solution has no gap: the penalty is not convex, or the solve was interrupted.

    Examples
    --------
    >>> import numpy as np, csc
    >>> rng = np.random.default_rng(0)
    >>> x, atoms = rng.laplace(size=(1, 1, 50)), rng.standard_normal((3, 1, 5))
    >>> solution = csc.sparse_code(x, atoms, 1.0)
    >>> ax = csc.plot.convergence(solution)
    """
    check_attribute("solution", solution, "history", "what csc.solve returns")
    checks = [(p.seconds, p.gap / p.objective) for p in solution.history if p.objective]
    if not np.isfinite(checks).all() or not checks:
        raise ValueError(f"solution has no gaps to draw; it was {solution.message!r}")
    ax = axes_of(ax)
    ax.loglog(
        *zip(*checks, strict=True), "o-", **({"color": ATOMS_COLOUR, "lw": 1, "ms": 4} | line_style)
    )
    ax.set(xlabel="seconds", ylabel="certified relative gap")
    return ax


def codes(solution: Any, ax: Axes | None = None, *, layer: int = -1, signal: int = 0) -> Axes:
    """Plot the use of each atom: the sum of the moduli of its codes, in descending order.

    For 2-D signals, show where atoms are used: the largest modulus of all codes at each position.

    Parameters
    ----------
    solution : Solution
    ax : matplotlib axes, optional
    layer : int
        Layer of a multi-layer solution: an index of ``solution.codes``.
    signal : int
        Index of the signal.

    Returns
    -------
    ax

    Examples
    --------
    >>> import numpy as np, csc
    >>> rng = np.random.default_rng(0)
    >>> x, atoms = rng.laplace(size=(1, 1, 50)), rng.standard_normal((3, 1, 5))
    >>> solution = csc.sparse_code(x, atoms, 1.0)
    >>> ax = csc.plot.codes(solution)
    """
    check_attribute("solution", solution, "codes", "what csc.solve returns")
    layers = solution.codes if isinstance(solution.codes, list) else [solution.codes]
    z = layers[_check_index("layer", layer, layers)]
    _check_index("signal", signal, z)
    sizes, ax = abs(z[signal]), axes_of(ax)
    if sizes.ndim == 3 and min(sizes.shape[1:]) > 1:
        ax.imshow(sizes.max(axis=0), cmap="gray_r", interpolation="nearest")
        ax.set_axis_off()
        return ax
    uses = np.sort(sizes.reshape(len(sizes), -1).sum(axis=1))[::-1]
    ax.bar(np.arange(len(uses)), uses, color=ATOMS_COLOUR)
    count_with_integers(ax.xaxis)
    ax.set(xlabel="atoms, the most used first", ylabel="sum of |codes|")
    return ax


def _check_index(name, index, items):
    if not isinstance(index, Integral):
        raise TypeError(f"{name} must be an integer, got {index!r}")
    if not -len(items) <= index < len(items):
        raise IndexError(f"{name} must be an index of {len(items)}, from 0, got {index}")
    return index


def diagnostics(report: Any, ax: Axes | None = None) -> Axes:
    """Plot the use of each atom against its offset from the centre.

    Dead atoms lie on the lower edge. Atoms to the right of the dotted line are off-centre. Dead
    atoms, off-centre atoms and duplicates are vermilion; a line joins each pair of duplicates.

    Parameters
    ----------
    report : Diagnostics
        Result of `DictionaryLearning.diagnostics`.
    ax : matplotlib axes, optional

    Returns
    -------
    ax

    Examples
    --------
    >>> import numpy as np, csc
    >>> X = np.random.default_rng(0).laplace(size=(60, 1, 8))
    >>> learner = csc.DictionaryLearning(5, (8,), lmbda=0.5, max_iter=2).fit(X)
    >>> ax = csc.plot.diagnostics(learner.diagnostics())
    """
    check_attribute("report", report, "share", "the result of learner.diagnostics()")
    ax, used = axes_of(ax), report.share > 0
    low = report.share[used].min() / 3 if used.any() else 1e-6
    points = np.stack([report.drift, np.where(used, report.share, low)], axis=1)
    pairs = [(i, j) for i, j, _ in report.duplicates]
    for pair in pairs:
        ax.plot(*points[list(pair)].T, "-", color=NULL_COLOUR, lw=0.8, zorder=1)
    flagged = np.unique([*report.dead, *report.off_centre, *np.ravel(pairs)]).astype(int)
    others = np.setdiff1d(np.arange(len(points)), flagged)
    for which, colour in ((others, ATOMS_COLOUR), (flagged, NULL_COLOUR)):
        ax.plot(*points[which].T, "o", ms=4, color=colour, alpha=0.8, mec="none", clip_on=False)
    ax.axvline(report.MAX_DRIFT, color="0.5", lw=0.8, ls=":", zorder=0)
    ax.set(yscale="log", ylim=(low, 1), xlim=(0, max(0.5, points[:, 0].max())))
    ax.set(xlabel="offset of the centre of energy, in atom sizes", ylabel="share of the energy")
    ax.set_title(
        f"{len(report.dead)} dead, {len(pairs)} pairs of duplicates, "
        f"{len(report.off_centre)} off-centre"
    )
    return ax
