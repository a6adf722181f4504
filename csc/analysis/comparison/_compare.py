"""Two sets of filters: distances of their fits, overlap of their spans, and their best pairing."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from csc._repr_html import card
from csc._typing import Figure, Rng
from csc._validation import check_choice, check_count
from csc.analysis._matching import COLOURS, comparable, match_dictionaries
from csc.analysis.comparison._distances import distances
from csc.analysis.comparison._filters import FilterSet, describe_filters, read, table
from csc.analysis.comparison._measures import WithNulls, estimate
from csc.analysis.receptive_fields._json import plain

ENERGY = 0.9  # of unit-norm filters, that a span holds
MOST_SPANS = 100  # resamples of spans: each takes two eigenvalue problems


class Overlap(NamedTuple):
    """How far the spans of two sets lie in one another.

    A span is the smallest leading principal subspace that holds 90 % of the energy of the filters,
    each of unit norm: all directions of an overcomplete dictionary would be all there are.

    Attributes
    ----------
    dimensions : (int, int, int)
        Of the two spans, and of the space they lie in.
    angles : array
        Principal angles between them, in degrees, rising.
    overlap : WithNulls
        Mean squared cosine of the angles: of the filters, and of a with the null models of b.
    random : float
        What random subspaces of these dimensions have in the mean: the larger part of the space.
    """

    dimensions: tuple
    angles: np.ndarray
    overlap: WithNulls
    random: float


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Two sets of filters side by side; see `compare_filters`.

    Parameters
    ----------
    a, b : FilterSet
        With measures of their own, beside null models.
    distances : dict of Distance
        Between the two, by quantity.
    overlap : Overlap
        Of their spans.
    matching : WithNulls
        Mean score of `match_dictionaries`: of a with b, and with the null models of b.

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

    def __repr__(self):
        titles = "\n".join(f"{side}  {of.title()}" for side, of in self._sides())
        parts = [titles, table(self._measured()), table(self._apart()), table(self._together())]
        cautions = [f"{side}  {of.fit.caution}" for side, of in self._sides() if of.fit.caution]
        return "\n\n".join([*parts, *cautions])

    def _repr_html_(self):
        return card(repr(self), self.a.atoms) + card(self.b.title(), self.b.atoms)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; None stands for NaN."""
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
            }
        )

    def plot(self) -> Figure:
        """Draw both sets and their distributions on one matplotlib figure, and return it."""
        from csc.plot import filter_sets

        return filter_sets([self.a, self.b])

    def _sides(self):
        return ("a", self.a), ("b", self.b)

    def _measured(self):
        yield "", "a", "b", "a, b scrambled", "a, b noise"
        for name, a in self.a.measures.items():
            b = self.b.measures[name]
            nulls = [f"{_short(x)}, {_short(y)}" for x, y in zip(a[1:], b[1:], strict=True)]
            yield name, str(a.atoms), str(b.atoms), *nulls

    def _apart(self):
        yield "energy distance", "a to b", "chance"
        for name, (value, (low, high)) in self.distances.items():
            yield name, str(value), f"[{low:z.2f}, {high:z.2f}]"

    def _together(self):
        yield "", "a with b", "b scrambled", "b noise"
        yield "mean score of the best pairs", *map(str, self.matching)
        m, n, whole = self.overlap.dimensions
        name = f"overlap of spans ({m} and {n} of {whole}; random {self.overlap.random:.2f})"
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
    """Say what two sets of filters have in common: learned atoms, a CNN's first layer, fixed banks.

    Gabor fits of both, each beside its null models; distances between their distributions, each
    beside what chance gives; the overlap of their spans by principal angles [2]_; the best pairing
    up to order, sign and shift. All with 95 % bootstrap intervals over filters [3]_.

    Parameters
    ----------
    a, b : (K, C, h, w) array, Dictionary, DictionaryLearning, FirstLayer or FilterSet
        A `FilterSet` (`describe_filters`) is not fitted again. Extents and numbers may differ.
    colour : {"luminance", "keep"}
        For spans and pairs: compare what filters answer to grey pictures, or all channels, which
        must then be the same. Gabor fits are always of the strongest component over the channels.
    n_bootstrap : int
        Resamples behind each interval; of spans at most 100.
    rng : numpy.random.Generator or seed, optional
    verbose : bool
        Show a progress bar for each of up to six fits.

    Returns
    -------
    Comparison
        ``print(comparison)`` shows it all; ``to_dict()`` for JSON; ``plot()`` a figure.

    Raises
    ------
    TypeError, ValueError
        If filters are no filters; if colour is kept and the channels differ, in number or known
        order; if luminance is compared and a set has none. Before any filter is fitted.

    Notes
    -----
    Between filters of unlike extents, spans and pairs are compared after both are stretched to the
    larger one. Intervals of overlaps are moved by the mean difference from resamples to value: a
    resample has fewer different filters and overlaps less with everything. Spans know nothing of
    shifts: two convolutional dictionaries may be the same up to shifts and span different spaces.

    The distance between two populations is the normalised energy distance [1]_
    ``1 - (E|X - X'| + E|Y - Y'|) / (2 E|X - Y|)`` with distances in octaves, or along the
    half circle of orientations; of Gabor-like filters only, but for R2.

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
    check_choice("colour", colour, COLOURS)
    check_count("n_bootstrap", n_bootstrap)
    _check_comparable(a, b, colour)
    rng = np.random.default_rng(rng)
    how = {"n_bootstrap": n_bootstrap, "rng": rng, "verbose": verbose}
    a, b = (
        f if isinstance(f, FilterSet) else describe_filters(f, name=getattr(f, "name", name), **how)
        for name, f in (("a", a), ("b", b))
    )
    others = (b.atoms, b.null_phase, b.null_noise)
    pairs = [comparable(a.atoms, other, colour=colour, resample=True) for other in others]
    with threadpool_limits(1, "blas"):  # many small products: a second thread makes them ten times
        return Comparison(  # slower (measured, spans: 3.8 s instead of 0.3)
            a=a,
            b=b,
            distances=distances(a.fit, b.fit, n_bootstrap, rng),
            overlap=_overlap(pairs, min(n_bootstrap, MOST_SPANS), rng),
            matching=WithNulls(*(_matched(*pair, n_bootstrap, rng) for pair in pairs)),
        )


def _check_comparable(a, b, colour):
    """Refuse, before anything is fitted, what cannot be paired afterwards."""
    (atoms_a, _, order_a), (atoms_b, _, order_b) = read(a), read(b)
    comparable(atoms_a, atoms_b, colour=colour)
    if colour == "keep" and {order_a, order_b} == {"RGB", "BGR"}:
        raise ValueError('a and b keep their colours in unlike order; load them with order="RGB"')


def _short(estimated):
    return "-" if np.isnan(estimated.value) else f"{estimated.value:z.2f}"


def _matched(a, b, n_bootstrap, rng):
    """Mean score of those of a that have a partner."""
    match = match_dictionaries(a, b)
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
            _squared_cosine(_span(_redrawn(a, rng), m), _span(_redrawn(b, rng), n))
            for _ in range(n_bootstrap)
        ]
        # a resample has fewer different filters, and overlaps less with everything
        interval = estimate(_squared_cosine(Q_a, Q_b), np.array(drawn), centred=True)
        found.append(type(interval)(*np.clip(interval, 0, 1).tolist()))
    m, n, whole = Q.shape[1], R.shape[1], len(Q)
    angles = np.degrees(np.arccos(np.minimum(cosines, 1)))
    return Overlap((m, n, whole), angles, WithNulls(*found), max(m, n) / whole)


def _dimension(d):
    """Of the smallest principal subspace that holds ENERGY of the rows."""
    energy = np.linalg.svd(d, compute_uv=False) ** 2
    return int(np.searchsorted(np.cumsum(energy), ENERGY * energy.sum()) + 1)


def _span(d, dimension):
    """Orthonormal basis, in columns, of the leading principal subspace of the rows."""
    few = len(d) < d.shape[1]
    vectors = np.linalg.eigh(d @ d.T if few else d.T @ d)[1][:, -dimension:]
    return np.linalg.qr(d.T @ vectors)[0] if few else vectors


def _redrawn(d, rng):
    return d[rng.integers(len(d), size=len(d))]


def _squared_cosine(Q, R):
    return (((Q.T @ R) ** 2).sum()) / min(Q.shape[1], R.shape[1])


def _as_dict(beside):
    return {kind: value._asdict() for kind, value in beside._asdict().items()}
