"""Encoding of signals for learning, no more accurate than a step can use."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from csc._lmbda_search import lmbda_for_sparsity
from csc._solve import solve_quietly
from csc.data_terms import LEAST_SQUARES
from csc.learning._step import EncodedBatch
from csc.operators import SparseCodes
from csc.penalties import TargetSparsity
from csc.problems import Problem, with_gradient_term
from csc.solvers import WorkingSet, fastest, is_sparse
from csc.solvers import start as init_state

MAX_SOLVER_STEPS = 20  # of a solver that certifies its own gap
TARGET_ACCURACY = 0.2  # relative error of the number of non-zeros with which learning starts


class Group(NamedTuple):
    """Signals of one shape, encoded together."""

    x: np.ndarray  # (n, C, *S)
    mask: np.ndarray | None  # of the same shape; None if all was observed
    weight: np.ndarray | None = None  # (n,), float64; None if all are 1


def encode(
    groups, dictionary, penalty, starts, tol, data_term=LEAST_SQUARES, gradient_weights=None
):
    """Codes of groups of signals on the current atoms.

    Parameters
    ----------
    groups : iterable of Group
    dictionary : Dictionary
    penalty : penalty
    starts : list or None
        Codes of each group to start from.
    tol : float
        Relative duality gap.
    data_term : data term
    gradient_weights : array (K,), optional
        Of `with_gradient_term`.

    Returns
    -------
    list of EncodedBatch
    """
    coded = []
    for i, (x, mask, weight) in enumerate(groups):
        problem = Problem(x, dictionary, penalty, mask, data_term)
        start = None if starts is None or i >= len(starts) else starts[i]
        smooth = None
        if gradient_weights is not None:
            smooth = with_gradient_term(problem, gradient_weights)
        z = _codes(problem if smooth is None else smooth, start, tol)
        coded.append(EncodedBatch(problem, z, weight, smooth))
    return coded


def resolve_lmbda(x, dictionary, penalty, mask, data_term=LEAST_SQUARES):
    """The penalty with its ``lmbda`` resolved on a group of signals."""
    if not isinstance(penalty.lmbda, TargetSparsity):
        return Problem(x, dictionary, penalty, mask, data_term).penalty
    form, n = replace(penalty, lmbda=0.0), penalty.lmbda.n_nonzero
    found = lmbda_for_sparsity(
        x,
        dictionary,
        n,
        accuracy=TARGET_ACCURACY,
        tol=TARGET_ACCURACY / 10,
        penalty=form,
        mask=mask,
        data_term=data_term,
    )
    return found.problem.penalty


def _codes(problem, start, tol):
    """Codes of one group; solvers that certify their own gap need no other certificate."""
    solver = fastest(problem, tol)
    if start is not None and start.shape != problem.code_shape:
        start = None
    certifies_itself = (
        isinstance(solver, WorkingSet) or problem.structure.is_patch and solver.check_every == 1
    )
    if not certifies_itself:
        if isinstance(start, SparseCodes) and not is_sparse(problem, solver):
            start = start.dense()  # coded with another penalty
        found = solve_quietly(problem, solver, tol=tol, init=start)
        # a loose tolerance may be reached above the start: then learning would not go down
        return found.z if start is None or found.objective <= problem.value(start) else start
    state = solver.init(problem, init_state(problem, solver) if start is None else start)
    if problem.structure.is_patch:
        return solver.step(problem, state).z
    for _ in range(MAX_SOLVER_STEPS):
        state, last = solver.step(problem, state), state
        if state is last or state.tol < last.tol:  # no improvement, or the tolerance is reached
            break
    return state.z
