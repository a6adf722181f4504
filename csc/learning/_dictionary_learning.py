"""Dictionary learning, online or in batch, from patches or from signals of any size."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from math import inf
from typing import Any, Self

import numpy as np

from csc._backend import check_same_device, one_blas_thread, to_host
from csc._solve import solve_quietly
from csc._typing import (
    Array,
    ArrayLike,
    AtomSet,
    DataTerm,
    File,
    Mode,
    Penalty,
    SignalsLike,
    Stride,
)
from csc._validation import (
    check_atoms,
    check_count,
    check_gradient_weights,
    check_instance,
    check_like_atoms,
    check_number,
)
from csc.constraints import UnitBall, UnitSphere
from csc.data_terms import LEAST_SQUARES, is_plain
from csc.learning import _statistics as stats
from csc.learning._base import OnlineLearner, check_crop, seed_of
from csc.learning._data import Signals
from csc.learning._diagnostics import Diagnostics, examine
from csc.learning._executor import SignalSource
from csc.learning._homeostasis import HomeostaticGain
from csc.learning._memory_plan import MemoryPlan
from csc.learning._single_layer import SingleLayerLearner
from csc.learning._step import StepConfig, init_state, update_state
from csc.operators import ConvGeometry, Dictionary
from csc.penalties import L0, L1, Lmbda, Relative, TargetSparsity, warn_of_zero_codes
from csc.problems import Problem, with_gradient_term

MAX_TARGET_SAMPLES = 2**16  # on which lmbda is first searched for a target; at least one signal
FIRST_CODING_TOL = 0.1  # relative gap of the first codes of signals larger than the atoms
FIRST_ONLINE_CODING_TOL = 0.02  # the same online, where codes are not refined in the next pass
SPARSE_PENALTIES = (L1, L0)  # penalties whose codes are stored as sparse arrays
UPDATE_PASSES = 10  # over the atoms per update, if the batch is all signals; online one pass


@dataclass(eq=False, repr=False)
class DictionaryLearning(SingleLayerLearner, OnlineLearner):
    """Learn atoms ``D`` and codes ``z`` from patches, or from signals of any size.

        minimise over D, z   mean_n  1/2 ||M (x_n - D z_n)||^2 + penalty(z_n),   d_k in constraint

    or with another data term.
    Signals larger than the atoms (images, series, volumes, also of several sizes in one list) are
    represented by convolution. A step computes the codes of a batch, warm-started if possible, adds
    their moments to the sufficient statistics [1]_, and updates the atoms. If a batch has fewer
    signals than there are, this is online learning. If it has all (``batch_size=None`` or large
    enough), the objective never rises for convex penalties, unless atoms are recentred or a
    ``crop`` is set. Without these and without ``homeostasis``, such updates are over-relaxed by a
    factor of 1.6, since the codes will follow the atoms.

    Missing samples (NaN, or 0 in the mask) and samples beyond a border that atoms overhang are
    replaced by their reconstruction ``D z`` in each step.

    Dead atoms: an atom without non-zero codes at ``replace_after`` code positions is replaced by
    the worst-coded patch of the batch, or the window of the residual with the most energy, and its
    statistics are set to zero. Nothing else resets an atom.

    Parameters
    ----------
    n_atoms : int
        K.
    atom_shape : tuple of int
        Spatial shape *s*; the signals' channels are the atoms' channels.
    lmbda : float, Relative or TargetSparsity, optional
        Regularization parameter of an L1 penalty. Give this or ``penalty``. A `Relative` value is
        resolved once, on the first signals and the initial atoms; for a `TargetSparsity`, lmbda is
        adjusted in every step.
        All parameters below are keyword-only.
    mode, stride
        Allowed positions of the atoms; see `Dictionary`.
    penalty : L1, ElasticNet, GroupL21, SparseGroupL21, L1Ball, Simplex, L0 or LogPenalty, optional
        Instead of ``lmbda``: any penalty, also one of your own (docs/extending.md).
    data_term : data term, optional
        Of `csc.data_terms`; all but `LeastAbsolute`. ``Huber(delta)`` learns atoms that outliers do not
        disturb. Each update lowers least squares that lie above the data term and touch it at the codes.
    gradient_weights : array (K,), optional
        ``w_k >= 0`` of ``1/2 sum_k w_k ||G z_k||^2`` in the objective, G the differences of neighbouring
        codes: smooth maps for atoms that take the low frequencies; see
        `csc.problems.with_gradient_term`. Not with a `TargetSparsity`.
    constraint : Constraint
        Default `UnitBall`.
    homeostasis : HomeostaticGain, optional
        Adapt the norms of the atoms as in Olshausen and Field (1997).
    init : array (K, C, *s), optional
        Initial atoms; by default Gaussian noise of unit norm.
    n_fixed : int
        The first ``n_fixed`` atoms of ``init`` stay as they are, such as an impulse or a constant next to
        learned atoms; not with ``homeostasis`` or ``recentre_every``.
    batch_size : int, optional
        Signals per step; None for all. To learn online from images, use 1.
    max_iter : int
        Passes over the signals in `fit`, counted from the first `fit`.
    tol : float
        `fit` stops when a pass lowers the mean objective by less than this fraction; 0 never stops
        early. Two passes are compared only if they solve the same problem: in them no atom was
        replaced or recentred, and ``lmbda`` did not change.
    coding_tol : float
        Relative duality gap of the codes. For signals larger than the atoms, step t uses a gap of
        0.1 / t (online 0.02 / t) until this one is reached.
    forgetting : float
        Online, before step t the statistics are multiplied by ``(1 - 1/t)^forgetting``: 0 weights
        all steps alike, larger values give recent codes more weight ([1]_, sec. 3.4.2).
    replace_after : int, optional
        Code positions after which an unused atom is replaced; None never replaces. A step on
        images has many positions: online, use several times the positions of a batch, otherwise
        atoms are replaced that one batch did not use.
    recentre_every : int, optional
        Number of steps after which off-centre atoms are moved to where their energy is, and the
        less used atom of each pair of duplicates (equal up to shift and sign) is replaced by the
        worst-coded window. The objective may rise in such a step; until it is as low as before,
        ``atoms_`` are those before the step. Stride 1 only.
    crop : tuple of int, optional
        Each step uses a random window of this spatial shape of each signal.
    warm_start : bool
        `fit` continues from the current state instead of starting anew.
    random_state : int, RandomState, Generator or None
        Seed of the initial atoms and of the order of the signals.
    verbose : bool
        Show a progress bar.
    checkpoint : path, optional
        File that `fit` writes every ``checkpoint_every`` steps and when it ends or is interrupted;
        see `csc.resume`.
    checkpoint_every : int

    Attributes
    ----------
    atoms_ : array (K, C, *s)
    dictionary_ : Dictionary
    penalty_ : the penalty with its ``lmbda`` resolved to a number
    history_ : list of StepRecord
        One entry per step.
    n_iter_ : int, passes of `fit`, the current one included
    seed_ : int

    Notes
    -----
    The randomness of step t depends only on ``(seed_, t)``. A learner that was saved by `csc.save`,
    loaded and resumed (``warm_start=True``) therefore gives the atoms of an uninterrupted run, bit
    for bit (unless the first run stopped by ``tol``).
    Ctrl-C in `fit` warns and keeps the atoms so far. If scikit-learn called it (a grid search, a
    pipeline, `fit_transform`), it also raises KeyboardInterrupt, so that the caller stops as well.

    References
    ----------
    .. [1] J. Mairal, F. Bach, J. Ponce, G. Sapiro, "Online learning for matrix factorization
       and sparse coding", JMLR 11, 2010, Algorithm 1.

    Examples
    --------
    >>> import numpy as np, csc
    >>> rng = np.random.default_rng(0)
    >>> bars = rng.laplace(size=(500, 4)) @ np.eye(4).repeat(2, axis=1)  # pairs of pixels
    >>> learner = csc.DictionaryLearning(4, (8,), lmbda=0.3, random_state=0)
    >>> learner.fit(bars[:, None]).atoms_.shape
    (4, 1, 8)
    >>> codes = learner.transform(bars[:, None])
    >>> codes.shape, learner.inverse_transform(codes).shape
    ((500, 4, 1), (500, 1, 8))
    """

    n_atoms: int
    atom_shape: Sequence[int]
    lmbda: Lmbda | None = None
    _: KW_ONLY
    # the model
    mode: Mode = "full"
    stride: Stride = 1
    penalty: Penalty | None = None
    data_term: DataTerm = LEAST_SQUARES
    gradient_weights: ArrayLike | None = None
    constraint: AtomSet = UnitBall()
    homeostasis: HomeostaticGain | None = None
    # its optimisation
    init: Array | None = None
    n_fixed: int = 0
    batch_size: int | None = 512
    max_iter: int = 10
    tol: float = 1e-4
    coding_tol: float = 1e-4
    forgetting: float = 4.0
    replace_after: int | None = 5000
    recentre_every: int | None = None
    crop: Sequence[int] | None = None
    # the run
    warm_start: bool = False
    random_state: Any = None
    verbose: bool = False
    checkpoint: File | None = None
    checkpoint_every: int = 100

    def fit(
        self,
        X: SignalsLike,
        y: object = None,  # noqa: ARG002  scikit-learn's signature
        mask: SignalsLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from signals.

        Parameters
        ----------
        X : array (N, C, *S) or list of arrays (C, *S), float32 or float64
            Signals at least as large as the atoms; NaN marks missing samples.
        y : ignored
        mask : array or list of arrays, optional
            1 = observed; broadcastable to the signals.
        sample_weight : array (N,), optional
            Weights >= 0 of the signals in the objective, ``sum_n w_n f_n / sum_n w_n`` with ``f_n`` the
            objective of signal n. A weight of 2 counts as the signal given twice (the atoms are equal up
            to ``coding_tol``), 0 as not given.

        Returns
        -------
        self
        """
        return self._fit(X, mask, sample_weight)

    def partial_fit(
        self,
        X: SignalsLike,
        y: object = None,  # noqa: ARG002  scikit-learn's signature
        mask: SignalsLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Take one online step on the signals ``X``; the first call initialises the atoms.

        ``sample_weight`` as in `fit`.
        """
        return self._partial_fit(X, mask, sample_weight)

    def diagnostics(self) -> Diagnostics:
        """`Diagnostics` of the atoms so far: unused, duplicate and off-centre ones."""
        state = self._fitted()
        return examine(to_host(state.atoms), to_host(state.statistics.squares), state.unused)

    def memory_plan(self, X: SignalsLike, mask: SignalsLike | None = None) -> MemoryPlan:
        """Estimate the memory that ``fit(X)`` needs: `MemoryPlan`. Nothing is learned."""
        signals = self._validate_input(X, mask, resume=False)
        return self._memory_plan(signals)

    def _memory_plan(self, signals):
        stride = self._stride_of(signals)
        lags = () if stride is None else stats.lags_of(self.atom_shape, stride)
        return signals.memory_plan(
            self, lags, bool(lags) and type(self._requested_penalty()) not in SPARSE_PENALTIES
        )

    @property
    def _geometry(self):
        return ConvGeometry.of(self.mode, self.stride, self.atom_shape)

    def _stride_of(self, signals):
        """Stride of the codes; None for patches, whose codes have one position."""
        shapes = {tuple(shape[1:]) for shape in signals.shapes}
        if self.mode == "full" and shapes == {tuple(self.atom_shape)}:
            return None
        return self._geometry.stride

    def _solve(self, x, mask):
        problem = Problem(x, self.dictionary_, self.penalty_, mask, self.data_term)
        if self.gradient_weights is not None:
            problem = with_gradient_term(problem, self.gradient_weights)
        return solve_quietly(problem, tol=self.coding_tol)

    @property
    def atoms_(self) -> Array:
        """Atoms learned so far, ``(K, C, *s)``.

        After a step that recentred atoms, those before it, until the new ones are as good.
        """
        state = self._fitted()
        return state.atoms if state.kept is None else state.kept

    @property
    def dictionary_(self) -> Dictionary:
        """`Dictionary` of the atoms learned so far."""
        return self._dictionary(self.atoms_)

    def _validate_input(self, X, mask, resume):
        """Check all parameters and the signals."""
        self._check()
        signals, channels = X if isinstance(X, SignalSource) else Signals(X, mask), None
        if resume:
            n_atoms, channels = self.state_.atoms.shape[:2]
            check_same_device(X=signals.first, atoms_=self.state_.atoms)
            if n_atoms != self.n_atoms:
                raise ValueError(
                    f"n_atoms is {self.n_atoms} but {n_atoms} atoms are learned so far"
                )
            if (spatial_shape := self.state_.atoms.shape[2:]) != tuple(self.atom_shape):
                raise ValueError(
                    f"atom_shape is {self.atom_shape} but atoms of {spatial_shape} are learned so far"
                )
            self._check_lags()
        signals.check((channels, *self.atom_shape), self._geometry.must_fit)
        if resume:
            check_like_atoms("X", signals.first, self.state_.atoms)
        return signals

    def _check_lags(self):
        """Refuse to continue if the statistics so far are sums over other lags."""
        lags = self.state_.statistics.phi.shape[2:]
        if lags and lags != stats.lags_of(self.atom_shape, self._geometry.stride):
            raise ValueError(
                f"stride is {self.stride} but the codes so far have another one; "
                "use warm_start=False to start again"
            )

    def _check(self):
        check_count("n_atoms", self.n_atoms)
        check_atom_shape(self.atom_shape)
        for name in ("max_iter", "checkpoint_every"):
            check_count(name, getattr(self, name))
        for name in ("batch_size", "replace_after", "recentre_every"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        for name in ("tol", "coding_tol", "forgetting"):
            check_number(name, getattr(self, name))
        if (self.lmbda is None) == (self.penalty is None):
            raise ValueError(
                f"give either lmbda or penalty, got lmbda={self.lmbda!r}, penalty={self.penalty!r}"
            )
        self._check_parts()
        self._check_fixed()
        self._check_gradient()
        if self.recentre_every is not None and np.prod(self.stride) != 1:
            raise ValueError(f"recentre_every needs stride 1, got {self.stride}; leave it None")
        check_crop(self.crop, self.atom_shape, self._geometry.must_fit)

    def _check_fixed(self):
        check_count("n_fixed", self.n_fixed, low=0)
        if self.n_fixed == 0:
            return
        if self.n_fixed >= self.n_atoms or self.init is None:
            raise ValueError(
                f"n_fixed is {self.n_fixed}: give init, whose first atoms stay, and at least one atom "
                f"more (n_atoms is {self.n_atoms})"
            )
        if self.homeostasis is not None or self.recentre_every is not None:
            raise ValueError("n_fixed needs homeostasis=None and recentre_every=None")

    def _check_gradient(self):
        if self.gradient_weights is None:
            return
        if isinstance(self._requested_penalty().lmbda, TargetSparsity):
            raise ValueError(
                "gradient_weights need lmbda as a number or csc.Relative, got a TargetSparsity"
            )
        check_gradient_weights("gradient_weights", self.gradient_weights, self.n_atoms)
        fits = self._geometry.is_dense and self.mode in ("circular", "full")
        if not fits or min(self.atom_shape) < 2:
            raise ValueError(
                "gradient_weights need mode 'circular' or 'full', stride 1 and atoms of at least two "
                f"samples along each axis, got mode {self.mode!r}, stride {self.stride}, "
                f"atom_shape {self.atom_shape}"
            )

    def _check_parts(self):
        """Check the parts of the model: constraint, penalty, homeostasis."""
        check_instance("constraint", self.constraint, "project", "csc.constraints.UnitBall()")
        if self.penalty is not None:
            check_instance("penalty", self.penalty, "prox", "csc.L1(0.1)")
        check_instance("data_term", self.data_term, "slope", "csc.data_terms.Huber(0.1)")
        if not hasattr(self.data_term, "majoriser_curvature"):
            raise ValueError(
                f"data_term {self.data_term!r} has no majoriser_curvature, which updates of the atoms "
                "need; take csc.data_terms.Huber(delta) with a small delta, and lmbda times delta in place "
                "of lmbda: divided by delta, it is at most delta / 2 per sample below absolute values"
            )
        _check_sample_weights(self.data_term.weights, len(self.atom_shape))
        weights = getattr(self.penalty, "weights", None)
        if np.ndim(weights) == 2 + len(self.atom_shape) and len(weights) > 1:
            raise ValueError(
                f"penalty weights of shape {weights.shape} differ between signals, but batches "
                "change; give one weight per atom, (K, 1, ...)"
            )
        if self.homeostasis is not None:
            check_instance(
                "homeostasis", self.homeostasis, "goal", "csc.learning.HomeostaticGain()"
            )

    def _init_state(self, signals):
        """Initial state with random or given atoms."""
        atoms = None if self.init is None else check_atoms(self.init, "init")
        xp = check_same_device(X=signals.first, init=atoms)
        if xp is np:
            self._memory_plan(signals).check()
        self.seed_ = seed_of(self.random_state)
        shape = (self.n_atoms, signals.n_channels, *self.atom_shape)
        if atoms is None:
            noise = np.random.default_rng((self.seed_, 0)).standard_normal(shape)
            atoms = UnitSphere().project(xp.asarray(noise))
        elif atoms.shape != shape:
            raise ValueError(f"init must have shape (K, C, *s) = {shape}, got {atoms.shape}")
        given = atoms
        atoms = self.constraint.project(atoms).astype(signals.dtype)
        atoms[: self.n_fixed] = given[: self.n_fixed]
        self.penalty_ = self._resolved(signals, atoms)
        empty = stats.zeros_like_atoms(atoms, self._stride_of(signals))
        self.state_, self.history_ = init_state(atoms, empty), []

    def _resume(self, signals):
        """Use a changed penalty; an ``lmbda`` that was resolved or is being adjusted stays."""
        asked = self._requested_penalty()
        # lmbda = 0 cannot be adjusted, since corrections are factors
        is_resolved = isinstance(asked.lmbda, Relative | TargetSparsity) and self.penalty_.lmbda > 0
        if not is_resolved or type(asked) is not type(self.penalty_):
            self.penalty_ = self._resolved(signals, self.state_.atoms)

    def _requested_penalty(self):
        return L1(self.lmbda) if self.penalty is None else self.penalty

    def _resolved(self, signals, atoms):
        """The penalty with its ``lmbda`` resolved on the signals."""
        penalty = self._requested_penalty()
        D = self._dictionary(atoms)
        which, window = np.arange(len(signals)), None
        if isinstance(penalty.lmbda, TargetSparsity):
            n_searched = min(
                len(signals), 1 + MAX_TARGET_SAMPLES // max(map(np.prod, signals.shapes))
            )
            which, window = self._order(0, len(signals), n_searched), self._window(0)
        return signals.take(which, window).resolve(D, penalty, self.data_term)

    def _after_passes(self, signals):
        """Warn if all codes of the last step were zero: no atom can learn from them."""
        last = self.history_[-1] if self.history_ else None
        if last is None or last.n_nonzero > 0 or last.objective == 0:
            return
        is_known = type(self.penalty_) is not L0 or is_plain(self.data_term)
        if last.lmbda == 0 or not is_known:  # as of an L1Ball: there is no lmbda_max
            return
        D, form = self._dictionary(self.state_.atoms), replace(self.penalty_, lmbda=Relative(1.0))
        top = signals.take(np.arange(len(signals))).resolve(D, form, self.data_term).lmbda
        warn_of_zero_codes(last.lmbda, top, stacklevel=4)

    def _dictionary(self, atoms):
        return Dictionary(atoms, self.mode, self.stride)

    def _step(self, groups, position, online):
        """Encode the signals, update the atoms, and only then replace the state."""
        with one_blas_thread():
            self._learn(groups, position, online)

    def _learn(self, groups, position, online):
        D = self._dictionary(self.state_.atoms)
        self.penalty_ = self._corrected(online)
        starts = None if online else self.state_.codes
        terms = self.data_term, self.gradient_weights
        batch = groups.encode(D, self.penalty_, self._precision(online), starts, *terms)
        if not batch.groups:
            raise ValueError("this batch of X contains no observed sample; drop such signals")
        same_problem = not online and self.crop is None and self.homeostasis is None
        config = StepConfig(
            self.constraint,
            self.homeostasis,
            self.forgetting if online else inf,  # all signals: the statistics are replaced
            self.replace_after,
            n_passes=1 if online else UPDATE_PASSES,
            recentre_every=self.recentre_every,
            n_fixed=self.n_fixed,
            relaxes=same_problem,
            compares=same_problem
            and not isinstance(self._requested_penalty().lmbda, TargetSparsity),
        )
        state, record = update_state(self.state_, batch, config)
        codes = None if online else state.codes or batch.codes
        record = record._replace(lmbda=float(self.penalty_.lmbda))
        self._commit(state._replace(position=position, codes=codes), record)

    def _corrected(self, online):
        """The penalty of the next step, with ``lmbda`` corrected towards a target sparsity."""
        t, target = self.state_.n_steps, self._requested_penalty().lmbda
        if t == 0 or not isinstance(target, TargetSparsity):
            return self.penalty_
        last = self.history_[t - 1]
        if last.lmbda == 0:  # of an earlier fit with lmbda = 0: use the value of `_resume`
            return self.penalty_
        lmbda = target.corrected(last.lmbda, last.n_nonzero, t if online else 1)
        return replace(self.penalty_, lmbda=lmbda)

    def _precision(self, online):
        """Relative gap of the codes of the next step; it decreases as learning slows down."""
        if self.state_.statistics.phi.ndim == 2:
            return self.coding_tol  # patches are coded accurately at little cost
        first = FIRST_ONLINE_CODING_TOL if online else FIRST_CODING_TOL
        return max(self.coding_tol, first / (1 + self.state_.n_steps))


class QuietLearning(DictionaryLearning):
    """`DictionaryLearning` for callers to whom codes that are all zero are no news: there is no warning.

    They could not ignore the warning instead: filters of warnings belong to all threads.
    """

    def _after_passes(self, signals):
        pass


def check_atom_shape(atom_shape):
    """Refuse an ``atom_shape`` that is no tuple of positive integers."""
    if not isinstance(atom_shape, tuple | list):
        raise TypeError(
            f"atom_shape must be a tuple with one size per spatial axis, got {atom_shape!r}; for 1-D "
            f"signals ({atom_shape!r},)"
        )
    for extent in atom_shape:
        check_count("atom_shape", extent)


def _check_sample_weights(weights, n_axes):
    if np.ndim(weights) == 2 + n_axes and len(weights) > 1:
        raise ValueError(
            f"weights of shape {weights.shape} of the data term differ between signals, but batches "
            "change; give weights (C, *S)"
        )
