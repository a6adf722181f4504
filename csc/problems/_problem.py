"""The problem: signals, a data term, a dictionary, a penalty on the codes."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from csc import certificates
from csc._backend import namespace
from csc._repr_html import card
from csc._typing import Array, ArrayLike, DataTerm, Penalty, Shape
from csc._validation import (
    check_instance,
    check_real,
    check_scale,
    check_weights,
    fill_missing,
    split_missing,
)
from csc.certificates import (
    GroupScores,
    ball_certificate,
    data_term_certificate,
    group_certificate,
    is_inside,
    lasso_certificate,
    lmbda_max_with_free_codes,
    local_certificate,
    penalty_of_codes,
)
from csc.data_terms import (
    LEAST_SQUARES,
    dual_point,
    is_plain,
    largest_curvature,
    observed_weights,
    values,
)
from csc.operators import (
    Dictionary,
    MeasuredDictionary,
    MomentumPoint,
    PaddedSignals,
    SparseCodes,
    SparseResidual,
    code_values,
    dense_codes,
)
from csc.penalties import (
    L0,
    L1,
    ElasticNet,
    GroupL21,
    L1Ball,
    LogPenalty,
    SparseGroupL21,
    atom_weights,
    resolved,
    ridge_of,
)
from csc.problems._proximal_step import descend, masked, residual_of_fit
from csc.problems._structure import ProblemStructure


@dataclass(frozen=True, eq=False)
class Problem:
    """minimise over z  ``data_term(x, D z) + penalty(z)``, by default ``1/2 ||M (x - D z)||^2``.

    Parameters
    ----------
    x : array (N, C, *S), float32 or float64
        Signals. NaN marks what is missing, and so do masked entries of masked arrays. Neither signals,
        mask nor weights are copied: do not change them in place.
    dictionary : Dictionary or MeasuredDictionary
        D, of the same dtype.
    penalty : L1, ElasticNet, GroupL21, SparseGroupL21, L1Ball, Simplex, L0 or LogPenalty
        A relative ``lmbda`` is resolved here, against these signals.
    mask : array, optional
        1 = observed, 0 = missing; broadcastable to ``x``.
    data_term : LeastSquares, Huber, LeastAbsolute, Poisson or Logistic, optional
        See `csc.data_terms`; solvers say which they support.

    Raises
    ------
    TypeError, ValueError
        If shapes, precisions or devices do not agree, or values are not finite.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.eye(2)[:, None])
    >>> problem = csc.Problem(np.array([[[3.0, 1.0]]]), D, csc.L1(1.0))
    >>> problem.value(problem.zeros()), round(problem.gap(problem.zeros()), 3)
    (5.0, 2.222)
    """

    x: Array
    dictionary: Dictionary | MeasuredDictionary
    penalty: Penalty
    mask: Array | None = None
    data_term: DataTerm = LEAST_SQUARES

    if TYPE_CHECKING:  # the fields above are what is kept, this what may come

        def __init__(
            self,
            x: ArrayLike,
            dictionary: Dictionary | MeasuredDictionary,
            penalty: Penalty,
            mask: ArrayLike | None = None,
            data_term: DataTerm = LEAST_SQUARES,
        ) -> None: ...

    def __post_init__(self):
        D = self.dictionary
        if not isinstance(D, Dictionary | MeasuredDictionary):
            raise TypeError(
                f"dictionary must be a csc.Dictionary, got {type(D).__name__}; wrap the atoms: "
                "csc.Dictionary(atoms)"
            )
        check_instance("penalty", self.penalty, "prox", "csc.L1(0.1)")
        check_instance("data_term", self.data_term, "slope", "csc.data_terms.Huber(0.1)")
        x, mask = split_missing(self.x, self.mask)
        if mask is not None:
            x, mask = fill_missing(x, mask)
        x = D.check_signals("x", x)
        check_scale("x", x)
        check_scale("atoms", D.atoms)
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "mask", mask)
        if not is_plain(self.data_term):
            self._check_data_term(x, mask)
        object.__setattr__(self, "penalty", self._resolved(self.penalty))

    def _check_data_term(self, x, mask):
        observed_weights(self.data_term, x, mask)  # raises if they do not fit
        if hasattr(self.data_term, "check"):
            self.data_term.check(x, self.dictionary, self.penalty)

    def _resolved(self, penalty):
        check_penalty(penalty, self.x, self.code_shape)
        return resolved(penalty, lambda: self.lmbda_max(penalty))

    def __repr__(self):
        data_term = "" if is_plain(self.data_term) else f", data_term={self.data_term!r}"
        return f"Problem(x {self.x.shape}, {self.dictionary!r}, {self.penalty!r}{data_term})"

    def _repr_html_(self):
        return card(repr(self), self.dictionary.atoms)

    @cached_property
    def structure(self) -> ProblemStructure:
        """What solvers ask beyond the objective: kind of problem, lambda of each atom, products."""
        of = self.x, self.dictionary, self.penalty, self.mask, self.code_shape
        return ProblemStructure(*of, self.data_term)

    @property
    def code_shape(self) -> Shape:
        """Shape ``(N, K, *V)`` of the codes."""
        D = self.dictionary
        return (len(self.x), D.n_atoms, *D.spatial_code_shape(self.x.shape[2:]))

    def zeros(self) -> Array:
        """Codes of zeros, where pursuits start."""
        return namespace(self.x).zeros(self.code_shape, self.x.dtype)

    def synthesize(self, z: Array | SparseCodes) -> Array:
        """``D z`` of the signals' spatial shape, of dense or sparse codes."""
        if isinstance(z, SparseCodes) and self.dictionary.is_convolution:
            layout = PaddedSignals(self.dictionary, self.x.shape, self.x.dtype)
            return layout.synthesize(z)
        return self.dictionary(dense_codes(z), self.x.shape[2:])

    def reconstruct(self, z: Array | SparseCodes) -> Array:
        """Signals ``D z``, also where ``x`` are measurements of them."""
        D = self.dictionary
        return self.synthesize(z) if D.is_convolution else D.reconstruct(dense_codes(z))

    def residual(self, z: Array | SparseCodes) -> Array:
        """``M (x - D z)``, of dense or sparse codes; in general, minus the slope of the data term."""
        return residual_of_fit(self, self.x, self.synthesize(z))

    def value(self, z: Array | SparseCodes) -> float:
        """Objective at codes ``z``, computed in float64."""
        z = self._checked(z)
        if isinstance(z, SparseCodes) and self.dictionary.is_convolution:
            fit = PaddedSignals(self.dictionary, self.x.shape, "float64").synthesize(z)
        else:
            fit = self.dictionary.as_double(dense_codes(z).astype("float64"), self.x.shape[2:])
        x = self.x.astype("float64")
        if not is_plain(self.data_term):
            weights = self.structure.sample_weights
            return float(values(self.data_term, x, fit, weights).sum()) + self.penalty_value(z)
        r = masked(x - fit, self.mask)
        return 0.5 * float((r * r).sum()) + self.penalty_value(z)

    def penalty_value(self, z: Array | SparseCodes) -> float:
        """Penalty of dense or sparse codes ``z``."""
        z, penalty = self._checked(z), self.penalty
        if not isinstance(z, SparseCodes):
            return penalty.value(z)
        if isinstance(penalty, GroupL21 | SparseGroupL21) and self.structure.has_group_dual:
            return float(penalty_of_codes(z, penalty).sum())
        if type(penalty) is not L1 or penalty.weights is None:
            separable = type(penalty) in (L1, ElasticNet, L0, LogPenalty)
            return penalty.value(z.values if separable else z.dense())
        weights, n_axes = penalty.weights, len(self.code_shape)
        own = z.pick(weights.reshape((1,) * (n_axes - weights.ndim) + weights.shape))
        return replace(penalty, weights=own).value(z.values) if len(own) else 0.0

    def grad(self, z: Array | SparseCodes) -> Array:
        """Gradient of the data term: of least squares ``-D^T M (x - D z)``."""
        return -self.dictionary.adjoint(self.residual(z))

    def prox_grad(self, z: Array | SparseCodes, step: float) -> Array:
        """One proximal-gradient step of length ``step`` from ``z``."""
        Dz = self.synthesize(z)
        return self.proximal_step((z, z), (Dz, Dz), 0.0, step)[0]

    def proximal_step(self, codes: Any, fits: Any, momentum: Any, step: float) -> tuple[Array, Any]:
        """One proximal-gradient step from ``y = z + momentum (z - z_old)``.

        Parameters
        ----------
        codes : (z, z_old), arrays (N, K, *V)
        fits : (D z, D z_old), arrays (N, C, *S)
            They give D y: y itself is never stored.
        momentum, step : floats

        Returns
        -------
        z_new : array (N, K, *V)
        restart_score : float
            ``<y - z_new, z_new - z>``: above 0, the momentum raises the objective.
        """
        return descend(self, self.x, fits, MomentumPoint(*codes, momentum), step, step)

    def lipschitz(self) -> float:
        """Certified upper bound of the Lipschitz constant of `grad`; infinite if it is not smooth."""
        bound = self.dictionary.lipschitz(self.x.shape[2:])
        if is_plain(self.data_term):
            return bound
        return bound * largest_curvature(self.data_term, self.x, self.structure.sample_weights)

    def lmbda_max(self, penalty: Any = None) -> float:
        """Smallest ``lmbda`` at which all penalised codes are zero (see the penalty)."""
        penalty = self.penalty if penalty is None else penalty
        D = self.dictionary
        if not is_plain(self.data_term):
            return self._lmbda_max_of_data_term(penalty)
        if type(penalty) is L1 and penalty.weights is not None:
            free = namespace(self.x).broadcast_to(penalty.weights == 0, self.code_shape)
            if free.any():
                return lmbda_max_with_free_codes(free, penalty, self)
        # not `structure`: the penalty may not be resolved yet
        is_patch = self.mask is None and D.is_patch(self.x.shape[2:])
        on_host = namespace(self.x) is np
        if type(penalty) is L1 and D.is_convolution and not is_patch and on_host:
            weights = atom_weights(penalty.weights, self.code_shape, self.x)
            if weights is not None:  # no array of K x pixels
                layout = PaddedSignals(D, self.x.shape, self.x.dtype)
                x, _ = layout.observed(self.x, self.mask)
                return max(
                    float(layout.dual_infeasibility(x, 1 / weights, penalty.positive).max()), 0.0
                )
        if type(penalty) is L0 and not D.is_convolution:
            raise ValueError(
                "lmbda of an L0 penalty must be a number where signals are measured: the norms of "
                "measured atoms are not known"
            )
        return penalty.lmbda_max(D.adjoint(self.x), self._atom_energies(type(penalty) is L0))

    def _lmbda_max_of_data_term(self, penalty):
        free = getattr(penalty, "weights", None)
        if type(penalty) is L0 or (free is not None and bool((free == 0).any())):
            raise ValueError(
                "lmbda must be a number for L0 penalties and for codes of weight 0, if the data term "
                f"is {self.data_term!r}"
            )
        fit = namespace(self.x).zeros_like(self.x)
        # not `structure`: the penalty may not be resolved yet
        weights = observed_weights(self.data_term, self.x, self.mask)
        slope = dual_point(self.data_term, self.x, fit, weights)
        return penalty.lmbda_max(self.dictionary.adjoint(slope))

    def _atom_energies(self, of_seen):
        """Squared norms of the atoms; ``of_seen``: of what the mask leaves of them at every code."""
        D = self.dictionary
        if of_seen and self.mask is not None:
            seen = namespace(self.x).broadcast_to(self.mask, self.x.shape).astype(self.x.dtype)
            return replace(D, atoms=D.atoms * D.atoms).adjoint(seen)
        energies = (D.atoms.reshape(D.n_atoms, -1) ** 2).sum(axis=1)
        return energies.reshape(-1, *(1,) * (D.atoms.ndim - 2))

    def gap(self, z: Array | SparseCodes) -> float:
        """Bound on how far the objective at ``z`` lies above its minimum."""
        return self.certificate(z)[1]

    def certificate(
        self, z: Array | SparseCodes, theta: Array | None = None
    ) -> tuple[float, float]:
        """Objective and duality gap at ``z``, in float64; the gap is infinite if not convex.

        ``theta``, of the shape of ``x``, is a dual point; by default `residual`. Other data terms than
        least squares use it: where they have no slope, a solver knows a better one.
        """
        z = self._checked(z)
        if not self.penalty.convex:
            return self.value(z), inf
        z = z if self.structure.certifies_sparse_codes else dense_codes(z)
        if not is_plain(self.data_term):
            structure = self.structure
            lmbda = structure.code_lmbda if structure.has_local_dual else None
            model = self.data_term, structure.sample_weights, self.penalty, lmbda
            return data_term_certificate(self.x, self.dictionary, z, model, theta)
        if self.structure.is_patch and self.structure.has_positive_lmbda:
            return self._patch_certificate(z)
        if self.structure.has_group_dual:
            return self._group_certificate(SparseCodes.of(z))
        if self.structure.has_local_dual or self._is_sparse_elastic_net(z):
            return self._local_certificate(z)
        of = self.x, self.dictionary, z, self.penalty, self.mask
        if self.structure.has_positive_lmbda:
            weights = atom_weights(self.penalty.weights, self.code_shape, self.x).astype("float64")
            cost, gap = local_certificate(*of, float(self.penalty.lmbda) * weights)
        else:
            cost, gap = certificates.certificate(*of)
        return float(cost.sum()), float(gap.sum())

    def _patch_certificate(self, z):
        n, structure = len(z), self.structure
        form = structure.gram_form
        xp = namespace(z)
        objective, gap = xp.empty(n), xp.empty(n)
        structure.kernels.certify_patches(
            self.x.reshape(n, -1), self.dictionary.matrix, form.gram, form.correlations,
            structure.atom_lmbda, self.penalty.positive, z.reshape(n, -1), objective, gap,
        )  # fmt: skip
        return float(objective.sum()), float(gap.sum())

    def _local_certificate(self, z):
        negative = self.penalty.positive and bool((code_values(z) < 0).any())
        z = SparseCodes.of(z)
        if self.penalty.positive:
            z = SparseCodes(z.shape, z.index, np.maximum(z.values, 0))
        residual = SparseResidual(self.x, self.dictionary, z, "float64", self.mask)
        options = ridge_of(self.penalty), self.penalty.positive
        lmbda = self.structure.code_lmbda.astype("float64")
        objective, gap = lasso_certificate(residual, lmbda, options)
        return inf if negative else float(objective.sum()), float(gap.sum())

    def _group_certificate(self, z):
        residual = SparseResidual(self.x, self.dictionary, z, "float64", self.mask)
        if type(self.penalty) is not L1Ball:
            scores = GroupScores(residual.layout, self.penalty)
            objective, gap = group_certificate(residual, scores)
        else:
            objective, gap = ball_certificate(residual, self.penalty.radius)
            if is_inside(z, self.penalty.radius):
                of = self.x, self.dictionary, z.dense(), self.penalty, self.mask
                gap = np.minimum(gap, certificates.certificate(*of)[1])
        return float(objective.sum()), float(gap.sum())

    def _is_sparse_elastic_net(self, z):
        sparse = isinstance(z, SparseCodes) and self.structure.certifies_sparse_codes
        return sparse and type(self.penalty) is ElasticNet

    def _checked(self, z):
        """Codes of this problem, or an error."""
        if not isinstance(z, SparseCodes):
            z = check_real("z", z)
        if z.shape != self.code_shape:
            raise ValueError(f"z must be codes of shape {self.code_shape}, got {z.shape}")
        return z


def check_penalty(penalty, x, code_shape):
    """Refuse a penalty whose groups or weights do not fit codes of this shape."""
    if hasattr(penalty, "check_codes"):
        penalty.check_codes(code_shape)
    if type(penalty) is L1 and penalty.weights is not None:
        check_weights(penalty.weights, x, code_shape)
