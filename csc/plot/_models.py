"""Pictures of dictionaries, learners and solutions."""

from typing import Any

import numpy as np

from csc.plot._axes import ATOMS, NULL, axes_of, check
from csc.sheet import tile
from csc.types import Array, Axes


def dictionary(
    atoms: Array, ax: Axes | None = None, *, n_columns: int | None = None, gap: int = 1
) -> Axes:
    """Show 2-D atoms as a sheet, each scaled to its own largest modulus; zero is mid-grey.

    Parameters
    ----------
    atoms : array (K, 1, h, w) or (K, 3, h, w)
        Grey or RGB atoms.
    ax : matplotlib axes, optional
        Where to draw; None makes a figure.
    n_columns : int, optional
        None makes the sheet about square.
    gap : int
        Pixels between atoms.

    Returns
    -------
    ax

    Examples
    --------
    >>> import numpy as np, csc
    >>> atoms = np.random.default_rng(0).standard_normal((3, 1, 7, 7))
    >>> ax = csc.plot.dictionary(atoms)
    """
    sheet = tile(atoms, n_columns, gap)
    ax = axes_of(ax)
    ax.imshow(sheet, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
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
        raise ValueError(f"solution has no gaps to draw; its status is {solution.status!r}")
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


def health(report: Any, ax: Axes | None = None) -> Axes:
    """Draw every atom by how far it is off-centre and how much it is used; twins are joined.

    Dead atoms lie on the lower edge; right of the dotted line an atom leaves its window. Vermilion
    are the dead, the astray, and twins with the line between them.

    Parameters
    ----------
    report : csc.learn.health.Health
        What `DictionaryLearning.health` returns.
    ax : matplotlib axes, optional

    Returns
    -------
    ax

    Examples
    --------
    >>> import numpy as np, csc
    >>> X = np.random.default_rng(0).laplace(size=(60, 1, 8))
    >>> learner = csc.DictionaryLearning(5, (8,), lmbda=0.5, max_iter=2).fit(X)
    >>> ax = csc.plot.health(learner.health())
    """
    check("report", report, "share", "what a learner's health() returns")
    ax, used = axes_of(ax), report.share > 0
    low = report.share[used].min() / 3 if used.any() else 1e-6
    places = np.stack([report.drift, np.where(used, report.share, low)], axis=1)
    pairs = [(i, j) for i, j, _ in report.twins]
    for pair in pairs:
        ax.plot(*places[list(pair)].T, "-", color=NULL, lw=0.8, zorder=1)
    ill = np.unique([*report.dead, *report.astray, *np.ravel(pairs)]).astype(int)
    well = np.setdiff1d(np.arange(len(places)), ill)
    for which, colour in ((well, ATOMS), (ill, NULL)):
        ax.plot(*places[which].T, "o", ms=4, color=colour, alpha=0.8, mec="none", clip_on=False)
    ax.axvline(report.ASTRAY, color="0.5", lw=0.8, ls=":", zorder=0)
    ax.set(yscale="log", ylim=(low, 1), xlim=(0, max(0.5, places[:, 0].max())))
    ax.set(xlabel="centre of energy off the middle, in extents", ylabel="share of the energy")
    ax.set_title(
        f"{len(report.dead)} dead, {len(pairs)} pairs of twins, {len(report.astray)} astray"
    )
    return ax
