"""A data term of its own for each channel."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from csc._backend import namespace
from csc._typing import Array, DataTerm
from csc._validation import check_count, check_instance
from csc.data_terms._weights import SampleWeightsMixin, checked_weights


class _OwnAtoms(NamedTuple):
    """What a data term may ask of the dictionary: the atoms, in its own channels."""

    atoms: Array


@dataclass(frozen=True, eq=False, repr=False)
class ByChannel(SampleWeightsMixin):
    """One data term for the first channels, another for the next ones, and so on.

    Parameters
    ----------
    parts : sequence of (int, data term)
        Numbers of channels, and their data term without weights.
    weights : array, optional
        Of all channels, as in `LeastSquares`.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[1.0], [9.0]]]), csc.Dictionary(np.ones((1, 2, 1)))  # two channels
    >>> terms = [(1, csc.data_terms.LeastSquares()), (1, csc.data_terms.LeastAbsolute())]
    >>> problem = csc.Problem(x, D, csc.L1(0.5), data_term=csc.data_terms.ByChannel(terms))
    >>> csc.solve(problem, tol=1e-6).codes.ravel().round(2)  # the second pulls by 1
    array([1.5])
    """

    parts: tuple[tuple[int, DataTerm], ...]
    weights: Array | None = None

    def __post_init__(self):
        object.__setattr__(self, "parts", tuple(map(tuple, self.parts)))
        for n, term in self.parts:
            check_count("parts", n)
            check_instance("data_term", term, "slope", "csc.data_terms.Huber(0.1)")
            if getattr(term, "weights", None) is not None:
                raise ValueError(
                    f"parts must have no weights of their own, got {term!r}; give weights of all "
                    "channels to ByChannel"
                )
        object.__setattr__(self, "weights", checked_weights(self.weights))

    @property
    def smooth(self) -> bool:
        """Whether all parts are."""
        return all(term.smooth for _, term in self.parts)

    def check(self, x: Array, dictionary: Any, penalty: Any) -> None:
        """Refuse signals with another number of channels, or that do not suit their data term."""
        n = sum(n for n, _ in self.parts)
        if x.shape[1] != n:
            raise ValueError(f"parts are for {n} channels, but x has {x.shape[1]}")
        for own, term in self._slices():
            if hasattr(term, "check"):
                term.check(x[:, own], _OwnAtoms(dictionary.atoms[:, own]), penalty)

    def loss(self, x: Array, u: Array) -> Array:
        """Loss of each sample, by the data term of its channel."""
        return self._each("loss", x, u)

    def slope(self, x: Array, u: Array) -> Array:
        """Minus the derivative of the loss with respect to u."""
        return self._each("slope", x, u)

    def conjugate(self, x: Array, t: Array) -> Array:
        """``max_u  -t u - loss(x, u)``."""
        return self._each("conjugate", x, t)

    def prox(self, x: Array, v: Array, step: float) -> Array:
        """argmin_u  ``step loss(x, u) + 1/2 (u - v)^2``."""
        xp = namespace(x, v)
        return self._each("prox", x, v, xp.broadcast_to(xp.asarray(step, v.dtype), v.shape))

    def curvature(self, x: Array) -> Array:
        """Upper bounds of the second derivatives."""
        return self._each("curvature", x)

    @property
    def majoriser_curvature(self) -> object:
        """As that of the parts; missing if one has none."""
        return self._if_all("majoriser_curvature")

    @property
    def second_derivative(self) -> object:
        """As that of the parts; missing if one has none."""
        return self._if_all("second_derivative")

    def smoothed(self, width: float, center: Array) -> "ByChannel | None":
        """With a smooth term for each part that needs one, as `LeastAbsolute`; None if no part does."""
        rows, parts = center.reshape(len(center), self._n_channels, -1), []
        for own, term in self._slices():
            smooth = term.smoothed(width, rows[:, own]) if hasattr(term, "smoothed") else None
            parts.append((own.stop - own.start, term if smooth is None else smooth))
        unchanged = all(new is old for (_, new), (_, old) in zip(parts, self.parts, strict=True))
        return None if unchanged else replace(self, parts=tuple(parts))

    def moved(self, x: Array, u: Array) -> "ByChannel":
        """With the slopes at a fit as centers of the smooth terms."""
        x, u = (a.reshape(len(a), self._n_channels, -1) for a in (x, u))
        parts = [
            (own.stop - own.start, t.moved(x[:, own], u[:, own]) if hasattr(t, "moved") else t)
            for own, t in self._slices()
        ]
        return replace(self, parts=tuple(parts))

    @property
    def _n_channels(self):
        return sum(n for n, _ in self.parts)

    def _slices(self):
        start = 0
        for n, term in self.parts:
            yield slice(start, start + n), term
            start += n

    def _if_all(self, method):
        if not all(hasattr(term, method) for _, term in self.parts):
            raise AttributeError(f"some parts have no {method}")
        return partial(self._each, method)

    def _each(self, method, *arrays):
        """Results of a method of each part, on its channels: of any arrays ``(N, C, ...)``."""
        xp, shape = namespace(*arrays), arrays[0].shape
        rows = [a.reshape(len(a), self._n_channels, -1) for a in arrays]
        out = xp.empty_like(rows[0])
        for own, term in self._slices():
            out[:, own] = getattr(term, method)(*(a[:, own] for a in rows))
        return out.reshape(shape)
