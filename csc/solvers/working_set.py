"""Exact descent on the active set."""

from dataclasses import dataclass
from typing import NamedTuple

ROUNDS = 1000  # of growing the active set of one signal, far above what was ever needed


class WorkingSetState(NamedTuple):
    """Where the working-set solver stands."""

    z: object  # codes
    tol: float  # relative gap that the next step asks of every signal


@dataclass(frozen=True)
class WorkingSet:
    """Lasso by exact descent on the codes that matter.

    A signal at a time, on a thread each: take in the codes that violate optimality most, one by
    one, each time minimising over it and all active codes (a code that reaches zero on the way
    leaves) [1]_, look again, until the signal's own duality gap is met. A step asks every
    signal for a hundredfold smaller gap than the step before.

    Parameters
    ----------
    tol : float
        Relative gap of each signal that the first step asks for.

    References
    ----------
    .. [1] M. R. Osborne, B. Presnell, B. A. Turlach, "A new approach to variable selection in
       least squares problems", IMA J. Numer. Anal. 20, 2000, sec. 3.
    """

    tol: float = 1e-4

    check_every = 1
    greedy = False
    needs = "needs L1 codes with one position (patches) and no mask"

    def suits(self, problem):
        """Whether the problem is a lasso on patches."""
        is_lasso = problem.is_patch and problem.penalty.name == "l1"
        return is_lasso and problem.atom_prices is not None

    def init(self, problem, z0):  # noqa: ARG002  one signature for all solvers
        """State at codes ``z0``."""
        return WorkingSetState(z0, self.tol)

    def step(self, problem, state):
        """Meet ``tol`` signal by signal."""
        z, gram_form = problem.empty(), problem.gram_form
        problem.kernels.lasso_gram(
            *gram_form, problem.atom_prices, problem.penalty.positive, state.tol, ROUNDS,
            state.z.reshape(len(z), -1), z.reshape(len(z), -1), gram_form.energies.copy(),
        )  # fmt: skip
        return WorkingSetState(z, state.tol / 100)
