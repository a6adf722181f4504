"""The multi-layer problem: one deepest code, sparse at every layer it passes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from csc._backend import namespace
from csc._repr_html import card
from csc._typing import Array, ArrayLike, Penalty, Shape
from csc._validation import check_instance, check_real, check_scale
from csc.operators import MomentumPoint, MultiLayerDictionary, batch_last
from csc.penalties import Relative, resolved
from csc.problems._problem import Problem, check_penalty
from csc.problems._proximal_step import descend


@dataclass(frozen=True, eq=False)
class MultiLayerProblem:
    """Multi-layer basis pursuit [1]_.

        minimise over g_L   1/2 ||x - D_1 ... D_L g_L||^2 + sum_i p_i(g_i),   g_{i-1} = D_i g_i

    Where a layer above the deepest asks for codes >= 0 (``positive=True``, the layers of a network
    with ReLU [2]_), the codes g_i that a pursuit returns are >= 0, but ``D_{i+1} ... D_L g_L`` of
    its last step may still lie below zero somewhere, by as much as the pursuit is from its limit.
    If all penalties are convex, the objective is finite then: what lies below zero has an exact
    penalty, twice the largest dual per unit, and the minimum stays that of the problem with the
    constraint. Otherwise, where there are no duals, it is infinite.

    Parameters
    ----------
    x : array (N, C, *S)
        Signals.
    dictionary : MultiLayerDictionary
    penalties : sequence of L1, ElasticNet, GroupL21, SparseGroupL21, L1Ball, Simplex, L0 or LogPenalty
        One per layer; there is no gap unless all are convex. ``Relative(f)`` in layer i is a fraction
        of ``max |D_i^T ... D_1^T x|``.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit the others.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.MultiLayerDictionary([csc.Dictionary(np.eye(2)[:, None])] + [
    ...     csc.Dictionary(np.eye(2)[:, :, None])])
    >>> problem = csc.MultiLayerProblem(np.array([[[3.0, 1.0]]]), D, [csc.L1(0.5), csc.L1(0.5)])
    >>> csc.solve(problem, csc.solvers.MLISTA(), tol=1e-9).codes[-1].ravel()
    array([2., 0.])

    References
    ----------
    .. [1] J. Sulam, A. Aberdam, A. Beck, M. Elad, "On multi-layer basis pursuit, efficient
       algorithms and convolutional neural networks", IEEE TPAMI 42(8), 2020, eq. (3).
    .. [2] V. Papyan, Y. Romano, M. Elad, "Convolutional neural networks analyzed via convolutional
       sparse coding", JMLR 18, 2017, sec. 4 (non-negative codes).
    """

    x: Array
    dictionary: MultiLayerDictionary
    penalties: tuple[Penalty, ...]

    if TYPE_CHECKING:  # the fields above are what is kept, this what may come

        def __init__(
            self, x: ArrayLike, dictionary: MultiLayerDictionary, penalties: Iterable[Penalty]
        ) -> None: ...

    def __post_init__(self):
        D, penalties = self.dictionary, tuple(self.penalties)
        if not isinstance(D, MultiLayerDictionary):
            raise TypeError(
                f"dictionary must be a csc.MultiLayerDictionary, got {type(D).__name__}; wrap the "
                "layers: csc.MultiLayerDictionary([D1, D2])"
            )
        D.check_one_each("penalties", penalties)
        for i, penalty in enumerate(penalties, 1):
            check_instance(f"penalty {i}", penalty, "prox", "csc.L1(0.1)")
        _refuse_missing(self.x)
        object.__setattr__(self, "x", D.check_signals("x", self.x))
        check_scale("x", self.x)
        for i, (penalty, shape) in enumerate(zip(penalties, self._shapes(), strict=True), 1):
            _check_codes(i, penalty, self.x, shape)
        object.__setattr__(self, "penalties", self._resolved(penalties))

    def _shapes(self):
        """Shapes of the codes of every layer, known before the penalties are."""
        pairs = zip(self.dictionary.layers, self.spatial_shapes[1:], strict=True)
        return [(len(self.x), D.n_atoms, *spatial_shape) for D, spatial_shape in pairs]

    def _resolved(self, penalties):
        """Penalties whose ``lmbda`` are numbers."""
        numbers, correlations = [], self.x
        relative = [i for i, p in enumerate(penalties) if isinstance(p.lmbda, Relative)]
        for i, (D, penalty) in enumerate(zip(self.dictionary.layers, penalties, strict=True)):
            if i <= max(relative, default=-1):  # else none is needed
                correlations = D.adjoint(correlations)
            numbers.append(resolved(penalty, lambda p=penalty, c=correlations: p.lmbda_max(c)))
        return tuple(numbers)

    def __repr__(self):
        return f"MultiLayerProblem(x {self.x.shape}, {self.dictionary!r}, {self.penalties!r})"

    def _repr_html_(self):
        return card(repr(self), self.dictionary.atoms)

    @cached_property
    def layers(self) -> list[Problem]:
        """Each layer as a `Problem`; the values of its signals do not matter below the first."""
        chain, parts, x = self.spatial_shapes, [], self.x
        for i, (D, penalty) in enumerate(zip(self.dictionary.layers, self.penalties, strict=True)):
            if i > 0:  # no memory: one zero, seen as an array of codes
                shape = (len(self.x), D.atoms.shape[1], *chain[i])
                xp = namespace(self.x)
                x = xp.broadcast_to(xp.zeros((), self.x.dtype), shape)
            parts.append(Problem(x, D, penalty))
        return parts

    def layer(self, i: int, below: Array) -> Problem:
        """`Problem` of layer i alone, 1 to L: its signals are the codes ``below`` of the last."""
        return Problem(below, self.dictionary.layers[i - 1], self.penalties[i - 1])

    @cached_property
    def spatial_shapes(self) -> list[Shape]:
        """Spatial shapes of the signals and of the codes of every layer."""
        return self.dictionary.spatial_shapes(self.x.shape[2:])

    @property
    def code_shapes(self) -> list[Shape]:
        """Shapes of the codes of every layer."""
        return [part.code_shape for part in self.layers]

    @property
    def code_shape(self) -> Shape:
        """Shape of the deepest codes."""
        return self.layers[-1].code_shape

    def zeros(self) -> tuple[Array, ...]:
        """Codes of zeros, where pursuits start."""
        return tuple(part.zeros() for part in self.layers)

    def synthesize_all(self, z: Array) -> tuple[Array, ...]:
        """``D_{i+1} ... D_L z`` for i = 0 (signals), ..., L (``z``)."""
        chain = [self._in_order(z)]
        for part in reversed(self.layers):
            chain.insert(0, part.synthesize(chain[0]))
        return tuple(chain)

    @cached_property
    def _batch_last(self):
        return self.dictionary.batch_last_pays(self.x)

    def _in_order(self, a):
        """The same array, in the order of memory in which the layers are fastest."""
        return batch_last(a) if self._batch_last else a

    @cached_property
    def _signals(self):
        return self._in_order(self.x)

    def adjoint_sum(self, arrays: Sequence[Array]) -> Array:
        """Adjoint of `chain`: ``sum_i (D_{i+1} ... D_L)^T a_i``."""
        total, *others = arrays
        for part, a in zip(self.layers, others, strict=True):
            total = part.dictionary.adjoint(self._in_order(total)) + a
        return total

    def prox(self, codes: Sequence[Array], step: float) -> tuple[Array, ...]:
        """The prox of every layer's penalty."""
        return tuple(p.prox(g, step) for p, g in zip(self.penalties, codes, strict=True))

    def layerwise_prox_step(
        self,
        chain: Sequence[Array],
        chain_old: Sequence[Array],
        momentum: Any,
        step_sizes: Sequence[float],
    ) -> tuple[tuple[Array, ...], Any]:
        """A proximal-gradient step in every layer, each with the new codes of the one before.

        Parameters
        ----------
        chain, chain_old : tuples
            `chain` of two deepest codes: they give that of ``y = z + momentum (z - z_old)``.
        momentum : float
        step_sizes : tuple of floats
            mu_i; the prox of layer i is that of ``mu_1 ... mu_i`` times its penalty.

        Returns
        -------
        codes : tuple of arrays
            New codes of all layers.
        restart_score : float
            As `Problem.proximal_step`, of the deepest layer.
        """
        below, codes, threshold = self._signals, [], 1.0
        points = zip(chain[1:], chain_old[1:], strict=True)
        fits = zip(chain, chain_old, strict=True)  # D_i g^_i is g^_{i-1}
        for part, (z, z_old), (Dz, Dz_old), mu in zip(
            self.layers, points, fits, step_sizes, strict=False
        ):
            threshold *= mu
            point = MomentumPoint(z, z_old, momentum)
            below, restart_score = descend(part, below, (Dz, Dz_old), point, mu, threshold)
            codes.append(below)
        return tuple(codes), restart_score

    def reconstruct(self, codes: Sequence[Array]) -> Array:
        """Signals of the deepest codes."""
        return self.dictionary(codes[-1], self.x.shape[2:])

    def certificate(
        self,
        codes: Sequence[Array],
        duals: Sequence[Array] | None = None,
        step_sizes: Sequence[float] | None = None,
    ) -> tuple[float, float]:
        """Objective and duality gap at the deepest of ``codes``, in float64.

        With r the residual, any u_i and s <= 1 so small that all of the following are in the
        domains of the conjugates,

            gap = objective - (s <x, r> - s^2/2 ||r||^2 - sum_{i<L} p_i*(s u_i) - p_L*(s q)),
            q = D_L^T ( ... D_2^T (D_1^T r - u_1) ... - u_{L-1}).

        Parameters
        ----------
        codes : sequence of arrays (N, K_i, *V_i), one per layer
        duals : sequence of L - 1 arrays, optional
            u_i of a solver that has them; by default the subgradients of p_i in one pass of
            ML-ISTA. At its fixed points they are optimal except for the bias of ML-ISTA.
        step_sizes : tuple, optional
            Of that pass.
        """
        double = self._as_double
        fit, *chain = double.synthesize_all(codes[-1].astype("float64"))
        r = double.x - fit
        if not self.is_convex:
            penalty = sum(p.value(g) for p, g in zip(self.penalties, chain, strict=True))
            return 0.5 * float((r * r).sum()) + penalty, inf
        if duals is None:
            duals = double._subgradients(chain, step_sizes or self.step_sizes)
        subgradients, w = [u.astype("float64") for u in duals], r
        for i, part in enumerate(double.layers):
            q = part.dictionary.adjoint(w)
            if i < len(subgradients):
                w = q - subgradients[i]
        subgradients.append(q)
        value, gap = _gap(self.x.astype("float64"), r, chain, subgradients, self.penalties)
        return float(value.sum()), float(gap.sum())

    @property
    def on_host(self) -> bool:
        """Whether arrays are NumPy's."""
        return namespace(self.x) is np

    @property
    def is_convex(self) -> bool:
        """Whether all penalties are: without that there is no gap."""
        return all(penalty.convex for penalty in self.penalties)

    def gap(self, codes: Sequence[Array]) -> float:
        """Bound on how far the objective lies above its minimum."""
        return self.certificate(codes)[1]

    def value(self, codes: Sequence[Array]) -> float:
        """Objective at the deepest of ``codes``, computed in float64."""
        return self.certificate(codes)[0]

    @cached_property
    def _as_double(self):
        if self.x.dtype == "float64":
            return self
        x = self.x.astype("float64")
        return MultiLayerProblem(x, self.dictionary.as_double, self.penalties)

    @cached_property
    def step_sizes(self) -> tuple[float, ...]:
        """``mu_i = 1 / L_i``, with certified bounds L_i of ``||D_i||^2``."""
        return tuple(1 / part.lipschitz() for part in self.layers)

    def _subgradients(self, chain, step_sizes):
        """Of p_i at the codes that one pass of ML-ISTA makes, for the layers i < L."""
        below, duals, product = self.x, [], 1.0
        for part, g, mu in zip(self.layers[:-1], chain, step_sizes, strict=False):
            product *= mu
            v = g + mu * part.dictionary.adjoint(below - part.synthesize(g))
            below = part.penalty.prox(v, product)
            duals.append((v - below) / product)
        return duals


def _check_codes(i, penalty, x, shape):
    """Refuse a penalty whose weights or groups do not fit the codes of layer i."""
    try:
        check_penalty(penalty, x, shape)
    except ValueError as error:
        raise ValueError(f"penalty {i}: {error}") from None


def _gap(x, r, chain, subgradients, penalties):
    """Objective and gap of each signal, ``(N,)`` each."""
    xp, pairs = namespace(x), list(zip(penalties, chain, subgradients, strict=True))
    rows, samples = r.reshape(len(r), -1), x.reshape(len(x), -1)
    energy, inner = xp.einsum("ni,ni->n", rows, rows), xp.einsum("ni,ni->n", samples, rows)
    value = 0.5 * energy + sum(_penalty_values(penalties, chain, subgradients[:-1]))
    most = 1.0
    for p, _, u in pairs:
        most = xp.minimum(most, 1 / xp.maximum(p.dual_norm(u), np.finfo("float64").tiny))
    s = xp.clip(inner / xp.where(energy > 0, energy, 1), 0, most)
    dual = s * inner - 0.5 * s * s * energy - sum(p.conjugate(u, s) for p, _, u in pairs)
    return value, xp.maximum(value - dual, 0)


def _refuse_missing(x):
    """Refuse NaN, which elsewhere marks missing samples."""
    x = check_real("x", x)
    if x.size and namespace(x).isnan(x.min()):
        raise ValueError(
            "x holds NaN: multi-layer problems allow no missing samples; fill them in, for example "
            "by csc.sparse_code(...).reconstruction()"
        )


def _penalty_values(penalties, chain, duals):
    """Penalty of the codes of each layer, ``(N,)`` each; below zero see `MultiLayerProblem`."""
    values = []
    for i, (penalty, g) in enumerate(zip(penalties, chain, strict=True)):
        if i < len(duals) and getattr(penalty, "positive", False):
            values.append(_relaxed(penalty, g, duals[i]))
        else:
            values.append(penalty.values(g))
    return values


def _relaxed(penalty, g, dual):
    """Penalty of codes >= 0, and for what lies below zero an exact penalty.

    The exact penalty is twice the largest dual, which no dual point of the gap exceeds: the relaxed
    problem then has the minimum, and the duals, of the one with the constraint.
    """
    xp, n = namespace(g), len(g)
    below = xp.maximum(-g, 0).reshape(n, -1).sum(axis=1)
    penalty_value = xp.maximum(
        2 * xp.maximum(-dual, 0).reshape(n, -1).max(axis=1), float(penalty.lmbda)
    )
    return penalty.values(xp.maximum(g, 0)) + penalty_value * below
