"""One set of filters: its Gabor fits and null models, and what is measured of all three."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from csc._repr_html import AtomsReprMixin
from csc._typing import Rng
from csc._validation import check_count, check_floats
from csc.analysis.comparison._measures import WithNulls, chromatic_share, measure
from csc.analysis.receptive_fields import (
    GaborFit,
    band_pass_noise,
    fit_gabor,
    frequency_band,
    phase_scrambled,
)
from csc.analysis.receptive_fields._json import plain

DEAD = 1e-6  # of the largest norm


@dataclass(frozen=True, eq=False, repr=False)
class FilterSet(AtomsReprMixin):
    """Filters, their null models, and measures of all; see `describe_filters`.

    Parameters
    ----------
    name : str
    atoms : (K, C, h, w) array
        Without the dead ones.
    n_dead : int
        Filters left out: their norm is below 1e-6 of the largest.
    order : str
        What the channels are, where the source says it: "RGB", "BGR", "grey" or "unknown".
    fit : GaborFit
    null_phase, null_noise : (K, C, h, w) arrays
        The same with random phases, and noise in the same frequency band.
    fit_phase, fit_noise : GaborFit
    chromatic : (K,) array
        Part of each filter's energy that is not alike in all channels.
    measures : dict of WithNulls
        By the names that ``print`` shows.

    Examples
    --------
    >>> import numpy as np, csc
    >>> atoms = np.random.default_rng(0).standard_normal((3, 1, 7, 7))
    >>> filters = csc.analysis.describe_filters(atoms, name="noise", rng=0, n_bootstrap=100)
    >>> filters.name, filters.atoms.shape
    ('noise', (3, 1, 7, 7))
    """

    name: str
    atoms: np.ndarray
    n_dead: int
    order: str
    fit: GaborFit
    null_phase: np.ndarray
    null_noise: np.ndarray
    fit_phase: GaborFit
    fit_noise: GaborFit
    chromatic: np.ndarray
    measures: dict

    def __len__(self) -> int:
        return len(self.atoms)

    def __repr__(self):
        rows = [(name, *map(str, beside)) for name, beside in self.measures.items()]
        head = ("", "filters", "phase-scrambled", "band-pass noise")
        return f"{self.title()}\n{table([head, *rows])}\n{self.fit.caution}".rstrip()

    def title(self) -> str:
        """Name, number and size."""
        k, c, h, w = self.atoms.shape
        dead = f", {self.n_dead} dead ones left out" if self.n_dead else ""
        return f"{self.name}: {k} filters {h}x{w}, {c} channel{'s' * (c > 1)}{dead}"

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: measures, and the fit of every filter; None for NaN."""
        return plain(
            {
                "name": self.name,
                "shape": self.atoms.shape,
                "n_dead": self.n_dead,
                "channels": self.order,
                "measures": {
                    name: {kind: value._asdict() for kind, value in beside._asdict().items()}
                    for name, beside in self.measures.items()
                },
                "chromatic": self.chromatic,
                "fit": self.fit.to_dict(),
            }
        )


def describe_filters(
    filters: Any,
    *,
    name: str | None = None,
    n_bootstrap: int = 1000,
    rng: Rng = None,
    verbose: bool = False,
) -> FilterSet:
    """Fit filters and their null models, and measure all three.

    Parameters
    ----------
    filters : (K, C, h, w) array, Dictionary, DictionaryLearning or FirstLayer
        2-D filters of at least 3 x 3 pixels; norms do not matter.
    name : str, optional
        By default that of a `FirstLayer`, else "filters".
    n_bootstrap : int
        Resamples of the filters behind each interval.
    rng : numpy.random.Generator or seed, optional
    verbose : bool
        Show a progress bar for each of the three fits.

    Returns
    -------
    FilterSet
        ``print(described)`` shows the measures side by side.

    Raises
    ------
    TypeError
        If ``filters`` are no float array.
    ValueError
        If they are not four-dimensional, smaller than 3 x 3, hold NaN, or are all zero.

    Notes
    -----
    Coverages are the effective part of bins of orientation (8), of octaves of frequency (7) and of
    even to odd phases (4) that the Gabor-like filters use: the inverse of Simpson's index [1]_,
    freed of the bias of small samples.

    References
    ----------
    .. [1] E. H. Simpson, "Measurement of diversity", Nature 163, 1949.

    Examples
    --------
    >>> import numpy as np, csc
    >>> row, column = np.indices((12, 12)) - 5.5
    >>> even = np.exp(-(row**2 + column**2) / 8) * np.cos(2 * np.pi * column / 4)
    >>> described = csc.analysis.describe_filters(np.stack([even, even.T])[:, None], name="two", rng=0)
    >>> print(described.measures["frequency, median (c/pixel)"].atoms)
    0.25 [0.25, 0.25]
    """
    check_count("n_bootstrap", n_bootstrap)
    atoms, found, order = read(filters)
    norms = np.sqrt((atoms.astype("float64") ** 2).sum(axis=(1, 2, 3)))
    alive = norms > DEAD * norms.max()
    low, high = frequency_band(atoms)  # refuses what is all zero
    atoms, rng = atoms[alive], np.random.default_rng(rng)
    kinds = (
        atoms,
        phase_scrambled(atoms, rng),
        band_pass_noise(len(atoms), atoms.shape[1:], rng, low=low, high=high),
    )
    fits = [fit_gabor(kind, verbose=verbose) for kind in kinds]
    colours = [chromatic_share(kind) for kind in kinds]
    measured = [measure(f, c, n_bootstrap, rng) for f, c in zip(fits, colours, strict=True)]
    return FilterSet(
        name=found if name is None else name,
        atoms=atoms,
        n_dead=int((~alive).sum()),
        order=order,
        fit=fits[0],
        null_phase=kinds[1],
        null_noise=kinds[2],
        fit_phase=fits[1],
        fit_noise=fits[2],
        chromatic=colours[0],
        measures={key: WithNulls(*(found[key] for found in measured)) for key in measured[0]},
    )


def read(filters):
    """Array, name and order of channels of whatever holds filters."""
    if isinstance(filters, FilterSet):
        return filters.atoms, filters.name, filters.order
    for attribute in ("weights", "atoms_", "atoms"):
        if hasattr(filters, attribute):
            atoms = getattr(filters, attribute)
            break
    else:
        atoms = filters
    atoms = check_floats("filters", atoms)
    if atoms.ndim != 4:
        raise ValueError(
            f"filters must be (K, C, h, w), got shape {atoms.shape}; single-channel ones "
            "(K, h, w) need an axis for it, filters[:, None]"
        )
    return atoms, getattr(filters, "name", "filters"), getattr(filters, "channels", "unknown")


def table(rows):
    """Rows of text, columns in line."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
