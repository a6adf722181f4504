"""Greedy growth: a dictionary that is learned one atom after the other."""

import numpy as np
from sklearn.base import clone

from csc._typing import ArrayLike, SignalsLike
from csc.constraints import UnitSphere
from csc.learning._batch import Batch
from csc.learning._checkpoints import check_checkpoint
from csc.learning._data import Signals
from csc.learning._dead_atoms import fill_places
from csc.learning._dictionary_learning import DictionaryLearning
from csc.learning._step import EncodedBatch
from csc.operators import Dictionary
from csc.penalties import L1, TargetSparsity
from csc.problems import Problem


def grow(
    learner: DictionaryLearning,
    X: SignalsLike,
    *,
    mask: SignalsLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> DictionaryLearning:
    """Learn greedily: start with one atom, add the worst-coded window, learn again.

    There are ``learner.n_atoms`` rounds. Round k starts from the k - 1 atoms learned so far and the
    window of the residual that has the most energy, times the weight of its signal; it learns all k atoms with the parameters
    of the learner (``max_iter`` passes). Atoms that explain most come first, and with ``batch_size=None`` the result does
    not depend on the random state. It takes up to ``n_atoms`` times as long as ``learner.fit(X)``.

    A `Relative` ``lmbda`` is resolved in the first round and stays.

    Parameters
    ----------
    learner : DictionaryLearning
        ``n_atoms`` is the final number of atoms; ``init`` must be None.
    X : array (N, C, *S) or list of arrays (C, *S)
    mask, sample_weight
        As in `DictionaryLearning.fit`.

    Returns
    -------
    learner
        Fitted; its ``history_`` and ``n_iter_`` are those of the last round. Ctrl-C and SIGTERM keep the atoms so
        far and write a checkpoint, as in `DictionaryLearning.fit`. With ``warm_start=True``, also as `csc.resume`
        sets it, ``grow`` continues as if it had not stopped.

    Raises
    ------
    TypeError, ValueError
        If the learner is of another class or has initial atoms.

    Examples
    --------
    >>> import numpy as np, csc
    >>> X = np.random.default_rng(0).laplace(size=(4, 1, 60))
    >>> learner = csc.DictionaryLearning(3, (6,), 0.5, max_iter=2, random_state=0)
    >>> csc.learning.grow(learner, X).atoms_.shape
    (3, 1, 6)
    """
    if not isinstance(learner, DictionaryLearning):
        raise TypeError(f"learner must be a csc.DictionaryLearning, got {type(learner).__name__}")
    if learner.init is not None or learner.gradient_weights is not None:
        raise ValueError(
            "grow starts with one window of X; leave init=None and gradient_weights=None"
        )
    learner.memory_plan(X, mask)  # checks parameters and signals before work starts
    check_checkpoint(learner)
    signals, part = Signals(X, mask, sample_weight), _started(learner)
    with learner._checkpointing("csc.learning.grow"):
        for k in range(1 if part is None else len(part.state_.atoms), learner.n_atoms + 1):
            resumes = part is not None and len(part.state_.atoms) == k
            part = part if resumes else _next(learner, part, signals, k)
            _learn(learner, part, part._prepare_input(signals, None, resumes))
        learner._after_passes(signals)
    return learner


def _started(learner):
    """The unfinished learner of the last round, from the state of a learner that continues; else None."""
    if not (learner.warm_start and hasattr(learner, "state_")):
        return None
    k = len(learner.state_.atoms)
    if k > learner.n_atoms:
        raise ValueError(f"n_atoms is {learner.n_atoms} but {k} atoms are learned so far")
    changes = {"n_atoms": k, "checkpoint": None} | _fixed_penalty(learner, learner.penalty_)
    part = clone(learner).set_params(**changes)
    vars(part).update(_fitted(learner))
    return part


def _learn(learner, part, signals):
    """All passes of one round; the learner takes over every step, so that nothing is lost."""

    def keep(*, always=False):
        vars(learner).update(_fitted(part))
        learner._save_checkpoint(always=always)

    try:
        part._passes(signals, keep)
    finally:
        vars(learner).update(_fitted(part))


def _fitted(learner):
    return {name: item for name, item in vars(learner).items() if name.endswith("_")}


def _fixed_penalty(learner, penalty):
    """Parameters with the penalty of the first round; a target sparsity is met in each round."""
    target = isinstance(learner._requested_penalty().lmbda, TargetSparsity)
    return {} if target else {"lmbda": None, "penalty": penalty}


def _next(learner, part, signals, k):
    """The learner of round k, with its initial atoms."""
    changes = {"n_atoms": k, "checkpoint": None, "warm_start": False}
    groups = signals.take(np.arange(len(signals)))
    shape = (signals.n_channels, *learner.atom_shape)
    if part is None:
        atoms = np.zeros((0, *shape), signals.dtype)
        D = Dictionary(np.ones((1, *shape), signals.dtype), learner.mode, learner.stride)
        problems = [(Problem(x, D, L1(1.0), seen), weight) for x, seen, weight in groups]
        coded = [EncodedBatch(problem, problem.zeros(), weight) for problem, weight in problems]
        batch = Batch(coded)
    else:
        atoms = part.atoms_
        args = part.dictionary_, part.penalty_, part.coding_tol, None, part.data_term
        batch = groups.encode(*args)
        changes |= _fixed_penalty(learner, part.penalty_)
    noise = np.random.default_rng(k).standard_normal((1, *shape)).astype(signals.dtype)
    atoms = np.concatenate([atoms, UnitSphere().project(noise)])
    found = batch.worst_windows(atoms.shape[2:], 1)
    atoms, _ = fill_places(atoms, np.arange(k) == k - 1, found, UnitSphere())
    return clone(learner).set_params(init=atoms, **changes)
