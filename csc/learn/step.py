"""One step of online dictionary learning: a state and coded signals in, a new state out."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from csc.learn import statistics as stats
from csc.learn.update import descend


class Step(NamedTuple):
    """One line of a learner's history."""

    n_signals: int  # seen so far
    objective: float  # mean per signal of the batch, before the atoms moved
    n_nonzero: float  # mean non-zero codes per signal
    n_replaced: int  # dead atoms replaced


class State(NamedTuple):
    """All that the next step depends on, besides the parameters and the signals."""

    atoms: np.ndarray  # (K, C, *s)
    statistics: stats.Statistics
    idle: np.ndarray  # (K,)  signals seen since the atom was last used
    variance: np.ndarray  # (K,)  running mean of z^2
    gain: np.ndarray  # (K,)  norms asked by homeostasis
    n_steps: int
    n_signals: int
    position: tuple  # passes of `fit` done, batches of the present pass done, batches a pass
    codes: np.ndarray | None  # (N, K, *1)  in batch mode, where the next pass starts from them


@dataclass(frozen=True)
class Rules:
    """What a step obeys; the fields are `DictionaryLearning`'s parameters."""

    constraint: object
    homeostasis: object
    forgetting: float
    replace_after: int | None
    n_passes: int


def begin(atoms):
    """State of a learner that has seen nothing but its initial atoms."""
    k, size = len(atoms), atoms[0].size
    empty = stats.Statistics(np.zeros((k, k)), np.zeros((k, size)), 0.0)
    return State(
        atoms, empty, np.zeros(k, np.int64), np.zeros(k), np.ones(k), 0, 0, (0, 0, 0), None
    )


def advance(state, signals, codes, penalty, rules):
    """Learn from coded signals.

    Parameters
    ----------
    state : State
    signals : array (N, C, *s)
    codes : array (N, K, *1)
        Codes of the signals on ``state.atoms``.
    penalty : penalty of the codes, for the history
    rules : Rules

    Returns
    -------
    state : State
    line : Step
    """
    new = stats.of_codes(signals, codes)
    objective = stats.data_term(new, state.atoms) + penalty.value(codes)
    t = state.n_steps + 1
    statistics = stats.blend(state.statistics, new, (1 - 1 / t) ** rules.forgetting)
    atoms = descend(state.atoms, statistics, rules.constraint, rules.n_passes)
    variance, gain = state.variance, state.gain
    z = codes.reshape(len(codes), -1)
    if rules.homeostasis is not None:
        variance, gain = rules.homeostasis(variance, gain, z)
        atoms = _with_norms(atoms, gain)
    idle = np.where((z != 0).any(axis=0), 0, state.idle + len(z))
    dead = _dead(idle, rules.replace_after)
    if dead.any():
        atoms, dead = _replace(atoms, dead, signals, _residuals(signals, z, state.atoms), rules)
        atoms = _with_norms(atoms, gain) if rules.homeostasis is not None else atoms
        statistics, idle = stats.forget_atoms(statistics, dead), np.where(dead, 0, idle)
    n_signals = state.n_signals + len(z)
    line = Step(n_signals, objective / len(z), float((z != 0).sum()) / len(z), int(dead.sum()))
    new = (atoms, statistics, idle, variance, gain, t, n_signals)
    return State(*new, state.position, None), line


def _dead(idle, replace_after):
    """Atoms idle for ``replace_after`` signals or more."""
    return idle >= (np.inf if replace_after is None else replace_after)


def _residuals(signals, codes, atoms):
    """Squared norms of ``x - D z``, signal by signal."""
    r = signals.reshape(len(signals), -1) - codes @ atoms.reshape(len(atoms), -1)
    return (r * r).sum(axis=1)


def _replace(atoms, dead, signals, residuals, rules):
    """Put the worst-coded signals in the place of dead atoms; returns which were replaced.

    No signal is taken twice, and none without a residual; atoms left over wait.
    """
    worst = np.argsort(residuals, kind="stable")[::-1]
    worst = worst[residuals[worst] > 0][: dead.sum()]
    replaced = np.flatnonzero(dead)[: len(worst)]
    fresh = signals[worst]
    norms = np.sqrt((fresh * fresh).sum(axis=tuple(range(1, fresh.ndim)), keepdims=True))
    atoms = atoms.copy()
    atoms[replaced] = rules.constraint.project(fresh / norms)
    return atoms, np.isin(np.arange(len(atoms)), replaced)


def _with_norms(atoms, norms):
    """Atoms rescaled to the given norms; an atom of zeros stays."""
    shape = (-1, *(1,) * (atoms.ndim - 1))
    present = np.sqrt((atoms * atoms).reshape(len(atoms), -1).sum(axis=1))
    scale = norms / np.where(present > 0, present, 1)
    return atoms * scale.reshape(shape).astype(atoms.dtype)
