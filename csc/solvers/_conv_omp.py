"""Orthogonal matching pursuit on signals larger than the atoms."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from csc._typing import ProblemLike
from csc.operators import SparseCodes
from csc.penalties import L0
from csc.solvers._greedy import GreedyState


class ConvOMPState(NamedTuple):
    """Where the pursuit stands."""

    z: object  # codes, sparse
    done: bool  # whether a stopping rule fired in every signal


@dataclass(frozen=True)
class ConvOMP:
    """Take in the atom and place that correlate best, refit all codes, repeat [1]_: for `L0`.

    A signal stops when the next code would, by itself, lower ``1/2 ||r||^2`` by no more than its
    price ``lmbda``, at ``n_nonzero`` codes, or when ``||r||^2 <= energy``. Codes are refitted by
    conjugate gradients from where they stood; memory grows with the signal and its codes only.

    Parameters
    ----------
    n_nonzero : int, optional
        Most non-zero codes a signal; None leaves it to the other rules.
    energy : float
        Squared residual norm that is good enough.
    share : float
        1 takes in one code a round, as in the paper. Less takes in, before it refits, every code
        that would lower the objective by at least ``share`` of what the best one would and is
        the best of all that overlap it: far fewer rounds on large signals.

    References
    ----------
    .. [1] Y. C. Pati, R. Rezaiifar, P. S. Krishnaprasad, "Orthogonal matching pursuit", Asilomar
       Conference, 1993.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, atoms = np.zeros((1, 1, 8)), np.array([[[0.6, 0.8]]])
    >>> x[0, 0, 3:5] = 3.0, 4.0
    >>> problem = csc.Problem(x, csc.Dictionary(atoms), csc.L0(1.0))
    >>> csc.solve(problem, csc.solvers.ConvOMP()).codes.ravel().round(3)
    array([0., 0., 0., 5., 0., 0., 0.])
    """

    n_nonzero: int | None = None
    energy: float = 0.0
    share: float = 1.0

    check_every = 20
    sparse = True
    requirements = "needs an L0 penalty, mode 'full' or 'circular', no mask, and NumPy arrays"

    def __post_init__(self):
        if self.n_nonzero is not None and (
            self.n_nonzero != int(self.n_nonzero) or self.n_nonzero < 0
        ):
            raise ValueError(f"n_nonzero must be an integer >= 0 or None, got {self.n_nonzero}")
        if not self.energy >= 0:
            raise ValueError(f"energy must be >= 0, got {self.energy}")
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be in (0, 1], got {self.share}")

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the problem is L0-penalised and every atom is seen whole."""
        return type(problem.penalty) is L0 and problem.sees_whole_atoms

    def init(self, problem: ProblemLike, z0: Any) -> ConvOMPState:  # noqa: ARG002
        """State at codes ``z0``; the pursuit goes on from them."""
        return ConvOMPState(z0, done=False)

    def step(self, problem: ProblemLike, state: ConvOMPState) -> ConvOMPState:
        """One round."""
        if state.done:
            return state
        support = GreedyState(problem.x, problem.dictionary, SparseCodes.of(state.z))
        falls = support.falls()
        room = support.room(self.n_nonzero, self.energy)
        taken = support.take(falls, float(problem.penalty.lmbda), room, self.share)
        if taken == 0:
            return ConvOMPState(state.z, done=True)
        support.refit()
        return ConvOMPState(support.codes, done=False)
