"""One set of filters: Gabor fits and measures of the filters and of two null models."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from csc._montage import COLOURS
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

MIN_RELATIVE_NORM = 1e-6  # of the largest norm; filters below are dead


@dataclass(frozen=True, eq=False, repr=False)
class FilterSet(AtomsReprMixin):
    """Filters, their null models and measures of both; see `describe_filters`.

    Parameters
    ----------
    name : str
    atoms : (K, C, h, w) array
        The filters, without dead ones.
    n_dead : int
        Number of dead filters that were removed: norm below 1e-6 of the largest.
    order : str
        Meaning of the channels, if the source states it: "RGB", "BGR", "grey" or "unknown".
    fit : GaborFit
        Fits of the filters.
    null_phase, null_noise : (K, C, h, w) arrays
        Null models: the filters with random phases, and noise in the same frequency band.
    fit_phase, fit_noise : GaborFit
        Fits of the null models.
    chromatic : (K,) array
        Share of each filter's energy outside its luminance.
    measures : dict of WithNulls
        Measures by the names that ``print`` shows.

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
        rows = [(name, *map(str, values)) for name, values in self.measures.items()]
        head = ("", "filters", "phase-scrambled", "band-pass noise")
        return f"{self.title()}\n{table([head, *rows])}\n{self.fit.caution}".rstrip()

    def title(self) -> str:
        """Return name, number and size of the filters in one line."""
        k, c, h, w = self.atoms.shape
        dead = f", {self.n_dead} dead ones left out" if self.n_dead else ""
        return f"{self.name}: {k} filters {h}x{w}, {c} channel{'s' * (c > 1)}{dead}"

    def display_atoms(self) -> np.ndarray:
        """Return the filters as images for `csc.plot.dictionary`, best Gabor fit first.

        BGR filters are turned to RGB; of more than three channels only the first is kept.
        """
        atoms = self.atoms[self.fit.r2.argsort()[::-1]]
        atoms = atoms[:, ::-1] if self.order == "BGR" else atoms
        return atoms if atoms.shape[1] <= max(COLOURS) else atoms[:, :1]

    def to_dict(self) -> dict[str, Any]:
        """Return the measures and the fit of every filter as JSON types; None stands for NaN."""
        return plain(
            {
                "name": self.name,
                "shape": self.atoms.shape,
                "n_dead": self.n_dead,
                "channels": self.order,
                "measures": {
                    name: {kind: value._asdict() for kind, value in values._asdict().items()}
                    for name, values in self.measures.items()
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
    """Fit Gabor functions to filters and two null models, and measure all three.

    Parameters
    ----------
    filters : (K, C, h, w) array, Dictionary, DictionaryLearning or FirstLayer
        2-D filters of at least 3 x 3 pixels; norms do not matter.
    name : str, optional
        Name in the output. Default: that of a `FirstLayer`, else "filters".
    n_bootstrap : int
        Number of resamples of the filters for each interval.
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
        If ``filters`` are not a float array.
    ValueError
        If they are not four-dimensional, are smaller than 3 x 3, contain NaN, or are all zero.

    Notes
    -----
    Coverage is the effective share of bins that the Gabor-like filters occupy: 8 bins of
    orientation, 7 octaves of frequency, 4 bins of phase from even to odd. It is the inverse of
    Simpson's index [1]_, corrected for the bias of small samples.

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
    alive = norms > MIN_RELATIVE_NORM * norms.max()
    low, high = frequency_band(atoms)  # raises if all filters are zero
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


class Source(NamedTuple):
    """Filters, their name, and the order of their channels ("unknown" if not stated)."""

    atoms: np.ndarray
    name: str
    order: str


def read(filters):
    """`Source` from an array, a dictionary, a learner, a first layer or a `FilterSet`."""
    if isinstance(filters, FilterSet):
        return Source(filters.atoms, filters.name, filters.order)
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
    name, order = getattr(filters, "name", "filters"), getattr(filters, "channels", "unknown")
    return Source(atoms, name, order)


def table(rows):
    """Format rows of cells as text with aligned columns."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
