"""Orthogonal matching pursuit."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from csc._typing import Array, ProblemLike
from csc.penalties import L0
from csc.solvers._run import GREEDY, Outcome, Status

DEPENDENT = 1  # the kernel's code for a pursuit that ended at a linearly dependent atom


class OMPState(NamedTuple):
    """Where the pursuit stands."""

    z: object  # codes
    done: bool  # whether the pursuit has run
    outcome: Outcome = GREEDY


@dataclass(frozen=True)
class OMP:
    """Take in the atom that correlates best, refit all, repeat: greedy for `L0` on patches.

    Batch OMP [1]_: it works on the Gram matrix with a Cholesky factor that grows by a row a
    step. A signal stops when the next atom would lower ``1/2 ||r||^2`` by no more than its
    price ``lmbda``, at ``n_nonzero`` atoms, or when ``||r||^2 <= energy``. The status says so where
    it stopped before, because the next atom depends on those taken. Signals in float32 that
    rounding stops are pursued again in float64.

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
    >>> csc.solve(problem, csc.solvers.OMP()).codes.ravel().round(2)
    array([3., 4.])
    """

    n_nonzero: int | None = None
    energy: float = 0.0

    check_every = 1
    requirements = (
        "needs an L0 penalty, codes with one position (patches), no mask, and NumPy arrays"
    )

    def __post_init__(self):
        if self.n_nonzero is not None and (
            self.n_nonzero != int(self.n_nonzero) or self.n_nonzero < 0
        ):
            raise ValueError(f"n_nonzero must be an integer >= 0 or None, got {self.n_nonzero}")
        if not self.energy >= 0:
            raise ValueError(f"energy must be >= 0, got {self.energy}")

    def supports(self, problem: ProblemLike) -> bool:
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
        rows = z.reshape(len(z), -1)
        ends = self._pursue(problem, problem.gram_form, rows)
        unsure = np.flatnonzero(ends)
        if len(unsure) and z.dtype != "float64":  # float64 tells rounding from atoms that help
            form = problem.gram_form_double
            form = form._replace(
                correlations=form.correlations[unsure], energies=form.energies[unsure]
            )
            again = np.empty((len(unsure), z.shape[1]))
            ends[unsure] = self._pursue(problem, form, again)
            rows[unsure] = again
        stalled = int((ends == DEPENDENT).sum())
        return OMPState(z, done=True, outcome=_dependent(stalled, len(z)) if stalled else GREEDY)

    def _pursue(self, problem, form, z):
        """Write codes into ``z``; returns what ended the pursuit of each signal."""
        most = z.shape[1] if self.n_nonzero is None else int(self.n_nonzero)
        price = float(problem.penalty.lmbda)
        return problem.kernels.omp_gram(*form, price, most, float(self.energy), z)


def _dependent(stalled, n):
    return Outcome(
        Status.STALLED,
        f"stalled in {stalled} of {n} signals: the best atom depends linearly on the selected "
        "ones; the atoms are too coherent for more",
    )
