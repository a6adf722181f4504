"""The problem: signals, a dictionary, a penalty on the codes."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from csc import certificates
from csc._backend import kernels, namespace
from csc._repr_html import card
from csc._typing import Array, ArrayLike, Extents, Penalty
from csc._validation import (
    check_instance,
    check_real,
    check_scale,
    check_weights,
    fill_missing,
    split_missing,
)
from csc.certificates import lmbda_max_with_free_codes, local_certificate, sparse_certificate
from csc.operators import (
    CirculantGram,
    Dictionary,
    MeasuredDictionary,
    MomentumPoint,
    PaddedSignals,
    SoftThreshold,
    SparseCodes,
    SparseResidual,
)
from csc.penalties import L0, L1, ElasticNet, LogPenalty, atom_weights, finite_lmbda, resolved


class GramForm(NamedTuple):
    """A patch problem as products of atoms and signals: solvers need no more."""

    gram: np.ndarray  # (K, K)  D^T D
    correlations: np.ndarray  # (N, K)  D^T x
    energies: np.ndarray  # (N,)  ||x||^2


@dataclass(frozen=True, eq=False)
class Problem:
    """minimise over z  ``1/2 ||M (x - D z)||^2 + penalty(z)``.

    Parameters
    ----------
    x : array (N, C, *S), float32 or float64
        Signals. NaN marks what is missing, and so do masked entries of masked arrays. Not copied:
        do not change it in place.
    dictionary : Dictionary or MeasuredDictionary
        D, of the same dtype.
    penalty : L1, ElasticNet, GroupL21, L0 or LogPenalty
        A relative ``lmbda`` is resolved here, against these signals.
    mask : array, optional
        1 = observed, 0 = missing; broadcastable to ``x``.

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

    if TYPE_CHECKING:  # the fields above are what is kept, this what may come

        def __init__(
            self,
            x: ArrayLike,
            dictionary: Dictionary | MeasuredDictionary,
            penalty: Penalty,
            mask: ArrayLike | None = None,
        ) -> None: ...

    def __post_init__(self):
        D = self.dictionary
        if not isinstance(D, Dictionary | MeasuredDictionary):
            raise TypeError(
                f"dictionary must be a csc.Dictionary, got {type(D).__name__}; wrap the atoms: "
                "csc.Dictionary(atoms)"
            )
        check_instance("penalty", self.penalty, "prox", "csc.L1(0.1)")
        x, mask = split_missing(self.x, self.mask)
        if mask is not None:
            x, mask = fill_missing(x, mask)
        x = D.check_signals("x", x)
        check_scale("x", x)
        check_scale("atoms", D.atoms)
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "mask", mask)
        object.__setattr__(self, "penalty", self._resolved(self.penalty))

    def _resolved(self, penalty):
        check_penalty(penalty, self.x, self.code_shape)
        return resolved(penalty, lambda: self.lmbda_max(penalty))

    def __repr__(self):
        return f"Problem(x {self.x.shape}, {self.dictionary!r}, {self.penalty!r})"

    def _repr_html_(self):
        return card(repr(self), self.dictionary.atoms)

    @property
    def code_shape(self) -> Extents:
        """Shape ``(N, K, *V)`` of the codes."""
        D = self.dictionary
        return (len(self.x), D.n_atoms, *D.code_extents(self.x.shape[2:]))

    def zeros(self) -> Array:
        """Codes of zeros, where pursuits start."""
        return namespace(self.x).zeros(self.code_shape, self.x.dtype)

    def empty(self) -> Array:
        """Codes without values, for a solver to fill."""
        return namespace(self.x).empty(self.code_shape, self.x.dtype)

    def synthesize(self, z: Array | SparseCodes) -> Array:
        """``D z`` of the signals' extents, of dense or sparse codes."""
        if isinstance(z, SparseCodes):
            layout = PaddedSignals(self.dictionary, self.x.shape, self.x.dtype)
            return layout.synthesize(z)
        return self.dictionary(z, self.x.shape[2:])

    def reconstruct(self, z: Array | SparseCodes) -> Array:
        """Signals ``D z``, also where ``x`` are measurements of them."""
        D = self.dictionary
        return self.synthesize(z) if D.is_convolution else D.reconstruct(z)

    def residual(self, z: Array | SparseCodes) -> Array:
        """``M (x - D z)``, of dense or sparse codes."""
        return self._masked(self.x - self.synthesize(z))

    def value(self, z: Array | SparseCodes) -> float:
        """Objective at codes ``z``, computed in float64."""
        z = self._checked(z)
        if isinstance(z, SparseCodes):
            fit = PaddedSignals(self.dictionary, self.x.shape, "float64").synthesize(z)
        else:
            fit = self.dictionary.as_double(z.astype("float64"), self.x.shape[2:])
        r = self._masked(self.x.astype("float64") - fit)
        return 0.5 * float((r * r).sum()) + self.penalty_value(z)

    def penalty_value(self, z: Array | SparseCodes) -> float:
        """Penalty of dense or sparse codes ``z``."""
        z, penalty = self._checked(z), self.penalty
        if not isinstance(z, SparseCodes):
            return penalty.value(z)
        if not self._is_l1 or penalty.weights is None:
            separable = type(penalty) in (L1, ElasticNet, L0, LogPenalty)
            return penalty.value(z.values if separable else z.dense())
        weights = self._atom_weights(penalty)
        if weights is None:
            return penalty.value(z.dense())
        own = weights[z.index % len(weights)]
        return replace(penalty, weights=own).value(z.values) if len(own) else 0.0

    def grad(self, z: Array | SparseCodes) -> Array:
        """Gradient of the data term: ``-D^T M (x - D z)``."""
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
        return self.descend(self.x, fits, MomentumPoint(*codes, momentum), step, step)

    def descend(self, x: Array, fits: Any, point: Any, step: float, threshold: float) -> Any:
        """`shrink` of the residuals ``M (x - D y)`` of signals x, y the extrapolated point.

        Parameters
        ----------
        x : array (N, C, *S)
        fits : (D z, D z_old), arrays (N, C, *S)
        point, step, threshold
            As `shrink`.
        """
        (Dz, Dz_old), momentum, number = fits, point[2], namespace(x).asarray
        D, is_whole = self.dictionary, self.mask is None and self._is_soft
        if is_whole and D.has_proximal_step(Dz):
            return D.proximal_step(x, step, point, self._prox(threshold, x.dtype), fits)
        r = self._masked(x - (Dz + number(momentum, dtype=Dz.dtype) * (Dz - Dz_old)))
        return self.shrink(r, point, step, threshold)

    def shrink(self, r: Array, point: Any, step: float, threshold: float) -> tuple[Array, Any]:
        """``prox(y + step D^T r)`` of ``threshold`` times the penalty, y the extrapolated point.

        Parameters
        ----------
        r : array (N, C, *S)
            Residuals.
        point : (z, z_old, momentum)
            ``y = z + momentum (z - z_old)``.
        step, threshold : floats

        Returns
        -------
        z_new, restart_score
            As `proximal_step`.
        """
        (z, z_old, momentum), number = point, namespace(r).asarray
        if self._is_soft and self.dictionary.has_proximal_step(r):
            prox = self._prox(threshold, z.dtype)
            return self.dictionary.proximal_step(r, step, point, prox)
        y = z if z is z_old else z + number(momentum, dtype=z.dtype) * (z - z_old)
        move = number(step, dtype=z.dtype) * self.dictionary.adjoint(r)
        z_new = self.penalty.prox(y + move, threshold)
        return z_new, ((y - z_new) * (z_new - z)).sum()

    def _prox(self, threshold, dtype):
        """Thresholds of the atoms, factor, and sign of the prox, as the kernels take it."""
        thresholds = threshold * self.atom_lmbda.astype("float64")
        factor = 1 / (1 + threshold * self.penalty.lmbda * self.penalty.ridge)
        return SoftThreshold(thresholds.astype(dtype), factor, self.penalty.positive)

    @cached_property
    def _is_soft(self):
        """Whether the prox is a soft threshold per atom, times a factor."""
        if type(self.penalty) not in (L1, ElasticNet) or not self.dictionary.is_convolution:
            return False
        return self.atom_lmbda is not None

    @property
    def _is_l1(self):
        """Whether the penalty is `L1` itself: a class of the user's may do otherwise."""
        return type(self.penalty) is L1

    def lipschitz(self) -> float:
        """Certified upper bound of the Lipschitz constant of `grad`."""
        return self.dictionary.lipschitz(self.x.shape[2:])

    def lmbda_max(self, penalty: Any = None) -> float:
        """Smallest ``lmbda`` at which all penalised codes are zero (see the penalty)."""
        penalty = self.penalty if penalty is None else penalty
        D = self.dictionary
        if type(penalty) is L1 and penalty.weights is not None:
            free = namespace(self.x).broadcast_to(penalty.weights == 0, self.code_shape)
            if free.any():
                return lmbda_max_with_free_codes(free, penalty, self)
        if type(penalty) is L1 and D.is_convolution and not self.is_patch and self.on_host:
            weights = self._atom_weights(penalty)
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
        energies = (D.atoms.reshape(D.n_atoms, -1) ** 2).sum(axis=1)
        energies = energies.reshape(-1, *(1,) * (D.atoms.ndim - 2))
        return penalty.lmbda_max(D.adjoint(self.x), energies)

    def gap(self, z: Array | SparseCodes) -> float:
        """Bound on how far the objective at ``z`` lies above its minimum."""
        return self.certificate(z)[1]

    def certificate(self, z: Array | SparseCodes) -> tuple[float, float]:
        """Objective and duality gap at ``z``, in float64; the gap is infinite if not convex."""
        z = self._checked(z)
        if not self.penalty.convex:
            return self.value(z), inf
        if self.is_patch and self._has_positive_lmbda:
            return self._patch_certificate(z)
        if self.has_local_dual:
            return self._local_certificate(z)
        of = self.x, self.dictionary, z, self.penalty, self.mask
        if self._has_positive_lmbda:
            weights = self._atom_weights(self.penalty).astype("float64")
            cost, gap = local_certificate(*of, float(self.penalty.lmbda) * weights)
        else:
            cost, gap = certificates.certificate(*of)
        return float(cost.sum()), float(gap.sum())

    @property
    def is_patch(self) -> bool:
        """Whether the atoms have one position and every signal is seen whole."""
        return self.mask is None and self.dictionary.is_patch(self.x.shape[2:])

    @cached_property
    def gram_form(self) -> GramForm:
        """Gram matrix, correlations and energies of a patch problem."""
        return self._gram_form(self.x, self.dictionary)

    @cached_property
    def gram_form_double(self) -> GramForm:
        """`gram_form` in float64: coherent atoms lose digits that float32 does not have."""
        if self.x.dtype == "float64":
            return self.gram_form
        return self._gram_form(self.x.astype("float64"), self.dictionary.as_double)

    def _gram_form(self, x, D):
        energies, rows = namespace(x).empty(len(x)), x.reshape(len(x), -1)
        self.kernels.inner_products(rows, rows, energies)
        correlations = namespace(x).ascontiguousarray(D.adjoint(x).reshape(len(x), -1))
        return GramForm(D.patch_gram, correlations, energies)

    @cached_property
    def rounding(self) -> float:
        """Objective that the rounding of the signals alone may leave."""
        eps = 128 * np.finfo(self.x.dtype).eps
        x = self._masked(self.x.astype("float64"))
        return 0.5 * eps**2 * float((x * x).sum())

    @cached_property
    def atom_lmbda(self) -> Array | None:
        """``lmbda w`` of each atom ``(K,)``, or None where weights differ between places.

        For a weight of inf it is a number that no correlation reaches.
        """
        if type(self.penalty) not in (L1, ElasticNet):
            return None
        weights = self._atom_weights(self.penalty)
        if weights is None:
            return None
        if self.penalty.weights is None:
            return weights.dtype.type(self.penalty.lmbda) * weights
        return finite_lmbda(self.penalty.lmbda, weights, self.dictionary.atoms, self.x)

    def _atom_weights(self, penalty):
        return atom_weights(penalty.weights, self.code_shape, self.x)

    @property
    def kernels(self) -> ModuleType:
        """Kernels of the device that holds the signals; not all devices have all."""
        return kernels(self.x)

    @property
    def on_host(self) -> bool:
        """Whether arrays are NumPy's: pursuits that follow single codes are the CPU's."""
        return namespace(self.x) is np

    def _patch_certificate(self, z):
        n, form = len(z), self.gram_form
        xp = namespace(z)
        objective, gap = xp.empty(n), xp.empty(n)
        self.kernels.certify_patches(
            self.x.reshape(n, -1), self.dictionary.matrix, form.gram, form.correlations,
            self.atom_lmbda, self.penalty.positive, z.reshape(n, -1), objective, gap,
        )  # fmt: skip
        return float(objective.sum()), float(gap.sum())

    @property
    def has_spectra(self) -> bool:
        """Whether D is a product at every frequency: it wraps around and every sample is seen."""
        D = self.dictionary
        return self.on_host and self.mask is None and D.mode == "circular" and D.geometry.is_dense

    def solve_ridge(self, v: Array, rho: float) -> Array:
        """argmin over z  ``1/2 ||x - D z||^2 + rho / 2 ||z - v||^2``, if `has_spectra`."""
        rho = self.x.dtype.type(rho)
        return self._spectra.solve(self._correlations + rho * v, rho)

    @cached_property
    def _spectra(self):
        return CirculantGram.of(self.dictionary.atoms, self.x.shape[2:])

    @cached_property
    def _correlations(self):
        return self.dictionary.adjoint(self.x)

    @property
    def sees_whole_atoms(self) -> bool:
        """Whether no border cuts an atom and no sample is missing."""
        whole = self.dictionary.mode in {"full", "circular"}
        return whole and self.mask is None and self.on_host

    @property
    def has_local_dual(self) -> bool:
        """Whether dual points may be shrunk place by place: a lasso with lambdas > 0."""
        return self._has_positive_lmbda and self.on_host

    @cached_property
    def _has_positive_lmbda(self):
        if not self._is_l1 or not self.dictionary.is_convolution:
            return False
        return self.atom_lmbda is not None and bool((self.atom_lmbda > 0).all())

    def _local_certificate(self, z):
        negative = self.penalty.positive and bool((_values(z) < 0).any())
        z = SparseCodes.of(z)
        if self.penalty.positive:
            z = SparseCodes(z.shape, z.index, np.maximum(z.values, 0))
        residual = SparseResidual(self.x, self.dictionary, z, "float64", self.mask)
        lmbda = self.atom_lmbda.astype("float64")
        objective, gap = sparse_certificate(residual, lmbda, self.penalty.positive)
        return inf if negative else float(objective.sum()), float(gap.sum())

    def _checked(self, z):
        """Codes of this problem, or an error."""
        if not isinstance(z, SparseCodes):
            z = check_real("z", z)
        if z.shape != self.code_shape:
            raise ValueError(f"z must be codes of shape {self.code_shape}, got {z.shape}")
        return z

    def _masked(self, a):
        return a if self.mask is None else a * self.mask.astype(a.dtype)


def _values(z):
    return z.values if isinstance(z, SparseCodes) else z


def check_penalty(penalty, x, code_shape):
    """Refuse a penalty whose groups or weights do not fit codes of this shape."""
    if hasattr(penalty, "check_codes"):
        penalty.check_codes(code_shape)
    if type(penalty) is L1 and penalty.weights is not None:
        check_weights(penalty.weights, x, code_shape)
