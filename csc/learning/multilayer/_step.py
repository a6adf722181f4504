"""One step of multi-layer learning: a pure function from a state and codes to a new state."""

from dataclasses import dataclass
from functools import partial
from math import inf
from typing import NamedTuple

import numpy as np

from csc._backend import to_host
from csc.constraints import UnitSphere
from csc.learning import _statistics as stats
from csc.learning._batch import Batch
from csc.learning._dead_atoms import fill_places
from csc.learning._step import StepRecord, run_on_host
from csc.learning.multilayer._update import (
    MidLayerPenalty,
    Objective,
    compose,
    descend_layers,
    product,
)
from csc.operators import Dictionary

INITIAL_RATE = 0.5  # step length of the first step, times the energy of the codes


class LayersState(NamedTuple):
    """All that the next step depends on, besides the parameters and the signals."""

    atoms: list  # of arrays (K_i, K_{i-1}, *s_i)
    statistics: stats.Statistics  # of the deepest codes and the product of all layers
    weight: float  # number of signals of the statistics, or sum of their weights
    rates: tuple  # step length of each layer
    unused: np.ndarray  # (K_L,)  code positions seen since the deepest atom was last used
    n_pretrained: int  # layers that have been, or need not be, learned one by one
    n_steps: int
    n_signals: int
    position: tuple  # finished passes, finished batches of this pass, batches per pass
    codes: list | None  # deepest, of each group of signals, in batch mode


@dataclass(frozen=True)
class LayersStepConfig:
    """Configuration of a step; most are parameters of `MultiLayerDictionaryLearning`."""

    constraints: list
    strides: list
    forgetting: float
    replace_after: int | None
    n_passes: int
    lmbda: float  # regularization parameter of the deepest codes


class LayersBatch(NamedTuple):
    """A batch of signals encoded by all layers."""

    flat: Batch  # deepest codes on the product of the layers
    mid_penalty: MidLayerPenalty | None  # of the codes of intermediate layers, if penalised

    @classmethod
    def of(cls, coded):
        """From a list of `EncodedLayers`."""
        flat = Batch([group.flat for group in coded])
        return cls(flat, None if coded[0].problem is None else MidLayerPenalty(coded))


def init_layers_state(atoms, strides, is_patch, n_pretrained):
    """Initial state of a learner, before the first signal."""
    stride = None if is_patch else product(strides)
    empty = stats.zeros_like_atoms(compose(_doubled(atoms), strides)[0], stride)
    unused = np.zeros(len(atoms[-1]), np.int64)
    rates = (INITIAL_RATE,) * len(atoms)
    return LayersState(atoms, empty, 0.0, rates, unused, n_pretrained, 0, 0, (0, 0, 0), None)


def update_layers_state(state, batch, config):
    """Learn from encoded signals.

    Parameters
    ----------
    state : LayersState
    batch : LayersBatch
        Signals with their codes on ``state.atoms``.
    config : LayersStepConfig

    Returns
    -------
    state : LayersState
    record : StepRecord
    """
    (batch, mid_penalty), strides, t = batch, config.strides, state.n_steps + 1
    of_batch = batch.summary()
    new, n = of_batch.statistics, of_batch.weight
    current = Objective(new, n, strides, mid_penalty).at(_doubled(state.atoms))
    objective = current.value + of_batch.penalty_value / n
    keep = 0 if config.forgetting == inf else (1 - 1 / t) ** config.forgetting
    statistics = stats.blend(state.statistics, new, keep) if keep else new
    weight = keep * state.weight + n
    target = Objective(statistics, weight, strides, mid_penalty)
    atoms, rates = descend_layers(
        target, state.atoms, config.constraints, state.rates, config.n_passes
    )
    unused = np.where(of_batch.used, 0, to_host(state.unused) + of_batch.n_positions)
    dead = unused >= (inf if config.replace_after is None else config.replace_after)
    if dead.any():
        replace = partial(_replace_dead, dead=dead, config=config)
        atoms, dead = run_on_host(replace, atoms, batch)
        statistics, unused = stats.forget_atoms(statistics, dead), np.where(dead, 0, unused)
    counts = of_batch.n_nonzero / n, int(dead.sum())
    seen, energy = state.n_signals + of_batch.n_signals, of_batch.energy
    record = StepRecord(seen, objective, *counts, config.lmbda, energy=energy)
    state = state._replace(
        atoms=atoms, statistics=statistics, weight=weight, rates=rates, unused=unused, n_steps=t,
        n_signals=record.n_signals, codes=batch.codes,
    )  # fmt: skip
    return state, record


def layer_code_energies(state, strides):
    """Energies of the codes of the atoms of each layer, L arrays ``(K_i,)``."""
    objective = Objective(state.statistics, max(state.weight, 1), strides)
    point = objective.at(_doubled(state.atoms))
    return [objective.code_energies(point, i) for i in range(len(state.atoms))]


def _doubled(atoms):
    return [d.astype("float64") for d in atoms]


def _replace_dead(atoms, batch, *, dead, config):
    """Replace dead deepest atoms by the codes of the worst-coded windows, by one adjoint step."""
    product_atoms = compose(_doubled(atoms), config.strides)[0].astype(atoms[0].dtype)
    worst = batch.worst_windows(product_atoms.shape[2:], int(dead.sum()))
    product_atoms, dead = fill_places(product_atoms, dead, worst, UnitSphere())
    if not dead.any():
        return atoms, dead
    fresh, (*upper, deepest) = product_atoms[dead], atoms
    for d, stride in zip(upper, config.strides, strict=False):
        fresh = Dictionary(d, "full", stride).adjoint(fresh)
    deepest = deepest.copy()
    deepest[dead] = config.constraints[-1].project(UnitSphere().project(fresh))
    return [*upper, deepest], dead
