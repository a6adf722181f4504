"""Orthogonal matching pursuit."""

from dataclasses import dataclass
from typing import NamedTuple

from csc.nonconvex import L0
from csc.types import Array, ProblemLike


class OMPState(NamedTuple):
    """Where the pursuit stands."""

    z: object  # codes
    done: bool  # whether the pursuit has run


@dataclass(frozen=True)
class OMP:
    """Take in the atom that correlates best, refit all, repeat: greedy for `L0` on patches.

    Batch OMP [1]_: it works on the Gram matrix with a Cholesky factor that grows by a row a
    step. A signal stops when the next atom would lower ``1/2 ||r||^2`` by no more than its
    price ``lmbda``, at ``n_nonzero`` atoms, or when ``||r||^2 <= energy``.

    Parameters
    ----------
    n_nonzero : int, optional
        Most non-zero codes a signal; None leaves it to the other rules.
    energy : float
        Squared residual norm that is good enough.

    References
    ----------
    .. [1] R. Rubinstein, M. Zibulevsky, M. Elad, "Efficient implementation of the K-SVD
       algorithm using batch orthogonal matching pursuit", Technion CS-2008-08, 2008.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 4.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> problem = csc.Problem(x, D, csc.L0(1.0))
    >>> csc.solve(problem, csc.OMP()).codes.ravel().round(2)
    array([3., 4.])
    """

    n_nonzero: int | None = None
    energy: float = 0.0

    check_every = 1
    needs = "needs an L0 penalty, codes with one position (patches), no mask, and NumPy arrays"

    def __post_init__(self):
        if self.n_nonzero is not None and (
            self.n_nonzero != int(self.n_nonzero) or self.n_nonzero < 0
        ):
            raise ValueError(f"n_nonzero must be an integer >= 0 or None, got {self.n_nonzero}")
        if not self.energy >= 0:
            raise ValueError(f"energy must be >= 0, got {self.energy}")

    def suits(self, problem: ProblemLike) -> bool:
        """Whether the problem is an L0-penalised patch problem."""
        return (
            problem.is_patch
            and type(problem.penalty) is L0
            and hasattr(problem.kernels, "omp_gram")
        )

    def init(self, problem: ProblemLike, z0: Array) -> OMPState:  # noqa: ARG002
        """State at codes ``z0``, which the pursuit ignores: it starts from nothing."""
        return OMPState(z0, done=False)

    def step(self, problem: ProblemLike, state: OMPState) -> OMPState:  # noqa: ARG002
        """The whole pursuit."""
        z = problem.zeros()
        price, most = (
            float(problem.penalty.lmbda),
            z.shape[1] if self.n_nonzero is None else int(self.n_nonzero),
        )
        rows = z.reshape(len(z), -1)
        problem.kernels.omp_gram(*problem.gram_form, price, most, float(self.energy), rows)
        return OMPState(z, done=True)
