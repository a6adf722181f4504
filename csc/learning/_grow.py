"""Greedy growth: a dictionary that is learned one atom after the other."""

import numpy as np
from sklearn.base import clone

from csc._typing import ArrayLike, SignalsLike
from csc.constraints import UnitSphere
from csc.learning._batch import Batch
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
    window of the residual that has the most energy; it learns all k atoms with the parameters
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
        Fitted; its ``history_`` and ``n_iter_`` are those of the last round. Ctrl-C raises, and the learner keeps the
        atoms so far.

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
    if learner.init is not None or learner.warm_start or learner.gradient_weights is not None:
        raise ValueError(
            "grow starts with one window of X; leave init=None, warm_start=False and "
            "gradient_weights=None"
        )
    learner.memory_plan(X, mask)  # checks parameters and signals before work starts
    signals, part = Signals(X, mask, sample_weight), None
    try:
        for k in range(1, learner.n_atoms + 1):
            part = _next(learner, part, signals, k)
            part._passes(part._prepare_input(signals, None, False))
    finally:
        if part is not None and hasattr(part, "state_"):
            fitted = {name: item for name, item in vars(part).items() if name.endswith("_")}
            vars(learner).update(fitted)
    learner._save_checkpoint(always=True)
    learner._after_passes(signals)
    return learner


def _next(learner, part, signals, k):
    """The learner of round k, with its initial atoms."""
    changes = {"n_atoms": k, "checkpoint": None}
    groups = signals.take(np.arange(len(signals)))
    shape = (signals.n_channels, *learner.atom_shape)
    if part is None:
        atoms = np.zeros((0, *shape), signals.dtype)
        D = Dictionary(np.ones((1, *shape), signals.dtype), learner.mode, learner.stride)
        problems = (Problem(x, D, L1(1.0), seen) for x, seen, _ in groups)
        batch = Batch([EncodedBatch(problem, problem.zeros()) for problem in problems])
    else:
        atoms = part.atoms_
        args = part.dictionary_, part.penalty_, part.coding_tol, None, part.data_term
        batch = groups.encode(*args)
        if not isinstance(learner._requested_penalty().lmbda, TargetSparsity):
            changes |= {"lmbda": None, "penalty": part.penalty_}
    noise = np.random.default_rng(k).standard_normal((1, *shape)).astype(signals.dtype)
    atoms = np.concatenate([atoms, UnitSphere().project(noise)])
    found = batch.worst_windows(atoms.shape[2:], 1)
    atoms, _ = fill_places(atoms, np.arange(k) == k - 1, found, UnitSphere())
    return clone(learner).set_params(init=atoms, **changes)
