"""Simultaneous orthogonal matching pursuit: one support for a group of signals."""

from dataclasses import dataclass

import numpy as np

from csc._typing import Array, LayerProblem, ProblemLike
from csc.penalties import L0
from csc.solvers._omp import OMPState
from csc.solvers._run import check_rules

DEPENDENT = 1e-10  # of the squared norm of an atom: with less left, it depends on the selected ones


@dataclass(frozen=True)
class SimultaneousOMP:
    """Select the atoms of all signals together, one after the other: for `L0` on patches [1]_.

    All signals of the problem use the same atoms, each with its own codes. A step adds the atom with which
    the least squares of all signals fall most, after all codes are fitted again (orthogonal least
    squares [2]_; OMP takes the atom of largest correlation instead). It ends when no atom would lower
    ``1/2 ||X - D Z||^2`` by more than ``lmbda`` times the number of signals, at ``n_nonzero`` atoms, or when
    ``||X - D Z||^2 <= max_squared_residual``. Atoms that depend linearly on the selected ones are left out.

    Parameters
    ----------
    n_nonzero : int, optional
        Largest number of atoms; None sets no limit.
    max_squared_residual : float
        Of all signals together.

    References
    ----------
    .. [1] J. A. Tropp, A. C. Gilbert, M. J. Strauss, "Algorithms for simultaneous sparse approximation.
       Part I: Greedy pursuit", Signal Process. 86(3), 2006.
    .. [2] S. Chen, S. A. Billings, W. Luo, "Orthogonal least squares methods and their application to
       non-linear system identification", Int. J. Control 50(5), 1989.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 2.0, 0.0]], [[0.0, 2.0, 3.0]]]), csc.Dictionary(np.eye(3)[:, None])
    >>> together = csc.solvers.SimultaneousOMP(n_nonzero=2)
    >>> csc.solve(csc.Problem(x, D, csc.L0(0.0)), together).codes[:, :, 0]
    array([[3., 0., 0.],
           [0., 0., 3.]])
    """

    n_nonzero: int | None = None
    max_squared_residual: float = 0.0

    check_every = 1
    requirements = "needs an L0 penalty without positive, patches without a mask, and NumPy arrays"

    def __post_init__(self):
        check_rules(self.n_nonzero, self.max_squared_residual)

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the problem is an L0-penalised patch problem."""
        penalty, structure = problem.penalty, problem.structure
        of_l0 = type(penalty) is L0 and not penalty.positive
        return of_l0 and structure.is_patch and structure.on_host

    def init(self, problem: LayerProblem, z0: Array) -> OMPState:  # noqa: ARG002
        """State before the pursuit, which ignores ``z0`` and starts from zero."""
        return OMPState(z0, done=False)

    def step(self, problem: LayerProblem, state: OMPState) -> OMPState:  # noqa: ARG002
        """The whole pursuit."""
        z, n = problem.zeros(), len(problem.x)
        x = problem.x.reshape(n, -1).astype("float64")
        atoms = problem.dictionary.atoms.reshape(z.shape[1], -1).astype("float64")
        support = self._support(x, atoms, n * float(problem.penalty.lmbda))
        fitted = np.linalg.lstsq(atoms[support].T, x.T, rcond=None)[0].T
        z.reshape(n, -1)[:, support] = fitted
        return OMPState(z, done=True)

    def _support(self, x, atoms, least_decrease):
        """Indices of the selected atoms."""
        support, r = [], x
        left = atoms.copy()  # without their part in the selected ones
        energies = (atoms**2).sum(axis=1)
        least_decrease = max(least_decrease, np.finfo(x.dtype).eps * (x**2).sum())
        n_most = len(atoms) if self.n_nonzero is None else int(self.n_nonzero)
        while len(support) < n_most and (r**2).sum() > self.max_squared_residual:
            squares = (left**2).sum(axis=1)
            able = squares > DEPENDENT * energies
            products = r @ left.T
            decreases = (products**2).sum(axis=0) / np.where(able, squares, 1)
            decreases[~able] = 0
            best = int(decreases.argmax())
            if 0.5 * decreases[best] <= least_decrease:
                break
            support.append(best)
            q = left[best] / squares[best] ** 0.5
            r = r - np.outer(r @ q, q)
            left -= np.outer(left @ q, q)
            left[support] = 0
        return support
