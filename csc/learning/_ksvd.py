"""K-SVD: each atom is updated together with its codes."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from csc._backend import check_same_device
from csc._solve import solve_quietly
from csc._typing import Array, ArrayLike, File, SignalsLike
from csc._validation import check_atoms, check_count, check_number
from csc.constraints import UnitSphere
from csc.learning._base import seed_of
from csc.learning._batch import Batch, energy_of
from csc.learning._data import Signals
from csc.learning._dead_atoms import fill_places
from csc.learning._diagnostics import less_used
from csc.learning._dictionary_learning import check_atom_shape
from csc.learning._single_layer import SingleLayerLearner
from csc.learning._statistics import times_roots
from csc.learning._step import EncodedBatch, StepRecord
from csc.operators import Dictionary, SparseCodes
from csc.penalties import L0
from csc.problems import Problem
from csc.solvers import OMP

MAX_COSINE = 0.99  # of two atoms; above, the less used one is a duplicate


class KSVDState(NamedTuple):
    """All that the next step depends on, besides the parameters and the patches."""

    atoms: np.ndarray  # (K, C, *s)
    codes: SparseCodes | None  # (N, K, 1), as updated with the atoms
    n_steps: int
    n_signals: int
    position: tuple  # finished passes, finished batches of this pass, batches per pass


@dataclass(eq=False, repr=False)
class KSVD(SingleLayerLearner):
    """Learn atoms of unit norm from patches by K-SVD, also if pixels are missing.

        minimise over D, z   mean_n  1/2 ||M (x_n - D z_n)||^2 + lmbda ||z_n||_0
        subject to           ||z_n||_0 <= n_nonzero,   ||d_k|| = 1

    or, with an error target ``max_squared_residual`` as for the removal of noise,

        minimise over D, z   mean_n ||z_n||_0
        subject to           ||M (x_n - D z_n)||^2 <= max_squared_residual,   ||d_k|| = 1.

    A pass codes all patches by `csc.solvers.OMP` [1]_. Then it updates one atom after the other together
    with its non-zero codes ``g``: with ``E`` the residual without this atom, of the patches that use it,

        d = E^T g / ||E^T g||,    g = E d.

    This is approximate K-SVD [2]_: one power iteration in place of the singular vectors of ``E``.
    Missing pixels of ``E`` are those of its current fit ``g d^T``, as in the weighted K-SVD of [3]_, of
    which each pass does one iteration.

    The objective never rises: OMP may code a patch worse than the pass before, which then keeps its
    codes. With an error target it may: an update lowers the sum of all errors, not each. Atoms that no
    patch uses are replaced by the worst-coded patches. So is the less used of two atoms with a cosine
    above 0.99 [1]_, if the patches, coded again, then have a lower objective.

    `DictionaryLearning` with ``penalty=csc.L0(lmbda)`` holds the codes fixed while it updates atoms, and
    takes any signal size, batches and constraints. On patches of a photograph it is faster and ends lower
    (figures on the page "Coming from sporco, alphacsc or scikit-learn").

    Parameters
    ----------
    n_atoms : int
        K.
    atom_shape : tuple of int
        Spatial shape *s* of atoms and patches.
    n_nonzero : int, optional
        Largest number of non-zero codes per patch. Give this, a positive ``lmbda``, or both; or
        ``max_squared_residual``. All parameters below are keyword-only.
    lmbda : float
        Cost of a non-zero code: OMP stops if the next atom lowers ``1/2 ||r||^2`` by no more.
    max_squared_residual : float
        OMP stops when the squared norm of the residual of a patch, summed over the observed pixels, is at
        most this: about C h w sigma^2 for noise of standard deviation sigma. In the objective, a patch that
        cannot reach it counts as K + 1 codes.
    init : array (K, C, *s), optional
        Initial atoms; by default random patches.
    max_iter : int
        Passes over the patches in `fit`, counted from the first `fit`.
    tol : float
        `fit` stops when a pass lowers the objective by less than this fraction; 0 never stops early.
    warm_start : bool
        `fit` continues from the current state instead of starting anew.
    random_state : int, RandomState, Generator or None
        Seed of the initial atoms.
    verbose : bool
        Show a progress bar.
    checkpoint : path, optional
        File that `fit` writes every ``checkpoint_every`` passes and when it ends or is interrupted;
        see `csc.resume`.
    checkpoint_every : int

    Attributes
    ----------
    atoms_ : array (K, C, *s)
    dictionary_ : Dictionary
    penalty_ : L0
    history_ : list of StepRecord
        One entry per pass.
    n_iter_ : int
    seed_ : int

    References
    ----------
    .. [1] M. Aharon, M. Elad, A. Bruckstein, "K-SVD: an algorithm for designing overcomplete
       dictionaries for sparse representation", IEEE TSP 54(11), 2006.
    .. [2] R. Rubinstein, M. Zibulevsky, M. Elad, "Efficient implementation of the K-SVD
       algorithm using batch orthogonal matching pursuit", Technion CS-2008-08, 2008.
    .. [3] J. Mairal, M. Elad, G. Sapiro, "Sparse representation for color image restoration",
       IEEE TIP 17(1), 2008.

    Examples
    --------
    >>> import numpy as np, csc
    >>> rng = np.random.default_rng(0)
    >>> X = rng.laplace(size=(500, 4)) @ np.eye(4).repeat(2, axis=1)  # pairs of pixels
    >>> X[rng.random(X.shape) < 0.1] = np.nan
    >>> learner = csc.learning.KSVD(4, (8,), n_nonzero=4, random_state=0).fit(X[:, None])
    >>> learner.transform(X[:5, None]).shape
    (5, 4, 1)
    """

    n_atoms: int
    atom_shape: Sequence[int]
    n_nonzero: int | None = None
    _: KW_ONLY
    lmbda: float = 0.0
    max_squared_residual: float = 0.0
    init: Array | None = None
    max_iter: int = 20
    tol: float = 1e-4
    warm_start: bool = False
    random_state: Any = None
    verbose: bool = False
    checkpoint: File | None = None
    checkpoint_every: int = 100

    batch_size = None  # a pass takes all patches

    @property
    def atoms_(self) -> Array:
        """Atoms learned so far, ``(K, C, *s)``."""
        return self._fitted().atoms

    @property
    def dictionary_(self) -> Dictionary:
        """`Dictionary` of the atoms learned so far."""
        return Dictionary(self.atoms_)

    @property
    def penalty_(self) -> L0:
        """The penalty of the codes."""
        return L0(float(self.lmbda))

    def fit(
        self,
        X: SignalsLike,
        y: object = None,  # noqa: ARG002  scikit-learn's signature
        mask: SignalsLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from patches.

        Parameters
        ----------
        X : array (N, C, *s) or list of arrays (C, *s), float32 or float64
            NaN marks missing pixels.
        y : ignored
        mask : array or list of arrays, optional
            1 = observed; broadcastable to the patches.
        sample_weight : array (N,), optional
            Weights >= 0 of the patches in the objective, ``sum_n w_n f_n / sum_n w_n`` with ``f_n`` the
            objective of patch n. A weight of 2 counts as the patch given twice, 0 as not given.

        Returns
        -------
        self
        """
        return self._fit(X, mask, sample_weight)

    @property
    def _pursuit(self):
        return OMP(self.n_nonzero, float(self.max_squared_residual))

    def _solve(self, x, mask):
        self._check_patches({x.shape[2:]})
        return solve_quietly(Problem(x, self.dictionary_, self.penalty_, mask), self._pursuit)

    def _objective_of(self, solution, weight):
        values = self._objectives(solution.problem, solution.codes)
        return float(values.sum() if weight is None else weight @ values)

    def _validate_input(self, X, mask, resume):
        """Check all parameters and the patches."""
        self._check()
        signals = X if isinstance(X, Signals) else Signals(X, mask)
        channels = self.state_.atoms.shape[1] if resume else None
        if resume and self.state_.atoms.shape != (self.n_atoms, channels, *self.atom_shape):
            raise ValueError(
                f"atoms of shape {self.state_.atoms.shape} are learned so far, which are not "
                f"{self.n_atoms} of {tuple(self.atom_shape)}; use warm_start=False to start again"
            )
        signals.check((channels, *self.atom_shape))
        self._check_patches({tuple(shape[1:]) for shape in signals.shapes})
        if check_same_device(X=signals.first) is not np:
            raise TypeError("KSVD takes NumPy arrays: csc.to_device(X, 'cpu')")
        return signals

    def _check_patches(self, shapes):
        if shapes != {tuple(self.atom_shape)}:
            raise ValueError(
                f"KSVD learns from patches of the size of the atoms, {tuple(self.atom_shape)}, got "
                f"X with {sorted(shapes)}; use csc.images.extract_patches, or DictionaryLearning"
            )

    def _check(self):
        check_count("n_atoms", self.n_atoms)
        check_atom_shape(self.atom_shape)
        for name in ("max_iter", "checkpoint_every"):
            check_count(name, getattr(self, name))
        for name in ("tol", "lmbda", "max_squared_residual"):
            check_number(name, getattr(self, name))
        if self.n_nonzero is not None:
            check_count("n_nonzero", self.n_nonzero)
        elif self.lmbda == self.max_squared_residual == 0:
            raise ValueError(
                "give n_nonzero, lmbda > 0 or max_squared_residual > 0; without a limit all codes are used"
            )
        if self.lmbda > 0 and self.max_squared_residual > 0:
            raise ValueError(
                f"lmbda is {self.lmbda} and max_squared_residual is {self.max_squared_residual}: they belong "
                "to two objectives; give one of them"
            )

    def _init_state(self, signals):
        """Initial state with random patches, or given atoms, of unit norm."""
        self.seed_ = seed_of(self.random_state)
        shape = (self.n_atoms, signals.n_channels, *self.atom_shape)
        if self.init is None:
            rng = np.random.default_rng((self.seed_, 0))
            x, *_ = _patches(signals.take(np.arange(len(signals))))
            atoms = random_patches(x, self.n_atoms, rng)
        else:
            atoms = check_atoms(self.init, "init")
            if atoms.shape != shape:
                raise ValueError(f"init must have shape (K, C, *s) = {shape}, got {atoms.shape}")
        atoms = UnitSphere().project(atoms).astype(signals.dtype)
        self.state_, self.history_ = KSVDState(atoms, None, 0, 0, (0, 0, 0)), []

    def _resume(self, signals):
        """Nothing to prepare."""

    def _step(self, groups, position, online):  # noqa: ARG002  a pass takes all patches
        """Code the patches, update atoms and codes, and only then replace the state."""
        state, (x, seen, weight) = self.state_, _patches(groups)
        problem = Problem(x, self.dictionary_, self.penalty_, seen)
        z = self._codes(problem, None if state.codes is None else state.codes.dense())
        atoms, codes = update_atoms(problem, z, weight)
        coded = EncodedBatch(problem, z, weight)
        atoms, replaced = _replaced(atoms, ~coded.used(), coded)
        atoms, codes, more = self._without_duplicates(problem, atoms, codes, weight)
        values, counts = self._objectives(problem, z), (z != 0).reshape(len(z), -1).sum(axis=1)
        objective, n_nonzero = (float(np.average(own, weights=weight)) for own in (values, counts))
        record = StepRecord(
            state.n_signals + len(z), objective, n_nonzero, int((replaced | more).sum()),
            float(self.lmbda), energy=energy_of(times_roots(weight, problem.x)),
        )  # fmt: skip
        codes = SparseCodes.of(codes)
        new = KSVDState(atoms, codes, state.n_steps + 1, record.n_signals, position)
        self._commit(new, record)

    def _codes(self, problem, before):
        """Codes by OMP, or given ones of the pass before where their objective is lower."""
        solver = self._pursuit
        z = solver.step(problem, solver.init(problem, problem.zeros())).z
        if before is None or before.shape != z.shape:
            return z
        keep = self._objectives(problem, before) < self._objectives(problem, z)
        return np.where(keep.reshape(-1, *(1,) * (z.ndim - 1)), before, z)

    def _without_duplicates(self, problem, atoms, codes, weight):
        """Atoms without duplicates if that lowers the objective, codes, and which were replaced."""
        energies = (times_roots(weight, codes) ** 2).reshape(*codes.shape[:2], -1).sum(axis=(0, 2))
        doubled = duplicates(atoms, energies)
        if not doubled.any():
            return atoms, codes, doubled
        now = Problem(problem.x, Dictionary(atoms), problem.penalty, problem.mask)
        fresh, replaced = _replaced(atoms, doubled, EncodedBatch(now, codes, weight))
        trial = Problem(problem.x, Dictionary(fresh), problem.penalty, problem.mask)
        coded = self._codes(trial, codes)
        change = self._objectives(trial, coded) - self._objectives(now, codes)
        least = 0 if self.max_squared_residual > 0 else _rounding(problem.x)
        if -np.average(change, weights=weight) <= least:
            return atoms, codes, np.zeros(len(atoms), bool)
        return fresh, coded, replaced

    def _objectives(self, problem, z):
        """Objective of each patch ``(N,)``; infinite with more than ``n_nonzero`` codes."""
        r = problem.residual(z).reshape(len(z), -1)
        counts = (z != 0).reshape(len(z), -1).sum(axis=1)
        squares = np.einsum("ni,ni->n", r, r, dtype="float64")
        if self.max_squared_residual > 0:
            reached = squares <= self.max_squared_residual + _rounding(problem.x)
            values = np.where(reached, counts, self.n_atoms + 1.0)
        else:
            values = 0.5 * squares + self.lmbda * counts
        return np.where(counts <= (self.n_nonzero or self.n_atoms), values, np.inf)


def _replaced(atoms, which, coded):
    """Atoms, some replaced by the worst-coded patches of an `EncodedBatch`, and which were."""
    found = Batch([coded]).worst_windows(atoms.shape[2:], int(which.sum()))
    return fill_places(atoms, which, found, UnitSphere())


def duplicates(atoms, squares):
    """Mask ``(K,)`` of patch atoms with a more used duplicate; ``squares`` are their codes' energies."""
    d = atoms.reshape(len(atoms), -1).astype("float64")
    return less_used(abs(d @ d.T) > MAX_COSINE, squares)


def _patches(groups):
    """All patches of some groups, 0 where nothing was seen, their mask and weights, or None."""
    groups = list(groups)
    if not groups:
        raise ValueError("X contains no observed sample; there is nothing to learn from")
    x, weight = np.concatenate([group.x for group in groups]), None
    if groups[0].weight is not None:
        weight = np.concatenate([group.weight for group in groups])
    if all(group.mask is None for group in groups):
        return x, None, weight
    seen = [np.ones(g.x.shape, bool) if g.mask is None else g.mask != 0 for g in groups]
    seen = np.concatenate(seen)
    return np.where(seen, x, x.dtype.type(0)), seen, weight


def _rounding(x):
    """Rounding of the squared norm of a patch."""
    return 2 * np.finfo(x.dtype).eps * energy_of(x) / len(x)


def random_patches(x, n, rng):
    """``n`` random patches without replacement, none of zeros; noise if there are too few."""
    atoms = rng.standard_normal((n, *x.shape[1:]))
    rows = rng.permutation(np.flatnonzero(x.reshape(len(x), -1).any(axis=1)))[:n]
    atoms[: len(rows)] = x[rows]
    return atoms


def update_atoms(problem, z, weight=None):
    """Update all atoms of a patch problem once, each with its non-zero codes.

    With weights w_n of the patches, ``d = sum_n w_n g_n e_n``, normalised, with e_n the rows of ``E``.

    Parameters
    ----------
    problem : Problem
        Of patches; its atoms have unit norm.
    z : array (N, K, 1, ...)
    weight : array (N,), optional

    Returns
    -------
    atoms : array (K, C, *s)
        Of unit norm; atoms without codes stay.
    z : array (N, K, 1, ...)
        Non-zero only where ``z`` was.
    """
    atoms, n = problem.dictionary.atoms, len(z)
    d, g = atoms.reshape(len(atoms), -1).copy(), np.ascontiguousarray(z.reshape(n, -1).T)
    r = problem.residual(z).reshape(n, -1).copy()  # 0 where nothing was seen
    seen = None if problem.mask is None else problem.mask.reshape(n, -1).astype(r.dtype)
    weight = np.ones(n, r.dtype) if weight is None else weight.astype(r.dtype)
    for k in range(len(d)):
        users = np.flatnonzero(g[k])
        if len(users) == 0:
            continue
        own = None if seen is None else seen[users]
        r[users], d[k], g[k, users] = _updated(r[users], own, d[k], g[k, users], weight[users])
    return d.reshape(atoms.shape), g.T.reshape(z.shape)


def _updated(r, seen, d, g, weight):
    """Residual, atom and codes after the update of one atom.

    Missing pixels are those of the fit: least squares above the objective, equal to it before.
    """
    E = r + np.outer(g, d)
    new = (weight * g) @ E
    norm = np.linalg.norm(new.astype("float64"))  # a product of codes and signals, squared
    if norm == 0:
        return r, d, g
    new = new / r.dtype.type(norm)
    codes = E @ new
    r = E - np.outer(codes, new)
    return r if seen is None else seen * r, new, codes
