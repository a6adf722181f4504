"""Plots of receptive fields: Gabor fits, their statistics, sets of filters."""

from typing import Any

import numpy as np

from csc._montage import montage
from csc._typing import Array, Axes, Figure
from csc._validation import check_count
from csc.analysis.receptive_fields import check_images, unit_planes
from csc.plot._axes import ATOMS_COLOUR, NULL_COLOUR, axes_of, check_attribute, matplotlib
from csc.plot._models import dictionary


def gabor_fits(atoms: Array, fit: Any, ax: Axes | None = None, *, n: int = 6) -> Axes:
    """Show the ``n`` best and ``n`` worst fits: atom, Gabor function, difference.

    Parameters
    ----------
    atoms : array (K, C, h, w)
        For several channels the fitted image is shown, see `fit_gabor`.
    fit : GaborFit
        Fits of these atoms.
    ax : matplotlib axes, optional
    n : int
        Number of best fits, and of worst fits.

    Returns
    -------
    ax

    Examples
    --------
    >>> import numpy as np, csc
    >>> atoms = np.random.default_rng(0).standard_normal((3, 1, 7, 7))
    >>> fit = csc.analysis.receptive_fields.fit_gabor(atoms, n_starts=1)
    >>> ax = csc.plot.gabor_fits(atoms, fit, n=1)
    """
    _check_fit(fit)
    order, planes = np.argsort(fit.r2)[::-1], _fitted_images(atoms, fit)
    n = min(check_count("n", n), len(order))
    chosen = np.concatenate([order[:n], order[len(order) - n :]])
    rendered = fit.render()[chosen, None]
    shown = planes[chosen]
    rows = np.concatenate([shown, rendered, shown - rendered])
    scale = np.tile(abs(shown).max(axis=(1, 2, 3)), 3)  # one scale per column: residuals look small
    sheet = montage(rows, n_columns=len(chosen), scale=scale)
    ax = axes_of(ax)
    ax.imshow(sheet, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    h, w = np.array(fit.shape) + 1
    ax.set_xticks(w * (np.arange(len(chosen)) + 0.5), [f"{r:.2f}" for r in fit.r2[chosen]])
    ax.set_yticks(h * (np.arange(3) + 0.5), ["atom", "Gabor", "residual"])
    ax.tick_params(length=0, labelsize=7)
    ax.set_xlabel("R² of the best and the worst fits")
    _show_caution(ax, fit.caution)
    return ax


def _check_fit(fit):
    check_attribute(
        "fit", fit, "gabor_like", "what csc.analysis.receptive_fields.fit_gabor returns"
    )


def _fitted_images(atoms, fit):
    """The images to which Gabor functions were fitted, ``(K, 1, h, w)``."""
    atoms = check_images(atoms)
    if (len(atoms), *atoms.shape[2:]) != (len(fit), *fit.shape):
        raise ValueError(
            f"fit must be of these atoms, got a fit of {len(fit)} atoms {fit.shape} "
            f"and atoms of shape {atoms.shape}"
        )
    if atoms.shape[1] == 1:
        return atoms
    planes, norms, _ = unit_planes(atoms)
    return planes[:, None] * norms[:, None, None, None]


def receptive_field_shapes(fit: Any, ax: Axes | None = None) -> Axes:
    """Plot (n_x, n_y) of the Gabor-like atoms over the macaque cells of Ringach (2002).

    Atoms outside the axes, such as blobs without flanks, are drawn on the border.

    Parameters
    ----------
    fit : GaborFit
    ax : matplotlib axes, optional

    Returns
    -------
    ax

    Examples
    --------
    >>> import numpy as np, csc
    >>> atoms = np.random.default_rng(0).standard_normal((3, 1, 7, 7))
    >>> fit = csc.analysis.receptive_fields.fit_gabor(atoms, n_starts=1)
    >>> ax = csc.plot.receptive_field_shapes(fit)
    """
    from csc.analysis.receptive_fields import MACAQUE, MACAQUE_EDGES

    _check_fit(fit)
    ax, like = axes_of(ax), fit[fit.gabor_like]
    cells = ax.pcolormesh(MACAQUE_EDGES, MACAQUE_EDGES, MACAQUE, cmap="Greys", alpha=0.7)
    ax.figure.colorbar(cells, ax=ax, label="macaque cells", shrink=0.8)
    low, high = 0.05, 3
    ax.plot(
        like.n_y.clip(low, high),
        like.n_x.clip(low, high),
        "o",
        clip_on=False,
        ms=3,
        color=ATOMS_COLOUR,
        alpha=0.7,
        mec="none",
    )
    ax.set(xscale="log", yscale="log", xlabel="$n_y$ (along the bars)", xlim=(low, high))
    ax.set(ylabel="$n_x$ (across the bars)", ylim=(low, high), aspect="equal")
    return ax


def orientation_frequency(fit: Any, ax: Axes | None = None) -> Axes:
    """Draw the Gabor-like atoms by orientation (angle) and peak frequency (radius).

    Parameters
    ----------
    fit : GaborFit
    ax : polar matplotlib axes, optional

    Returns
    -------
    ax

    Examples
    --------
    >>> import numpy as np, csc
    >>> atoms = np.random.default_rng(0).standard_normal((3, 1, 7, 7))
    >>> fit = csc.analysis.receptive_fields.fit_gabor(atoms, n_starts=1)
    >>> ax = csc.plot.orientation_frequency(fit)
    """
    _check_fit(fit)
    ax, like = axes_of(ax, polar=True), fit[fit.gabor_like]
    for half_turn in (0, np.pi):
        ax.plot(
            like.orientation + half_turn,
            like.peak_frequency,
            "o",
            ms=3,
            color=ATOMS_COLOUR,
            alpha=0.7,
        )
    ax.set_rlim(0, 0.5)
    ax.set_yticks([0.1, 0.3, 0.5], ["0.1", "0.3", "0.5 c/pixel"])
    ax.tick_params(labelsize=7)
    return ax


def fit_quality(report: Any, ax: Axes | None = None) -> Axes:
    """Plot the share of atoms, and of both null models, whose R² reaches each level.

    Parameters
    ----------
    report : csc.analysis.receptive_fields.Report
    ax : matplotlib axes, optional

    Returns
    -------
    ax

    Examples
    --------
    >>> import numpy as np, csc
    >>> atoms = np.random.default_rng(0).standard_normal((3, 1, 7, 7))
    >>> ax = csc.plot.fit_quality(csc.analysis.receptive_fields.analyse(atoms, rng=0))
    """
    check_attribute(
        "report", report, "macaque", "what csc.analysis.receptive_fields.analyse returns"
    )
    ax = axes_of(ax)
    lines = [
        (report.fit, "learned atoms", ATOMS_COLOUR, "-"),
        (report.null_phase, "phase-scrambled", NULL_COLOUR, "--"),
        (report.null_noise, "band-pass noise", NULL_COLOUR, ":"),
    ]
    for fit, label, colour, style in lines:
        share = np.arange(len(fit), 0, -1) / len(fit)
        ax.step(np.sort(fit.r2), share, style, color=colour, label=label, where="pre")
    ax.axvline(0.8, color="0.7", lw=0.8, zorder=0)
    ax.set(xlabel="R² of the Gabor fit", ylabel="share at least as good", xlim=(0, 1), ylim=(0, 1))
    ax.legend(fontsize=7, loc="lower left")
    _show_caution(ax, report.fit.caution)
    return ax


SET_COLOURS = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#888888"


def filter_sets(sets: Any, figure: Figure | None = None, *, montages: bool = True) -> Figure:
    """Plot sets of filters and the distributions of their Gabor fits, one colour per set.

    Parameters
    ----------
    sets : list of FilterSet
        Results of `csc.analysis.describe_filters`; three channels are shown as red, green, blue.
    figure : matplotlib figure, optional
        Where to draw; None makes a new figure.
    montages : bool
        Whether to show the filters above the distributions.

    Returns
    -------
    figure

    Examples
    --------
    >>> import numpy as np, csc
    >>> atoms = np.random.default_rng(0).standard_normal((3, 1, 7, 7))
    >>> filters = csc.analysis.describe_filters(atoms, name="noise", rng=0, n_bootstrap=100)
    >>> figure = csc.plot.filter_sets([filters])
    """
    if not isinstance(sets, list | tuple) or not sets:
        raise TypeError(f"sets must be a list of FilterSet, got {sets!r}")
    for i, described in enumerate(sets):
        check_attribute(f"sets[{i}]", described, "display_atoms", "a FilterSet of describe_filters")
    if figure is None:
        figure = matplotlib("figure").Figure(
            figsize=(14, 11 if montages else 7.5), layout="constrained"
        )
    if montages:
        above, figure_below = figure.subfigures(2, 1, height_ratios=[1, 1.6])
        for described, ax in zip(sets, above.subplots(1, len(sets), squeeze=False)[0], strict=True):
            dictionary(described.display_atoms(), ax)
            ax.set_title(described.title(), fontsize=9)
    else:
        figure_below = figure
    axes = [figure_below.add_subplot(2, 3, i) for i in range(1, 6)]
    polar = figure_below.add_subplot(2, 3, 6, projection="polar")
    for described, colour in zip(sets, SET_COLOURS * len(sets), strict=False):
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


def _show_caution(ax, caution):
    """Show a caution, if there is one, as a title of two lines."""
    if caution:
        ax.set_title(caution.replace(", ", ",\n", 1), fontsize=7)


def _distributions(described, colour, axes):
    """Draw one set: a line on each of the first four axes, a dot per filter on the fifth."""
    for fit, width in ((described.fit, 1.6), (described.fit_phase, 0.6)):
        share = np.arange(len(fit), 0, -1) / len(fit)
        label = described.name + " (too few pixels)" * bool(fit.caution)
        label = label if fit is described.fit else None
        axes[0].step(np.sort(fit.r2), share, color=colour, lw=width, label=label)
    like = described.fit[described.fit.gabor_like]
    for ax, (column, _) in zip(axes[1:4], _COLUMNS, strict=True):
        values = np.sort(column(like))
        ax.step(values, (np.arange(len(values)) + 1) / max(1, len(values)), color=colour, lw=1.6)
    axes[4].plot(like.n_y.clip(0.05, 3), like.n_x.clip(0.05, 3), "o", ms=3, color=colour, alpha=0.6)
