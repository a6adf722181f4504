"""Pictures: dictionaries, histories, receptive fields. Each draws on an axes and returns it.

matplotlib is imported when a picture is asked for; colours are safe for colour-blind eyes.
"""

from importlib import import_module
from typing import Any

import numpy as np

from csc.sheet import tile as tile
from csc.types import Array, Axes, Figure

# Okabe and Ito's palette, yellow left out: it does not show on white.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#000000")
ATOMS, NULL = PALETTE[:2]


def _axes(ax, **kwargs):
    if ax is not None:
        return ax
    plt = _matplotlib("pyplot")
    return plt.figure(layout="constrained").add_subplot(**kwargs)


def _matplotlib(module):
    try:
        return import_module(f"matplotlib.{module}")
    except ImportError as error:
        raise ImportError("csc.plot needs matplotlib: pip install 'mlcsc[demos]'") from error


def _check(name, thing, attribute, what):
    if not hasattr(thing, attribute):
        raise TypeError(f"{name} must be {what}, got {type(thing).__name__}")


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
    """
    sheet = tile(atoms, n_columns, gap)
    ax = _axes(ax)
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
    """
    _check("learner", learner, "history_", "a learner that has learned: learner.fit(X)")
    ax = _axes(ax)
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
    """
    _check("solution", solution, "history", "what csc.solve returns")
    checks = [(p.seconds, p.gap / p.objective) for p in solution.history if p.objective]
    if not np.isfinite(checks).all() or not checks:
        raise ValueError(f"solution has no gaps to draw; its status is {solution.status!r}")
    ax = _axes(ax)
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
    """
    _check("solution", solution, "codes", "what csc.solve returns")
    z = solution.codes[layer] if isinstance(solution.codes, list) else solution.codes
    sizes, ax = abs(z[signal]), _axes(ax)
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
    """
    _check("report", report, "share", "what a learner's health() returns")
    ax, used = _axes(ax), report.share > 0
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


def gabor_fits(atoms: Array, fit: Any, ax: Axes | None = None, *, n: int = 6) -> Axes:
    """Show the ``n`` best and ``n`` worst fits: atom, Gabor function, difference.

    Parameters
    ----------
    atoms : array (K, 1, h, w)
    fit : GaborFit
        Of these atoms.
    ax : matplotlib axes, optional
    n : int

    Returns
    -------
    ax
    """
    order = np.argsort(fit.r2)[::-1]
    n = min(n, len(order))
    chosen = np.concatenate([order[:n], order[len(order) - n :]])
    rendered = fit.render()[chosen, None]
    shown = atoms[chosen]
    rows = np.concatenate([shown, rendered, shown - rendered])
    scale = np.tile(abs(shown).max(axis=(1, 2, 3)), 3)  # one for the column: rests look small
    sheet = tile(rows, n_columns=len(chosen), scale=scale)
    ax = _axes(ax)
    ax.imshow(sheet, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    h, w = np.array(atoms.shape[2:]) + 1
    ax.set_xticks(w * (np.arange(len(chosen)) + 0.5), [f"{r:.2f}" for r in fit.r2[chosen]])
    ax.set_yticks(h * (np.arange(3) + 0.5), ["atom", "Gabor", "rest"])
    ax.tick_params(length=0, labelsize=7)
    ax.set_xlabel("R² of the best and the worst fits")
    return ax


def receptive_field_shapes(fit: Any, ax: Axes | None = None) -> Axes:
    """Draw (n_x, n_y) of the Gabor-like atoms over the macaque cells of Ringach (2002).

    Atoms beyond the frame, such as edges that fit a wave of hardly any frequency, are drawn on it.

    Parameters
    ----------
    fit : GaborFit
    ax : matplotlib axes, optional

    Returns
    -------
    ax
    """
    from csc.receptive_fields import MACAQUE, MACAQUE_EDGES

    ax, like = _axes(ax), fit[fit.gabor_like]
    cells = ax.pcolormesh(MACAQUE_EDGES, MACAQUE_EDGES, MACAQUE, cmap="Greys", alpha=0.7)
    ax.figure.colorbar(cells, ax=ax, label="macaque cells", shrink=0.8)
    low, high = 0.05, 3
    ax.plot(
        like.n_y.clip(low, high),
        like.n_x.clip(low, high),
        "o",
        clip_on=False,
        ms=3,
        color=ATOMS,
        alpha=0.7,
        mec="none",
    )
    ax.set(xscale="log", yscale="log", xlabel="$n_y$ (along the bars)", xlim=(low, high))
    ax.set(ylabel="$n_x$ (across the bars)", ylim=(low, high), aspect="equal")
    return ax


def orientation_frequency(fit: Any, ax: Axes | None = None) -> Axes:
    """Draw the Gabor-like atoms by orientation (angle) and frequency (radius), both half-planes.

    Parameters
    ----------
    fit : GaborFit
    ax : polar matplotlib axes, optional

    Returns
    -------
    ax
    """
    ax, like = _axes(ax, projection="polar"), fit[fit.gabor_like]
    for half_turn in (0, np.pi):
        ax.plot(like.orientation + half_turn, like.frequency, "o", ms=3, color=ATOMS, alpha=0.7)
    ax.set_rlim(0, 0.5)
    ax.set_yticks([0.1, 0.3, 0.5], ["0.1", "0.3", "0.5 c/pixel"])
    ax.tick_params(labelsize=7)
    return ax


def fit_quality(report: Any, ax: Axes | None = None) -> Axes:
    """Draw the share of atoms, and of both null models, whose R² is at least a level.

    Parameters
    ----------
    report : csc.receptive_fields.Report
    ax : matplotlib axes, optional

    Returns
    -------
    ax
    """
    ax = _axes(ax)
    lines = [
        (report.fit, "learned atoms", ATOMS, "-"),
        (report.null_phase, "phase-scrambled", NULL, "--"),
        (report.null_noise, "band-pass noise", NULL, ":"),
    ]
    for fit, label, colour, style in lines:
        share = np.arange(len(fit), 0, -1) / len(fit)
        ax.step(np.sort(fit.r2), share, style, color=colour, label=label, where="pre")
    ax.axvline(0.8, color="0.7", lw=0.8, zorder=0)
    ax.set(xlabel="R² of the Gabor fit", ylabel="share at least as good", xlim=(0, 1), ylim=(0, 1))
    ax.legend(fontsize=7, loc="lower left")
    return ax


SETS = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#888888"


def filter_sets(sets: Any, figure: Figure | None = None, *, sheets: bool = True) -> Figure:
    """Draw sets of filters and the distributions of their Gabor fits, one colour a set.

    Parameters
    ----------
    sets : list of FilterSet
        Of `csc.describe_filters`; three-channel ones are shown as red, green and blue.
    figure : matplotlib figure, optional
        Where to draw; None makes one.
    sheets : bool
        Whether to show the filters themselves above the distributions.

    Returns
    -------
    figure
    """
    if figure is None:
        figure = _matplotlib("figure").Figure(
            figsize=(14, 11 if sheets else 7.5), layout="constrained"
        )
    if sheets:
        above, figure_below = figure.subfigures(2, 1, height_ratios=[1, 1.6])
        for described, ax in zip(sets, above.subplots(1, len(sets), squeeze=False)[0], strict=True):
            dictionary(shown(described), ax)
            ax.set_title(described.title(), fontsize=9)
    else:
        figure_below = figure
    axes = [figure_below.add_subplot(2, 3, i) for i in range(1, 6)]
    polar = figure_below.add_subplot(2, 3, 6, projection="polar")
    for described, colour in zip(sets, SETS * len(sets), strict=False):
        _distributions(described, colour, axes)
        like = described.fit[described.fit.gabor_like]
        for half_turn in (0, np.pi):
            polar.plot(like.orientation + half_turn, like.frequency, "o", ms=2.5, color=colour)
    polar.set_rlim(0, 0.5)
    polar.set_yticks([0.1, 0.3, 0.5], ["0.1", "0.3", "0.5 c/pixel"], fontsize=7)
    axes[0].set(
        xlabel="R² of the Gabor fit (thin: phase-scrambled)", ylabel="share at least as good"
    )
    axes[0].legend(fontsize=7, loc="lower left")
    for ax, (_, label) in zip(axes[1:4], _COLUMNS, strict=True):
        ax.set(xlabel=label, ylabel="share at most as large", ylim=(0, 1))
    axes[4].set(
        xscale="log", yscale="log", xlabel="$n_y$ (along the bars)", ylabel="$n_x$ (across)"
    )
    return figure


_COLUMNS = [
    (lambda fit: np.log2(fit.frequency), "frequency, log2 of cycles/pixel"),
    (lambda fit: fit.bandwidth[np.isfinite(fit.bandwidth)], "bandwidth, octaves (finite ones)"),
    (lambda fit: np.degrees(fit.parity), "phase, from even (0) to odd (90)"),
]


def shown(described: Any) -> Array:
    """Filters as a sheet shows them, best Gabor fit first, red before blue where that is known."""
    atoms = described.atoms[described.fit.r2.argsort()[::-1]]
    atoms = atoms[:, ::-1] if described.order == "BGR" else atoms
    return atoms if atoms.shape[1] in (1, 3) else atoms[:, :1]


def _distributions(described, colour, axes):
    """One line a set on the first four axes, a dot a filter on the fifth."""
    for fit, width in ((described.fit, 1.6), (described.fit_phase, 0.6)):
        share = np.arange(len(fit), 0, -1) / len(fit)
        label = described.name if fit is described.fit else None
        axes[0].step(np.sort(fit.r2), share, color=colour, lw=width, label=label)
    like = described.fit[described.fit.gabor_like]
    for ax, (column, _) in zip(axes[1:4], _COLUMNS, strict=True):
        values = np.sort(column(like))
        ax.step(values, (np.arange(len(values)) + 1) / max(1, len(values)), color=colour, lw=1.6)
    axes[4].plot(like.n_y.clip(0.05, 3), like.n_x.clip(0.05, 3), "o", ms=3, color=colour, alpha=0.6)
