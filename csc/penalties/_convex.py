"""Convex penalties ``g`` on the codes: value, prox, and what certificates need.

A certificate needs the convex conjugate ``g*(q) = max_z <q, z> - g(z)``: ``q`` is in its domain
if ``dual_norm`` is at most 1, ``conjugate`` is its value there, and ``subdiff_distance`` the
distance of ``q`` from the subdifferential of ``g``.
"""

from dataclasses import dataclass
from math import inf, prod

import numpy as np

from csc._backend import namespace, to_host
from csc._norms import norms_of
from csc._repr_html import PenaltyReprMixin
from csc._soft_threshold import soft_threshold
from csc._typing import Array, Shape
from csc._validation import check_count, check_flag, check_number, check_real, check_weights
from csc.penalties import _overlapping_groups as overlapping
from csc.penalties._lmbda import Lmbda, check_lmbda


@dataclass(frozen=True)
class L1(PenaltyReprMixin):
    """``lmbda * sum(w |z|)``, optionally for non-negative codes only.

    Parameters
    ----------
    lmbda : float or Relative
        Regularization parameter, >= 0.
    weights : array, optional
        ``w >= 0``, which NumPy broadcasts to the codes ``(N, K, *V)``: one weight per atom has shape
        ``(K, 1)`` for signals with one spatial axis, ``(K, 1, 1)`` with two. None means ones.
        Codes of weight 0 are free; those of weight inf are never used.
    positive : bool
        Whether to require ``z >= 0`` (the value is infinite elsewhere).

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.L1(1.0).prox(np.array([-3.0, 0.5, 2.0]), 1.0)
    array([-2.,  0.,  1.])
    """

    lmbda: Lmbda
    weights: Array | None = None
    positive: bool = False

    convex = True
    ridge = 0.0

    def __repr__(self):
        weights = None if self.weights is None else f"array {self.weights.shape}"
        return f"L1(lmbda={self.lmbda!r}, weights={weights}, positive={self.positive})"

    def __post_init__(self):
        check_lmbda(self.lmbda)
        check_flag("positive", self.positive)
        if self.weights is not None:
            object.__setattr__(self, "weights", _checked_weights(self.weights))

    def __eq__(self, other):
        if not isinstance(other, L1):
            return NotImplemented
        if (self.lmbda, self.positive) != (other.lmbda, other.positive):
            return False
        weights, others = self.weights, other.weights
        if weights is None or others is None:
            return weights is others
        weights, others = to_host(weights), to_host(others)
        return weights.dtype == others.dtype and np.array_equal(weights, others)

    def __hash__(self):
        return hash((self.lmbda, self.positive, getattr(self.weights, "shape", None)))

    def value(self, z: Array) -> float:
        """Penalty of codes ``z``, accumulated in float64."""
        return float(self.values(z).sum())

    def values(self, z: Array) -> Array:
        """Penalty of each signal's codes ``(N,)``, in float64."""
        z = check_real("z", z)
        sizes = abs(z) if self.weights is None else abs(z) * self._weights(z, where=z != 0)
        values = _scaled(float(self.lmbda), _rows(sizes).sum(axis=1, dtype="float64"))
        if self.positive:
            values[_rows(z < 0).any(axis=1)] = inf
        return values

    def prox(self, z: Array, step: float) -> Array:
        """argmin_u  step * lmbda * sum(w |u|) + 1/2 ||u - z||^2: soft-threshold at step lmbda w."""
        z = check_real("z", z)
        if self.weights is None:
            return soft_threshold(z, step * self.lmbda, self.positive)
        return soft_threshold(z, _scaled(step * self.lmbda, self._weights(z)), self.positive)

    def lmbda_max(self, correlations: Array, energies: Array | None = None) -> float:  # noqa: ARG002
        """Smallest ``lmbda`` whose codes are all zero: ``max |D^T x| / w``.

        Only codes of weight above 0 count. Where some are free, ``correlations`` are those of
        the residual that the free codes leave, as `Problem.lmbda_max` gives them.
        """
        q = correlations if self.positive else abs(correlations)
        if self.weights is None:
            return max(float(q.max()), 0.0)
        penalised = self.weights > 0
        ratio = namespace(q).where(penalised, q, 0) / (self.weights + ~penalised)
        return max(float(ratio.max()), 0.0)

    def dual_norm(self, q: Array) -> Array:
        """Largest ``|q| / (lmbda w)`` of each signal ``(N,)``: above 1, ``g*`` is infinite."""
        xp = namespace(q)
        if self.weights is None and self.lmbda > 0:
            return _largest(q, self.positive) / float(self.lmbda)
        weighted_lmbda = self.weighted_lmbda(q)
        free = weighted_lmbda == 0  # such codes must be orthogonal to the residual: only 0 is sure
        forbidden = xp.where(q > 0, inf, xp.where(q < 0, -inf, 0))
        ratio = xp.where(free, forbidden, q / xp.where(free, 1, weighted_lmbda))
        return _largest(ratio, self.positive)

    def free(self, z: Array) -> Array | None:
        """Mask of the codes without penalty, or None if all are penalised."""
        if self.lmbda > 0 and (self.weights is None or bool((self.weights > 0).all())):
            return None
        return self.weighted_lmbda(z) == 0

    def conjugate(self, q: Array, scale: Array) -> Array:  # noqa: ARG002  one signature for all
        """``g*(scale q)`` of each signal ``(N,)``: 0 inside the domain."""
        return namespace(q).zeros(len(q))

    def subdiff_distance(self, z: Array, q: Array) -> Array:
        """Largest distance of ``q`` from the subdifferential at ``z``, ``(N,)``."""
        return _from_subdifferential(z, q, self.weighted_lmbda(z), self.positive)

    def weighted_lmbda(self, z: Array) -> Array:
        """``lmbda w`` of each code, of the shape of ``z``."""
        lmbda, xp = float(self.lmbda), namespace(z)
        weighted_lmbda = (
            lmbda if self.weights is None else _scaled(lmbda, self._weights(z, "float64"))
        )
        return xp.broadcast_to(xp.asarray(weighted_lmbda), z.shape)

    def _weights(self, z, dtype=None, where=None):
        """Weights that fit ``z``, in its dtype or another; 0 except ``where`` given."""
        check_weights(self.weights, z, z.shape)
        weights = self.weights.astype(dtype or z.dtype, copy=False)
        return weights if where is None else namespace(z).where(where, weights, 0)


@dataclass(frozen=True)
class ElasticNet(PenaltyReprMixin):
    """``lmbda * sum(|z| + ridge / 2 z^2)``: sparse and strictly convex [1]_.

    scikit-learn's ``alpha, l1_ratio`` are ``lmbda = alpha l1_ratio`` and ``ridge = (1 -
    l1_ratio) / l1_ratio`` (for sums, where scikit-learn takes means over samples).

    Parameters
    ----------
    lmbda : float or Relative
        Regularization parameter, >= 0.
    ridge : float
        Weight of the squares relative to the absolute values, > 0 (for 0 take `L1`).
    positive : bool
        Whether to require ``z >= 0`` (the value is infinite elsewhere).

    References
    ----------
    .. [1] H. Zou, T. Hastie, "Regularization and variable selection via the elastic net",
       J. R. Stat. Soc. B 67(2), 2005.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.ElasticNet(1.0, ridge=3.0).prox(np.array([-3.0, 0.5, 2.0]), 1.0)
    array([-0.5 ,  0.  ,  0.25])
    """

    lmbda: Lmbda
    ridge: float = 1.0
    positive: bool = False

    convex = True
    weights = None

    def __post_init__(self):
        check_lmbda(self.lmbda)
        check_number("ridge", self.ridge, strict=True)
        check_flag("positive", self.positive)

    def value(self, z: Array) -> float:
        """Penalty of codes ``z``, accumulated in float64."""
        return float(self.values(z).sum())

    def values(self, z: Array) -> Array:
        """Penalty of each signal's codes ``(N,)``, in float64."""
        z = check_real("z", z)
        rows = _rows(z)
        squares = (rows * rows).sum(axis=1, dtype="float64")
        sizes = abs(rows).sum(axis=1, dtype="float64")
        values = float(self.lmbda) * (sizes + 0.5 * float(self.ridge) * squares)
        if self.positive:
            values[(rows < 0).any(axis=1)] = inf
        return values

    def prox(self, z: Array, step: float) -> Array:
        """argmin_u  step g(u) + 1/2 ||u - z||^2: soft-threshold, then shrink."""
        z = check_real("z", z)
        shrunk = soft_threshold(z, step * self.lmbda, self.positive)
        return shrunk / namespace(z).asarray(1 + step * self.lmbda * self.ridge, dtype=z.dtype)

    def lmbda_max(self, correlations: Array, energies: Array | None = None) -> float:  # noqa: ARG002
        """Smallest ``lmbda`` whose codes are all zero: ``max |D^T x|``, whatever the ridge."""
        q = correlations if self.positive else abs(correlations)
        return max(float(q.max()), 0.0)

    def dual_norm(self, q: Array) -> Array:
        """0 for each signal ``(N,)``: ``g*`` is finite everywhere (for ``lmbda`` 0: only at 0)."""
        if self.lmbda > 0:
            return namespace(q).zeros(len(q))
        return namespace(q).where(_largest(q, self.positive) > 0, inf, 0.0)

    def conjugate(self, q: Array, scale: Array) -> Array:
        """``g*(scale q) = sum((|scale q| - lmbda)_+^2) / (2 lmbda ridge)``, ``(N,)``."""
        if self.lmbda == 0:
            return namespace(q).zeros(len(q))
        rows = scale[:, None] * q.reshape(len(q), -1)
        over = soft_threshold(rows, float(self.lmbda), self.positive)
        return (over * over).sum(axis=1) / (2 * float(self.lmbda) * float(self.ridge))

    def subdiff_distance(self, z: Array, q: Array) -> Array:
        """Largest distance of ``q`` from the subdifferential at ``z``, ``(N,)``."""
        gradient = float(self.lmbda) * float(self.ridge) * z
        return _from_subdifferential(z, q - gradient, float(self.lmbda), self.positive)


@dataclass(frozen=True)
class GroupL21(PenaltyReprMixin):
    """``lmbda * sum_g ||z_g||_2``: the atoms of a group are used together or not at all [1]_.

    A group holds the codes of ``group_size`` consecutive atoms at one position of one signal.
    For colour images whose channels share their support, repeat every single-channel atom
    ``a`` of shape (G, 1, h, w) once per channel, and group the copies:

        atoms = (a[:, None] * np.eye(3)[:, :, None, None]).reshape(-1, 3, h, w)
        penalty = GroupL21(lmbda, group_size=3)

    Groups of any atoms, which may overlap [2]_, are given by ``groups`` instead; for topographic maps
    by `csc.penalties.neighbourhoods`. Where they overlap, the prox is computed iteratively, to a
    duality gap of 1e-15 of ``||z||^2`` (float32: 1e-11); ``dual_norm`` is an upper bound, so that
    the duality gap is valid, but it may not fall below 1e-4 of the objective: ask for a ``tol`` of
    1e-3. ``lmbda_max`` is exact to 0.1 %. Solves with overlaps are slow, hundreds of times slower
    than with ``group_size`` where many codes are used.

    Parameters
    ----------
    lmbda : float or Relative
        Regularization parameter, >= 0.
    group_size : int, optional
        Atoms in a group, a divisor of their number K. Give this or ``groups``.
    groups : sequence of sequences of int, optional
        The atoms of each group; every atom is in one at least. NumPy arrays only.

    References
    ----------
    .. [1] M. Yuan, Y. Lin, "Model selection and estimation in regression with grouped
       variables", J. R. Stat. Soc. B 68(1), 2006.
    .. [2] R. Jenatton, J.-Y. Audibert, F. Bach, "Structured variable selection with
       sparsity-inducing norms", JMLR 12, 2011, eq. (2).

    Examples
    --------
    >>> import numpy as np, csc
    >>> z = np.array([[[3.0], [4.0], [0.5], [0.5]]])
    >>> csc.GroupL21(1.0, group_size=2).prox(z, 1.0).ravel()
    array([2.4, 3.2, 0. , 0. ])
    >>> csc.GroupL21(1.0, groups=[(0, 1), (1, 2, 3)]).prox(z, 1.0).ravel().round(3)
    array([2.296, 2.313, 0.351, 0.351])
    """

    lmbda: Lmbda
    group_size: int | None = None
    groups: tuple[tuple[int, ...], ...] | None = None

    convex = True

    def __post_init__(self):
        check_lmbda(self.lmbda)
        if (self.group_size is None) == (self.groups is None):
            raise ValueError(
                f"give either group_size or groups, got group_size={self.group_size!r} and groups "
                f"{'of none' if self.groups is None else 'too'}"
            )
        if self.groups is None:
            check_count("group_size", self.group_size)
        else:
            object.__setattr__(self, "groups", overlapping.checked_groups(self.groups))

    def __repr__(self):
        if self.groups is None:
            return f"GroupL21(lmbda={self.lmbda!r}, group_size={self.group_size})"
        return f"GroupL21(lmbda={self.lmbda!r}, groups={len(self.groups)} groups)"

    def check_codes(self, shape: Shape) -> None:
        """Refuse codes of a ``shape`` (N, K, *V) whose atoms do not fill the groups."""
        if self.groups is not None:
            n_atoms = 1 + max(map(max, self.groups))
            if shape[1] != n_atoms:
                raise ValueError(f"groups hold {n_atoms} atoms, but the dictionary has {shape[1]}")
        elif shape[1] % self.group_size:
            raise ValueError(
                f"group_size must divide the number of atoms, got group_size = {self.group_size} "
                f"for {shape[1]} atoms"
            )

    def value(self, z: Array) -> float:
        """Penalty of codes ``z``, accumulated in float64."""
        return float(self.values(z).sum())

    def values(self, z: Array) -> Array:
        """Penalty of each signal's codes ``(N,)``, in float64."""
        z = check_real("z", z)
        norms = self._norms(z).reshape(len(z), -1)
        return float(self.lmbda) * norms.sum(axis=1, dtype="float64")

    def prox(self, z: Array, step: float) -> Array:
        """argmin_u  step g(u) + 1/2 ||u - z||^2: shorten each group by ``step lmbda``."""
        z = check_real("z", z)
        if self.groups is not None:
            return overlapping.prox(self.groups, z, step * self.lmbda)
        xp, norms = namespace(z), self._norms(z)
        threshold = xp.asarray(step * self.lmbda, dtype=z.dtype)
        factor = xp.maximum(norms - threshold, 0) / xp.where(norms > 0, norms, 1)
        return (self._grouped(z) * factor).reshape(z.shape)

    def lmbda_max(self, correlations: Array, energies: Array | None = None) -> float:  # noqa: ARG002
        """Smallest ``lmbda`` whose codes are all zero: without overlaps ``max_g ||(D^T x)_g||``."""
        if self.groups is not None:
            return overlapping.smallest_radius(self.groups, correlations)
        return float(self._norms(correlations).max())

    def dual_norm(self, q: Array, near: Array | None = None) -> Array:
        """Largest ``||q_g|| / lmbda`` of each signal ``(N,)``: above 1, ``g*`` is infinite.

        Where groups overlap, an upper bound: ``max_g ||xi_g|| / lmbda`` of some ``q = sum_g xi_g``. It
        is the sharper the closer the codes ``near`` are to a minimum at which q is a subgradient.
        """
        if self.groups is not None and self.lmbda > 0:
            return overlapping.dual_bound(self.groups, q, float(self.lmbda), near)
        top = _largest(self._norms(q), True)
        if self.lmbda > 0:
            return top / float(self.lmbda)
        return namespace(q).where(top > 0, inf, 0.0)

    def conjugate(self, q: Array, scale: Array) -> Array:  # noqa: ARG002  one signature for all
        """``g*(scale q)`` of each signal ``(N,)``: 0 inside the domain."""
        return namespace(q).zeros(len(q))

    def subdiff_distance(self, z: Array, q: Array) -> Array:
        """Largest distance of a group of ``q`` from the subdifferential at ``z``, ``(N,)``."""
        if self.groups is not None:
            return overlapping.subdiff_distance(self.groups, z, q, float(self.lmbda))
        xp, norms, lmbda = namespace(z), self._norms(z), float(self.lmbda)
        gradient = lmbda * self._grouped(z) / xp.where(norms > 0, norms, 1)
        # at z_g = 0: ||q_g||
        distances = self._norms((self._grouped(q) - gradient).reshape(q.shape))
        return _largest(xp.where(norms > 0, distances, xp.maximum(distances - lmbda, 0)), True)

    def _grouped(self, z):
        n, k, *spatial_shape = z.shape
        return z.reshape(n, k // self.group_size, self.group_size, *spatial_shape)

    def _norms(self, z):
        if self.groups is not None:
            return overlapping.group_norms(self.groups, z)
        return norms_of(self._grouped(z), 2)


def _checked_weights(weights):
    weights = check_real("weights", weights)
    if 0 in weights.shape:
        raise ValueError(f"weights is empty: shape {weights.shape}")
    if not (weights >= 0).all():  # NaN compares false
        raise ValueError(f"weights must be >= 0 and not NaN, got {weights.min()}")
    if namespace(weights).isinf(weights).all():
        raise ValueError("weights are all inf, so that no code could be used; give some a number")
    return weights


def _scaled(factor, a):
    """``factor a``, and inf where ``a`` is, also for a factor of 0."""
    xp = namespace(a)
    infinite = xp.isinf(a)
    if not infinite.any():
        return factor * a
    return xp.where(infinite, inf, factor * xp.where(infinite, 0, a))


def _rows(a):
    """One row per signal, also without any signal."""
    return a.reshape(len(a), prod(a.shape[1:]))


def _from_subdifferential(z, q, lmbda, positive):
    """Largest distance from ``q`` to ``lmbda`` times the subdifferential of ``|z|``."""
    xp = namespace(z)
    at_zero = xp.maximum((q if positive else abs(q)) - lmbda, 0)
    distances = xp.where(z == 0, at_zero, abs(q - xp.where(z == 0, 0, lmbda) * xp.sign(z)))
    if positive:
        distances = xp.where(z < 0, inf, distances)
    return distances.reshape(len(z), -1).max(axis=1)


def _largest(q, positive):
    """Largest entry of each signal, or largest modulus unless ``positive``."""
    rows = q.reshape(len(q), -1)
    top = rows.max(axis=1)
    return top if positive else namespace(q).maximum(top, -rows.min(axis=1))
