"""Compare two sets of filters: distances of Gabor fits, overlap of spans, best pairs."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from csc._backend import one_blas_thread
from csc._repr_html import card
from csc._typing import Rng
from csc._validation import check_choice, check_count
from csc.analysis._matching import (
    COLOUR_CHOICES,
    Match,
    comparable_atoms,
    match_dictionaries,
)
from csc.analysis.comparison._distances import distances
from csc.analysis.comparison._filters import FilterSet, describe_filters, read, table
from csc.analysis.comparison._measures import WithNulls, estimate
from csc.analysis.receptive_fields._json import plain

SPAN_ENERGY = 0.9  # share of the energy of unit-norm filters that a span holds
MAX_SPAN_RESAMPLES = 100  # each takes two eigenvalue problems


class Dimensions(NamedTuple):
    """Dimensions of the spans of a and b, and of the space that contains them."""

    a: int
    b: int
    space: int


class Overlap(NamedTuple):
    """Overlap of the spans of two sets of filters.

    A span is the smallest leading principal subspace that holds 90 % of the energy of the filters,
    each of unit norm. (All filters of an overcomplete dictionary span the whole space.)

    Attributes
    ----------
    dimensions : (a, b, space)
        Dimensions of the two spans, and of the space that contains them.
    angles : array
        Principal angles between them, in degrees, ascending.
    overlap : WithNulls
        Mean squared cosine of the angles: of a with b, and of a with the null models of b.
    random : float
        Expected overlap of random subspaces of these dimensions: the larger dimension divided by
        that of the space.
    """

    dimensions: Dimensions
    angles: np.ndarray
    overlap: WithNulls
    random: float


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Result of `compare_filters`; ``csc.plot.filter_sets([c.a, c.b])`` draws it.

    Parameters
    ----------
    a, b : FilterSet
        The two sets, with their measures and null models.
    distances : dict of Distance
        Distance between a and b for each quantity.
    overlap : Overlap
        Overlap of the spans of a and b.
    matching : WithNulls
        Mean score of `match_dictionaries`: of a with b, and of a with the null models of b.
    pairs : Match
        The pairs of a with b themselves; their shifts are in pixels of the larger filters.

    Examples
    --------
    >>> import numpy as np, csc
    >>> atoms = np.random.default_rng(0).standard_normal((3, 1, 7, 7))
    >>> comparison = csc.analysis.compare_filters(atoms, -atoms, rng=0, n_bootstrap=100)
    >>> comparison.matching.atoms.value > 0.99
    True
    """

    a: FilterSet
    b: FilterSet
    distances: dict
    overlap: Overlap
    matching: WithNulls
    pairs: Match

    def __repr__(self):
        titles = "\n".join(f"{side}  {of.title()}" for side, of in self._sides())
        parts = [titles, table(self._measures()), table(self._distances()), table(self._overlaps())]
        cautions = [f"{side}  {of.fit.caution}" for side, of in self._sides() if of.fit.caution]
        return "\n\n".join([*parts, *cautions])

    def _repr_html_(self):
        return card(repr(self), self.a.atoms) + card(self.b.title(), self.b.atoms)

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON types; None stands for NaN."""
        overlap = self.overlap._asdict() | {"overlap": _as_dict(self.overlap.overlap)}
        return plain(
            {
                "a": self.a.to_dict(),
                "b": self.b.to_dict(),
                "distances": {
                    name: {"estimate": d.estimate._asdict(), "chance": d.chance}
                    for name, d in self.distances.items()
                },
                "overlap": overlap,
                "matching": _as_dict(self.matching),
                "pairs": self.pairs._asdict(),
            }
        )

    def _sides(self):
        return ("a", self.a), ("b", self.b)

    def _measures(self):
        yield "", "a", "b", "a, b scrambled", "a, b noise"
        for name, a in self.a.measures.items():
            b = self.b.measures[name]
            nulls = [f"{_short(x)}, {_short(y)}" for x, y in zip(a[1:], b[1:], strict=True)]
            yield name, str(a.atoms), str(b.atoms), *nulls

    def _distances(self):
        yield "energy distance", "a to b", "chance"
        for name, (value, (low, high)) in self.distances.items():
            yield name, str(value), "-" if np.isnan(low) else f"[{low:z.2f}, {high:z.2f}]"

    def _overlaps(self):
        yield "", "a with b", "b scrambled", "b noise"
        yield "mean score of the best pairs", *map(str, self.matching)
        m, n, space = self.overlap.dimensions
        name = f"overlap of spans ({m} and {n} of {space}; random {self.overlap.random:.2f})"
        yield name, *map(str, self.overlap.overlap)


def compare_filters(
    a: Any,
    b: Any,
    *,
    colour: Literal["luminance", "keep"] = "luminance",
    n_bootstrap: int = 1000,
    rng: Rng = None,
    verbose: bool = False,
) -> Comparison:
    """Compare two sets of filters: learned atoms, the first layer of a CNN, fixed filter banks.

    Returns the Gabor fits of both sets and of their null models; the distances between their
    distributions, with the interval expected by chance; the overlap of their spans by principal
    angles [2]_; and the best pairing up to order, sign and shift. All with 95 % bootstrap intervals
    over filters [3]_.

    Parameters
    ----------
    a, b : (K, C, h, w) array, Dictionary, DictionaryLearning, FirstLayer or FilterSet
        A `FilterSet` (`describe_filters`) is not fitted again. The sets may differ in the number
        and the size of their filters.
    colour : {"luminance", "keep"}
        For spans and pairs: compare the responses to grey images, or all channels, which must
        then be the same in both. Gabor fits always use the first singular component over the
        channels.
    n_bootstrap : int
        Number of resamples for each interval; at most 100 for spans.
    rng : numpy.random.Generator or seed, optional
    verbose : bool
        Show a progress bar for each of up to six fits.

    Returns
    -------
    Comparison
        ``print(comparison)`` shows all results; ``to_dict()`` returns JSON types.

    Raises
    ------
    TypeError, ValueError
        If a or b are not filters; if colour="keep" and the channels differ in number or known
        order; if colour="luminance" and a set has none. Checked before any filter is fitted.

    Notes
    -----
    Filters of different sizes are enlarged to the larger size before spans and pairs are compared.
    Intervals of overlaps are shifted by the mean difference between the value and the resamples,
    because a resample has fewer distinct filters, and a smaller overlap. Spans do not account for
    shifts: two convolutional dictionaries may agree up to shifts and span different spaces.

    The distance between two populations is the normalised energy distance [1]_
    ``1 - (E|X - X'| + E|Y - Y'|) / (2 E|X - Y|)`` with distances in octaves, or along the
    half circle of orientations. R2 is compared for all filters, the other quantities for
    Gabor-like filters only.

    References
    ----------
    .. [1] G. J. Szekely, M. L. Rizzo, "Energy statistics: a class of statistics based on
       distances", J. Stat. Plan. Inference 143, 2013.
    .. [2] A. Bjorck, G. H. Golub, "Numerical methods for computing angles between linear
       subspaces", Math. Comp. 27, 1973.
    .. [3] B. Efron, "Bootstrap methods: another look at the jackknife", Ann. Statist. 7, 1979.

    Examples
    --------
    >>> import numpy as np, csc
    >>> rng = np.random.default_rng(0)
    >>> a = rng.standard_normal((8, 1, 7, 7))
    >>> b = np.roll(-a[::-1] + 0.01 * rng.standard_normal(a.shape), 1, axis=0)
    >>> comparison = csc.analysis.compare_filters(a, b, rng=0, n_bootstrap=100)
    >>> comparison.matching.atoms.value > 0.99 > comparison.matching.noise.high
    True
    """
    check_choice("colour", colour, COLOUR_CHOICES)
    check_count("n_bootstrap", n_bootstrap)
    _check_comparable(a, b, colour)
    rng = np.random.default_rng(rng)
    options = {"n_bootstrap": n_bootstrap, "rng": rng, "verbose": verbose}
    a, b = (
        f
        if isinstance(f, FilterSet)
        else describe_filters(f, name=getattr(f, "name", name), **options)
        for name, f in (("a", a), ("b", b))
    )
    others = (b.atoms, b.null_phase, b.null_noise)
    pairs = [comparable_atoms(a.atoms, other, colour=colour, resample=True) for other in others]
    # many small products: measured for spans, two BLAS threads take 3.8 s, one takes 0.3 s
    with one_blas_thread():
        matches = [match_dictionaries(*pair) for pair in pairs]
        return Comparison(
            a=a,
            b=b,
            distances=distances(a.fit, b.fit, n_bootstrap, rng),
            overlap=_overlap(pairs, min(n_bootstrap, MAX_SPAN_RESAMPLES), rng),
            matching=WithNulls(*(_mean_score(match, n_bootstrap, rng) for match in matches)),
            pairs=matches[0],
        )


def _check_comparable(a, b, colour):
    """Raise, before anything is fitted, for sets that cannot be paired."""
    source_a, source_b = read(a), read(b)
    comparable_atoms(source_a.atoms, source_b.atoms, colour=colour)
    if colour == "keep" and {source_a.order, source_b.order} == {"RGB", "BGR"}:
        raise ValueError(
            'the channels of a and b are in different order; load both with order="RGB"'
        )


def _short(estimated):
    """The value without its interval."""
    return "-" if np.isnan(estimated.value) else f"{estimated.value:z.2f}"


def _mean_score(match, n_bootstrap, rng):
    """Mean matching score of the filters of a that have a partner."""
    scores = match.scores[match.indices >= 0]
    drawn = rng.integers(len(scores), size=(n_bootstrap, len(scores)))
    return estimate(scores.mean(), scores[drawn].mean(axis=1))


def _overlap(pairs, n_bootstrap, rng):
    flat = [[d.reshape(len(d), -1) for d in pair] for pair in pairs]
    spans = [[_span(d, _dimension(d)) for d in pair] for pair in flat]
    Q, R = spans[0]
    cosines = np.linalg.svd(Q.T @ R, compute_uv=False)
    found = []
    for (a, b), (Q_a, Q_b) in zip(flat, spans, strict=True):
        m, n = Q_a.shape[1], Q_b.shape[1]
        drawn = [
            _squared_cosine(_span(_resampled(a, rng), m), _span(_resampled(b, rng), n))
            for _ in range(n_bootstrap)
        ]
        # a resample has fewer distinct filters, and so a smaller overlap
        interval = estimate(_squared_cosine(Q_a, Q_b), np.array(drawn), centred=True)
        found.append(type(interval)(*np.clip(interval, 0, 1).tolist()))
    dimensions = Dimensions(Q.shape[1], R.shape[1], len(Q))
    angles = np.degrees(np.arccos(np.minimum(cosines, 1)))
    random = max(dimensions.a, dimensions.b) / dimensions.space
    return Overlap(dimensions, angles, WithNulls(*found), random)


def _dimension(d):
    """Dimension of the smallest principal subspace that holds SPAN_ENERGY of the rows."""
    energy = np.linalg.svd(d, compute_uv=False) ** 2
    return int(np.searchsorted(np.cumsum(energy), SPAN_ENERGY * energy.sum()) + 1)


def _span(d, dimension):
    """Orthonormal basis, in columns, of the leading principal subspace of the rows."""
    wide = len(d) < d.shape[1]
    vectors = np.linalg.eigh(d @ d.T if wide else d.T @ d)[1][:, -dimension:]
    return np.linalg.qr(d.T @ vectors)[0] if wide else vectors


def _resampled(d, rng):
    """Rows drawn with replacement."""
    return d[rng.integers(len(d), size=len(d))]


def _squared_cosine(Q, R):
    """Mean squared cosine of the principal angles between two spans."""
    return (((Q.T @ R) ** 2).sum()) / min(Q.shape[1], R.shape[1])


def _as_dict(with_nulls):
    return {kind: value._asdict() for kind, value in with_nulls._asdict().items()}
