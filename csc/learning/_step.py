"""One step of dictionary learning: a pure function from a state and codes to a new state."""

from dataclasses import dataclass
from functools import partial
from math import inf, nan
from typing import NamedTuple

import numpy as np

from csc._backend import device_of, namespace, to_device, to_host
from csc.learning import _statistics as stats
from csc.learning._dead_atoms import fill_places
from csc.learning._diagnostics import lesser_duplicates
from csc.learning._recentre import recentre
from csc.learning._update import descend, relax
from csc.operators import SparseCodes, code_values

ENERGY_ROUNDING = 1e-9  # relative difference of energies of the same signals in another order


class StepRecord(NamedTuple):
    """One entry of a learner's ``history_``.

    Attributes
    ----------
    n_signals : int
        Signals seen so far, this step included.
    objective : float
        Mean per signal of the batch, before the update of the atoms; with ``sample_weight`` the
        weighted mean, as ``n_nonzero``.
    n_nonzero : float
        Mean number of non-zero coefficients per signal.
    n_replaced : int
        Unused or duplicate atoms that were replaced.
    lmbda : float
        Regularization parameter with which the batch was coded.
    n_moved : int
        Atoms that were recentred.
    energy : float
        ``1/2 ||x||^2`` of the observed samples of the batch.
    """

    n_signals: int
    objective: float
    n_nonzero: float
    n_replaced: int
    lmbda: float = nan
    n_moved: int = 0
    energy: float = nan


class State(NamedTuple):
    """All that the next step depends on, besides the parameters and the signals."""

    atoms: np.ndarray  # (K, C, *s)
    statistics: stats.Statistics
    unused: np.ndarray  # (K,)  code positions seen since the atom was last used
    variance: np.ndarray  # (K,)  running mean of z^2
    gain: np.ndarray  # (K,)  norms set by homeostasis
    n_steps: int
    n_signals: int
    position: tuple  # finished passes, finished batches of this pass, batches per pass
    codes: list | None  # of each group, in batch mode: the next pass starts from them
    kept: np.ndarray | None = None  # atoms before recentring, while they are better
    kept_at: tuple = (0.0, 0.0)  # their objective, and the energy of its signals


@dataclass(frozen=True)
class StepConfig:
    """Configuration of a step; most fields are parameters of `DictionaryLearning`."""

    constraint: object
    homeostasis: object
    forgetting: float
    replace_after: int | None
    n_passes: int
    recentre_every: int | None = None
    relaxes: bool = False  # over-relax updates: the codes of the same signals follow
    n_fixed: int = 0  # first atoms that stay as they are
    compares: bool = False  # compare objectives: all steps have the same signals and penalty


class EncodedBatch(NamedTuple):
    """Signals with their codes."""

    problem: object
    z: object  # (n, K, *V), dense or SparseCodes
    weight: np.ndarray | None = None  # (n,) of the signals in all sums; None if all are 1
    smooth: object = None  # the problem with its gradient term, if it has one

    def gradient_value(self):
        """Sum over the signals of the gradient term of their codes, each times its weight."""
        if self.smooth is None:
            return 0.0
        fit = self.smooth.synthesize(self.z)[:, self.problem.x.shape[1] :]
        fit = stats.times_roots(self.weight, fit)
        return 0.5 * float((fit * fit).sum(dtype="float64"))

    @property
    def values(self):
        """Values of the codes in any order; zeros may be left out."""
        return code_values(self.z)

    def residual(self):
        """Residual of the data term, each signal times the square root of its weight."""
        return stats.times_roots(self.weight, self.problem.residual(self.z))

    def used(self):
        """Whether each atom has a non-zero code, ``(K,)``."""
        if isinstance(self.z, SparseCodes):
            n_atoms = self.z.shape[1]
            return np.bincount(self.z.index % n_atoms, minlength=n_atoms) > 0
        return to_host((self.z != 0).any(axis=(0, *range(2, self.z.ndim))))


def init_state(atoms, statistics=None):
    """Initial state of a learner, before the first signal."""
    k, empty = len(atoms), stats.zeros_like_atoms(atoms) if statistics is None else statistics
    return State(
        atoms, empty, np.zeros(k, np.int64), np.zeros(k), np.ones(k), 0, 0, (0, 0, 0), None
    )


def update_state(state, batch, config):
    """Learn from encoded signals.

    Parameters
    ----------
    state : State
    batch : Batch
        Signals with their codes on ``state.atoms``.
    config : StepConfig

    Returns
    -------
    state : State
    record : StepRecord
    """
    stride, of_batch = batch.stride, batch.summary()
    new, n, positions = of_batch.statistics, of_batch.weight, of_batch.n_positions
    objective = stats.data_term(new, state.atoms, stride) + of_batch.penalty_value
    t = state.n_steps + 1
    keep = 0 if config.forgetting == inf else (1 - 1 / t) ** config.forgetting
    statistics = stats.blend(state.statistics, new, keep) if keep else new
    fixed = stride, config.n_fixed
    atoms = descend(state.atoms, statistics, config.constraint, config.n_passes, *fixed)
    recentres = bool(stride and config.recentre_every) and t % config.recentre_every == 0
    if config.relaxes and not recentres:
        atoms = relax(state.atoms, atoms, statistics, config.constraint, *fixed)
    unused, variance, gain = map(to_host, (state.unused, state.variance, state.gain))
    if config.homeostasis is not None:
        variance, gain = config.homeostasis(
            variance, gain, to_host(new.squares) / of_batch.weighted_positions
        )
        atoms = _with_norms(atoms, gain)
    descended, n_moved, disturbed = atoms, 0, False
    unused = np.where(of_batch.used, 0, unused + positions)
    dead, codes = unused >= (inf if config.replace_after is None else config.replace_after), None
    if recentres:
        atoms, codes, moved = run_on_host(recentre, atoms, batch)
        n_moved = int(moved.sum())
        duplicates = lesser_duplicates(to_host(atoms), to_host(new.squares))
        disturbed = bool(n_moved or duplicates.any())
        atoms, statistics = config.constraint.project(atoms), stats.forget_atoms(statistics, moved)
        dead |= duplicates
    dead[: config.n_fixed] = False
    if dead.any():
        replace = partial(_replace, dead=dead, constraint=config.constraint)
        atoms, dead = run_on_host(replace, atoms, batch)
        atoms = _with_norms(atoms, gain) if config.homeostasis is not None else atoms
        statistics, unused = stats.forget_atoms(statistics, dead), np.where(dead, 0, unused)
    counts = of_batch.n_nonzero / n, int(dead.sum())
    record = StepRecord(
        state.n_signals + of_batch.n_signals,
        objective / n,
        *counts,
        n_moved=n_moved,
        energy=of_batch.energy,
    )
    kept = _still_better(state, record, config)
    if disturbed:
        value = (stats.data_term(new, descended, stride) + of_batch.penalty_value) / n
        kept = _better(kept, (descended, (value, of_batch.energy)))
    new = (atoms, statistics, unused, variance, gain, t, record.n_signals)
    return State(*new, state.position, codes, *kept), record


def _still_better(state, record, config):
    """The kept atoms and their objective, unless the current atoms are as good on these signals.

    If objectives cannot be compared, atoms are kept for one step.
    """
    kept, (objective, energy) = state.kept, state.kept_at
    same = abs(record.energy - energy) <= ENERGY_ROUNDING * energy
    if kept is None or not config.compares or not same or record.objective <= objective:
        return None, (0.0, 0.0)
    return kept, state.kept_at


def _better(one, other):
    """Of two dictionaries with their objectives, the one with the smaller objective."""
    return one if one[0] is not None and one[1][0] <= other[1][0] else other


def _replace(atoms, batch, *, dead, constraint):
    """Replace dead atoms by the worst-coded windows: atoms, and which were replaced."""
    worst = batch.worst_windows(atoms.shape[2:], int(dead.sum()))
    return fill_places(atoms, dead, worst, constraint)


def run_on_host(work, atoms, batch):
    """Run rare work on the host; the last result, a mask of atoms, stays there.

    The atoms are an array, or a list of arrays, one per layer.
    """
    device = device_of(atoms[0])
    if device == "cpu":
        return work(atoms, batch)
    *results, mask = work(to_device(atoms, "cpu"), to_device(batch, "cpu"))
    return *to_device(results, device), mask


def _with_norms(atoms, norms):
    """Rescale atoms to the given norms; atoms of zeros stay."""
    shape = (-1, *(1,) * (atoms.ndim - 1))
    xp = namespace(atoms)
    current = xp.sqrt((atoms * atoms).reshape(len(atoms), -1).sum(axis=1))
    scale = xp.asarray(norms) / xp.where(current > 0, current, 1)
    return atoms * scale.reshape(shape).astype(atoms.dtype)
