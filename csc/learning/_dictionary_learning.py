"""Dictionary learning, online or in batch, from patches or from signals of any size."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cache
from math import inf
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from csc._backend import check_same_device, namespace, to_host
from csc._progress import progress_iter
from csc._solve import solve_quietly
from csc._typing import Array, AtomSet, Codes, Extents, File, Mode, Penalty, SignalsLike, Stride
from csc._validation import check_atoms, check_count, check_instance, check_number
from csc.constraints import UnitBall, UnitSphere
from csc.learning import _statistics as stats
from csc.learning._base import Learner, check_crop, seed_of
from csc.learning._data import Signals
from csc.learning._diagnostics import Diagnostics, examine
from csc.learning._homeostasis import HomeostaticGain
from csc.learning._memory_plan import MemoryPlan
from csc.learning._step import StepConfig, init_state, update_state
from csc.operators import ConvGeometry, Dictionary
from csc.penalties import L0, L1, Lmbda, Relative, TargetSparsity, warn_of_zero_codes
from csc.problems import Problem

MAX_TARGET_SAMPLES = 2**16  # samples that a target of sparsity is first sought on, or one signal
FIRST_CODING_TOL = 0.1  # relative gap of the first codes of signals larger than the atoms,
FIRST_ONLINE_CODING_TOL = 0.02  # and where each step sees others
SPARSE_PENALTIES = (L1, L0)  # penalties under which only codes that are not zero are stored
UPDATE_PASSES = 10  # over the atoms in an update from all signals; online, one


@dataclass(eq=False, repr=False)
class DictionaryLearning(Learner):
    """Learn atoms ``D`` and codes ``z`` from patches, or from signals of any size.

        minimise over D, z   mean_n  1/2 ||M (x_n - D z_n)||^2 + penalty(z_n),   d_k in constraint

    Signals larger than the atoms are explained by convolution: images, series, volumes, also of
    several sizes in one list. A step codes a batch, warm-started where it can, adds the moments of
    the sparse codes to the sufficient statistics [1]_, and descends on the atoms. With fewer
    signals in a batch than there are, that is online learning; with all of them
    (``batch_size=None``, or large enough) the objective never rises (convex penalties), as long
    as nothing is recentred, and no ``crop`` is set; without them and ``homeostasis``, atoms then
    move 1.6 times as far as the codes ask for, since these will follow (over-relaxation).

    Missing samples, NaN or where a mask is 0, and what lies beyond a border that atoms overhang
    are taken as what the codes say of them, anew in each step.

    Dead atoms: an atom that no signal has used at ``replace_after`` code positions becomes the
    worst-coded patch of the batch, of larger signals the worst window of their residual, and what
    the statistics knew of it is forgotten. Nothing else ever resets an atom.

    Parameters
    ----------
    n_atoms : int
        K.
    atom_shape : tuple of int
        Spatial extents *s*; the signals' channels are the atoms' channels.
    lmbda : float, Relative or TargetSparsity, optional
        Regularization parameter of an L1 penalty. Give this or ``penalty``. A relative one is
        resolved once, on the first signals and the initial atoms; a target is pursued all along.
        All parameters below are keyword-only.
    mode, stride
        Where atoms may lie; see `Dictionary`.
    penalty : L1, ElasticNet, GroupL21, L0 or LogPenalty, optional
        In place of ``lmbda``: any penalty, also one of your own (docs/extending.md).
    constraint : Constraint
        Default `UnitBall`.
    homeostasis : HomeostaticGain, optional
        Adapt the atoms' norms as Olshausen and Field do.
    init : array (K, C, *s), optional
        Initial atoms; None draws Gaussian noise of unit norm.
    batch_size : int, optional
        Signals per step; None for all at once. To learn online from images, use 1.
    max_iter : int
        Passes over the signals in `fit`, counted from the first `fit`.
    tol : float
        `fit` stops early when a pass lowers the mean objective by less than this fraction;
        0 never stops early. Two passes are compared only if they solve the same problem: no atom
        was replaced or recentred in or before them, and ``lmbda`` did not change.
    coding_tol : float
        Relative duality gap of the codes. Signals larger than the atoms are first coded to a gap
        of 0.1 (online 0.02), in step t to that gap divided by t, until this one is reached.
    forgetting : float
        Online, before step t the statistics are multiplied by ``(1 - 1/t)^forgetting``:
        0 remembers everything, larger values trust recent codes more ([1]_, sec. 3.4.2).
    replace_after : int, optional
        Code positions after which an unused atom is replaced; None never replaces. A step on
        images has many positions: when learning online from them, take several times those of a
        batch, or atoms are replaced that only this batch did not need.
    recentre_every : int, optional
        Every so many steps, off-centre atoms are moved to where their energy is, and of each pair
        of duplicates (equal but for shift and sign) the less used one is replaced by the worst
        window. The objective may rise in such a step; until it is as low as before, ``atoms_``
        are those before the step. Stride 1 only.
    crop : tuple of int, optional
        Each step uses a random window of these extents of each signal.
    warm_start : bool
        `fit` continues from the present state instead of starting anew.
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
    penalty_ : the penalty with its ``lmbda`` in numbers
    history_ : list of StepRecord
        One entry per step.
    n_iter_ : int, passes of `fit` begun or done
    seed_ : int

    Notes
    -----
    All randomness of step t comes from ``(seed_, t)``, so learning saved by `csc.save`, loaded
    and resumed (``warm_start=True``) gives the atoms of an uninterrupted run, bit for bit (if the
    first run did not end by ``tol``).
    Ctrl-C in `fit` warns and keeps the atoms so far; where scikit-learn calls it (a grid, a
    pipeline, `fit_transform`), it also raises KeyboardInterrupt, so that these end too.

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
    constraint: AtomSet = UnitBall()
    homeostasis: HomeostaticGain | None = None
    # its optimisation
    init: Array | None = None
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

    def transform(self, X: SignalsLike, mask: SignalsLike | None = None) -> Codes:
        """Codes ``(N, K, *V)`` of signals as in `fit`, to relative gap ``coding_tol``.

        Of a list of signals, a list of codes ``(K, *V)``.
        """
        solutions, is_list = self._solved(X, mask)
        codes = [solution.codes for solution in solutions]
        if is_list:
            return [z for some in codes for z in some]
        return namespace(*codes).concatenate(codes)

    def inverse_transform(
        self, codes: Codes, shape: Extents | Sequence[Extents] | None = None
    ) -> Codes:
        """Signals ``(N, C, *S)`` synthesised from codes, or a list of them.

        Parameters
        ----------
        codes : array (N, K, *V) or list of arrays (K, *V)
        shape : tuple, or a list of them, optional
            Extents *S* of the signals, which a stride leaves open. By default those of the signals
            that `transform` or `fit` saw last, if they have codes like these; else the smallest.
        """
        D = self.dictionary_
        if isinstance(codes, list):
            shapes = self._extents([z.shape[1:] for z in codes], shape, D.code_extents)
            return [D(z[None], s)[0] for z, s in zip(codes, shapes, strict=True)]
        return D(codes, *self._extents([np.shape(codes)[2:]], shape, D.code_extents))

    def score(self, X: SignalsLike, y: object = None, mask: SignalsLike | None = None) -> float:  # noqa: ARG002
        """Minus the mean objective per signal of ``X``: higher is better at equal penalty."""
        solutions, _ = self._solved(X, mask)
        n = sum(len(solution.problem.x) for solution in solutions)
        return -sum(solution.objective for solution in solutions) / n

    def diagnostics(self) -> Diagnostics:
        """`Diagnostics` of the atoms so far: unused, duplicate and off-centre ones."""
        state = self._fitted()
        return examine(to_host(state.atoms), to_host(state.statistics.squares), state.unused)

    def memory_plan(self, X: SignalsLike, mask: SignalsLike | None = None) -> MemoryPlan:
        """`MemoryPlan` of the memory that ``fit(X)`` takes; nothing is learned."""
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
        """Stride of the codes; None of patches, which have one."""
        shapes = {tuple(shape[1:]) for shape in signals.shapes}
        if self.mode == "full" and shapes == {tuple(self.atom_shape)}:
            return None
        return self._geometry.stride

    def _solved(self, X, mask):
        """Solutions of all groups of signals, and whether a list of signals came."""
        D, signals = self.dictionary_, Signals(X, mask)
        check_same_device(X=signals.first, atoms_=D.atoms)
        signals.check(D.atoms.shape[1:], D.geometry.must_fit)
        self._remember(signals)
        groups = signals.take(np.arange(len(signals))).groups
        solutions = [
            solve_quietly(Problem(x, D, self.penalty_, seen), tol=self.coding_tol)
            for x, seen in progress_iter(groups, "group", verbose=self.verbose)
        ]
        if sum(len(solution.problem.x) for solution in solutions) < len(signals):
            raise ValueError("X holds signals of which nothing was observed; drop them")
        return solutions, not signals.is_array

    @property
    def atoms_(self) -> Array:
        """Atoms learned so far, ``(K, C, *s)``.

        After a step that recentred some, those before it, until the new ones are as good.
        """
        state = self._fitted()
        return state.atoms if state.kept is None else state.kept

    @property
    def dictionary_(self) -> Dictionary:
        """`Dictionary` of the atoms learned so far."""
        return self._dictionary(self.atoms_)

    def _validate_input(self, X, mask, resume):
        """The signals, after a check of them and of all parameters."""
        self._check()
        signals, channels = X if isinstance(X, Signals) else Signals(X, mask), None
        if resume:
            n_atoms, channels = self.state_.atoms.shape[:2]
            check_same_device(X=signals.first, atoms_=self.state_.atoms)
            if n_atoms != self.n_atoms:
                raise ValueError(
                    f"n_atoms is {self.n_atoms} but {n_atoms} atoms are learned so far"
                )
            if (extents := self.state_.atoms.shape[2:]) != tuple(self.atom_shape):
                raise ValueError(
                    f"atom_shape is {self.atom_shape} but atoms of {extents} are learned so far"
                )
        if resume:
            self._check_lags()
        signals.check((channels, *self.atom_shape), self._geometry.must_fit)
        return signals

    def _check_lags(self):
        """Refuse to go on where the statistics so far are sums over other shifts."""
        lags = self.state_.statistics.phi.shape[2:]
        if lags and lags != stats.lags_of(self.atom_shape, self._geometry.stride):
            raise ValueError(
                f"stride is {self.stride} but codes so far were of another; warm_start=False "
                "begins anew"
            )

    def _check(self):
        check_count("n_atoms", self.n_atoms)
        if not isinstance(self.atom_shape, tuple | list):
            raise TypeError(
                f"atom_shape must be a tuple of spatial extents, got {self.atom_shape!r}; for 1-D "
                f"signals ({self.atom_shape!r},)"
            )
        for extent in self.atom_shape:
            check_count("atom_shape", extent)
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
        if self.recentre_every is not None and np.prod(self.stride) != 1:
            raise ValueError(f"recentre_every needs stride 1, got {self.stride}; leave it None")
        check_crop(self.crop, self.atom_shape, self._geometry.must_fit)

    def _check_parts(self):
        """Refuse classes where instances are meant."""
        check_instance("constraint", self.constraint, "project", "csc.constraints.UnitBall()")
        if self.penalty is not None:
            check_instance("penalty", self.penalty, "prox", "csc.L1(0.1)")
        weights = getattr(self.penalty, "weights", None)
        if np.ndim(weights) == 2 + len(self.atom_shape) and len(weights) > 1:
            raise ValueError(
                f"penalty weights of shape {weights.shape} differ between signals, but batches "
                "change; give one weight an atom, (K, 1, ...)"
            )
        if self.homeostasis is not None:
            check_instance(
                "homeostasis", self.homeostasis, "goal", "csc.learning.HomeostaticGain()"
            )

    def _init_state(self, signals):
        """Initial state: random or given atoms, nothing seen."""
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
        atoms = self.constraint.project(atoms).astype(signals.dtype)
        self.penalty_ = self._resolved(signals, atoms)
        empty = stats.zeros_like_atoms(atoms, self._stride_of(signals))
        self.state_, self.history_ = init_state(atoms, empty), []

    def _resume(self, signals):
        """Take up a changed penalty; what was resolved or is being pursued stays."""
        asked = self._requested_penalty()
        # a strength of 0 can be pursued from nowhere: no factor changes it
        pursued = isinstance(asked.lmbda, Relative | TargetSparsity) and self.penalty_.lmbda > 0
        if not pursued or type(asked) is not type(self.penalty_):
            self.penalty_ = self._resolved(signals, self.state_.atoms)

    def _requested_penalty(self):
        return L1(self.lmbda) if self.penalty is None else self.penalty

    def _resolved(self, signals, atoms):
        """The penalty with its strength in numbers, after a check that it suits any batch."""
        penalty = self._requested_penalty()
        D = self._dictionary(atoms)
        which, window = np.arange(len(signals)), None
        if isinstance(penalty.lmbda, TargetSparsity):
            some = min(len(signals), 1 + MAX_TARGET_SAMPLES // max(map(np.prod, signals.shapes)))
            which, window = self._order(0, len(signals), some), self._window(0)
        return signals.take(which, window).resolve(D, penalty)

    def _after_passes(self, signals):
        """Warn if the last step used no code: no atom can learn from that."""
        last = self.history_[-1] if self.history_ else None
        if last is None or last.n_nonzero > 0 or last.objective == 0:
            return
        D, form = self._dictionary(self.state_.atoms), replace(self.penalty_, lmbda=Relative(1.0))
        top = signals.take(np.arange(len(signals))).resolve(D, form).lmbda
        warn_of_zero_codes(last.lmbda, top, stacklevel=3)

    def _dictionary(self, atoms):
        return Dictionary(atoms, self.mode, self.stride)

    def _step(self, groups, position, online):
        """Code the signals, learn from them, and only then move to the new state."""
        with _blas().limit(limits=1, user_api="blas"):
            self._learn(groups, position, online)

    def _learn(self, groups, position, online):
        D = self._dictionary(self.state_.atoms)
        self.penalty_ = self._corrected(online)
        starts = None if online else self.state_.codes
        batch = groups.encode(D, self.penalty_, self._precision(online), starts)
        if not batch.groups:
            raise ValueError("X holds nothing that was observed in this batch; drop such signals")
        alike = not online and self.crop is None and self.homeostasis is None
        config = StepConfig(
            self.constraint,
            self.homeostasis,
            self.forgetting if online else inf,  # a batch replaces what was known
            self.replace_after,
            n_passes=1 if online else UPDATE_PASSES,
            recentre_every=self.recentre_every,
            relaxes=alike,
            compares=alike and not isinstance(self._requested_penalty().lmbda, TargetSparsity),
        )
        state, line = update_state(self.state_, batch, config)
        codes = None if online else state.codes or batch.codes
        line = line._replace(lmbda=float(self.penalty_.lmbda))
        self._commit(state._replace(position=position, codes=codes), line)

    def _corrected(self, online):
        """The penalty of the next step: another one, where a number of codes is pursued."""
        t, target = self.state_.n_steps, self._requested_penalty().lmbda
        if t == 0 or not isinstance(target, TargetSparsity):
            return self.penalty_
        last = self.history_[t - 1]
        if last.lmbda == 0:  # of an earlier fit without a price: what `_resume` resolved holds
            return self.penalty_
        lmbda = target.corrected(last.lmbda, last.n_nonzero, t if online else 1)
        return replace(self.penalty_, lmbda=lmbda)

    def _precision(self, online):
        """Relative gap of the codes of the next step: as learning slows down, it tightens."""
        if self.state_.statistics.phi.ndim == 2:
            return self.coding_tol  # patches are coded exactly, for little more
        first = (
            FIRST_ONLINE_CODING_TOL if online else FIRST_CODING_TOL
        )  # codes of a batch are coded again
        return max(self.coding_tol, first / (1 + self.state_.n_steps))


@cache
def _blas():
    """The BLAS in this process: its second thread spins after each small product of an update,
    and takes a core from the coding that follows (measured: 5.9 ms a step instead of 3.1)."""
    return ThreadpoolController()
