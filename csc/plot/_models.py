"""Pictures of dictionaries, learners and solutions."""

from math import ceil, sqrt
from typing import Any

import numpy as np

from csc._montage import montage, scaled
from csc._typing import Axes
from csc._validation import check_count, check_floats
from csc.plot._axes import ATOMS, NULL, PALETTE, axes_of, check

SERIES = 3  # axes of (K, C, L)
LONG = 4  # times its height, where a series fills a square with others
HEIGHT = 2.2  # of the row of a series, whose curves lie in [-1, 1]


def dictionary(
    atoms: Any, ax: Axes | None = None, *, n_columns: int | None = None, gap: int = 1
) -> Axes:
    """Show atoms side by side, each scaled to its own largest modulus.

    Pictures and volumes are a sheet, zero is mid-grey. A volume is the row of its slices along the
    first axis. One channel is grey, three are red, green and blue; of any other number each channel
    has a sheet of its own (see `montage`). Series are curves on a grey line at zero, a colour a
    channel.

    Parameters
    ----------
    atoms : array (K, C, *s), Dictionary or DictionaryLearning
        With one, two or three spatial axes.
    ax : matplotlib axes, optional
        Where to draw; None makes a figure.
    n_columns : int, optional
        Atoms in a row; None makes a sheet about square, and rows of series four times as long as
        high.
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
    atoms = check_floats("atoms", _held(atoms))
    if atoms.ndim == SERIES:
        return _curves(atoms, axes_of(ax), n_columns, gap)
    sheet = montage(atoms, n_columns, gap)
    ax = axes_of(ax)
    ax.imshow(sheet, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    return ax


def _held(atoms):
    """The atoms of a dictionary or a learner; an array itself."""
    if hasattr(atoms, "fit"):
        check("atoms", atoms, "atoms_", "those of a learner that has learned: learner.fit(X)")
        return atoms.atoms_
    return getattr(atoms, "atoms", atoms)


def _curves(atoms, ax, n_columns, gap):
    """Series side by side, one line a channel, broken between atoms."""
    n_atoms, _, length = atoms.shape
    gap = check_count("gap", gap, low=0)
    wanted = ceil(sqrt(n_atoms / LONG)) if n_columns is None else n_columns
    columns = check_count("n_columns", wanted)
    row, column = np.divmod(np.arange(n_atoms)[:, None], columns)
    x = column * (length + gap) + np.arange(length)
    broken = [(0, 0), (0, 1)]
    x, row = np.pad(x, broken, constant_values=0).ravel(), np.repeat(row, length + 1)
    zero = np.pad(np.zeros((n_atoms, length)), broken, constant_values=np.nan).ravel()
    ax.plot(x, zero - HEIGHT * row, color="0.8", lw=0.6)
    for c, channel in enumerate(np.moveaxis(scaled(atoms), 1, 0)):
        y = np.pad(channel, broken, constant_values=np.nan).ravel() - HEIGHT * row
        marker = "." if length == 1 else ""  # one sample makes no line
        ax.plot(x, y, marker=marker, color=PALETTE[c % len(PALETTE)], lw=1)
    ax.set_axis_off()
    return ax


def history(learner: Any, ax: Axes | None = None, **line_style: Any) -> Axes:
    """Draw the objective per signal against the signals that a learner has seen.

    Parameters
    ----------
    learner : DictionaryLearning
        A fitted one.
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
    check("learner", learner, "history_", "a learner that has learned: learner.fit(X)")
    ax = axes_of(ax)
    seen = [line.n_signals for line in learner.history_]
    objective = [line.objective for line in learner.history_]
    ax.plot(seen, objective, **({"color": ATOMS, "lw": 1} | line_style))
    ax.set(xscale="log", xlabel="signals seen", ylabel="objective per signal")
    return ax


def convergence(solution: Any, ax: Axes | None = None, **line_style: Any) -> Axes:
    """Draw the certified relative gap against seconds, a point a check.

    Parameters
    ----------
    solution : Solution
        Of a convex problem.
    ax : matplotlib axes, optional
    **line_style
        Passed to ``ax.loglog``.

    Returns
    -------
    ax

    Raises
    ------
    ValueError
        If there is no gap to draw: the penalty is not convex, or the solve was interrupted.

    Examples
    --------
    >>> import numpy as np, csc
    >>> rng = np.random.default_rng(0)
    >>> x, atoms = rng.laplace(size=(1, 1, 50)), rng.standard_normal((3, 1, 5))
    >>> solution = csc.sparse_code(x, atoms, 1.0)
    >>> ax = csc.plot.convergence(solution)
    """
    check("solution", solution, "history", "what csc.solve returns")
    checks = [(p.seconds, p.gap / p.objective) for p in solution.history if p.objective]
    if not np.isfinite(checks).all() or not checks:
        raise ValueError(f"solution has no gaps to draw; it was {solution.message!r}")
    ax = axes_of(ax)
    ax.loglog(*zip(*checks, strict=True), "o-", **({"color": ATOMS, "lw": 1, "ms": 4} | line_style))
    ax.set(xlabel="seconds", ylabel="certified relative gap")
    return ax


def codes(solution: Any, ax: Axes | None = None, *, layer: int = -1, signal: int = 0) -> Axes:
    """Draw how much each atom is used: the sum of its codes' moduli, the largest first.

    Of 2-D signals, show where: the largest modulus of all codes at each position.

    Parameters
    ----------
    solution : Solution
    ax : matplotlib axes, optional
    layer : int
        Of a multi-layer solution; as an index of ``solution.codes``.
    signal : int
        Which of the signals.

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
    check("solution", solution, "codes", "what csc.solve returns")
    z = solution.codes[layer] if isinstance(solution.codes, list) else solution.codes
    sizes, ax = abs(z[signal]), axes_of(ax)
    if sizes.ndim == 3 and min(sizes.shape[1:]) > 1:  # noqa: PLR2004  atoms, rows, columns
        ax.imshow(sizes.max(axis=0), cmap="gray_r", interpolation="nearest")
        ax.set_axis_off()
        return ax
    uses = np.sort(sizes.reshape(len(sizes), -1).sum(axis=1))[::-1]
    ax.bar(np.arange(len(uses)), uses, color=ATOMS)
    ax.set(xlabel="atoms, the most used first", ylabel="sum of |codes|")
    return ax


def diagnostics(report: Any, ax: Axes | None = None) -> Axes:
    """Draw every atom by how far it is off-centre and how much it is used; duplicates are joined.

    Dead atoms lie on the lower edge; right of the dotted line an atom leaves its window. Vermilion
    are dead and off-centre atoms, and duplicates with the line between them.

    Parameters
    ----------
    report : Diagnostics
        What `DictionaryLearning.diagnostics` returns.
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
    check("report", report, "share", "what a learner's diagnostics() returns")
    ax, used = axes_of(ax), report.share > 0
    low = report.share[used].min() / 3 if used.any() else 1e-6
    places = np.stack([report.drift, np.where(used, report.share, low)], axis=1)
    pairs = [(i, j) for i, j, _ in report.duplicates]
    for pair in pairs:
        ax.plot(*places[list(pair)].T, "-", color=NULL, lw=0.8, zorder=1)
    ill = np.unique([*report.dead, *report.off_centre, *np.ravel(pairs)]).astype(int)
    well = np.setdiff1d(np.arange(len(places)), ill)
    for which, colour in ((well, ATOMS), (ill, NULL)):
        ax.plot(*places[which].T, "o", ms=4, color=colour, alpha=0.8, mec="none", clip_on=False)
    ax.axvline(report.MAX_DRIFT, color="0.5", lw=0.8, ls=":", zorder=0)
    ax.set(yscale="log", ylim=(low, 1), xlim=(0, max(0.5, places[:, 0].max())))
    ax.set(xlabel="centre of energy off the middle, in extents", ylabel="share of the energy")
    ax.set_title(
        f"{len(report.dead)} dead, {len(pairs)} pairs of duplicates, "
        f"{len(report.off_centre)} off-centre"
    )
    return ax
