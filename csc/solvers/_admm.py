"""Alternating direction method of multipliers."""

from dataclasses import dataclass
from typing import NamedTuple

from csc._typing import Array, LayerProblem, ProblemLike
from csc.solvers._admm_common import rho_factor, squared_norm

N_BALANCED_STEPS = 100  # rho is constant afterwards, so that the method converges


class ADMMState(NamedTuple):
    """State of ADMM; the codes ``z`` are the paper's y, the output of the prox."""

    z: object  # y   codes with exact zeros
    u: object  # u   dual variable over rho
    rho: float
    n: int  # steps taken


@dataclass(frozen=True)
class ADMM:
    """ADMM: a linear system in the Fourier domain and a prox, for circular signals [1]_, [2]_.

    minimise over x, y  ``1/2 ||s - D x||^2 + g(y)``  subject to  ``x = y``. The linear system is
    solved exactly in the Fourier domain, where D^T D is of rank C at every frequency
    (Sherman-Morrison). ``rho`` balances the relative residuals [3]_ for the first hundred steps
    and is constant afterwards, so that the method converges.

    Parameters
    ----------
    rho : float, optional
        First penalty parameter; None takes the largest eigenvalue of ``D D^T`` over the number
        of atoms.
    relaxation : float
        Over-relaxation in [1, 2).

    References
    ----------
    .. [1] S. Boyd, N. Parikh, E. Chu, B. Peleato, J. Eckstein, "Distributed optimization and
       statistical learning via ADMM", Found. Trends Mach. Learn. 3(1), 2011, sec. 3.1.1, 3.4.3.
    .. [2] B. Wohlberg, "Efficient algorithms for convolutional sparse representations", IEEE
       TIP 25(1), 2016, sec. III.
    .. [3] B. Wohlberg, "ADMM penalty parameter selection by residual balancing",
       arXiv:1704.06209, 2017, sec. IV.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, atoms = np.zeros((1, 1, 8)), np.array([[[0.6, 0.8]]])
    >>> x[0, 0, 3:5] = 3.0, 4.0
    >>> problem = csc.Problem(x, csc.Dictionary(atoms, "circular"), csc.L1(1.0))
    >>> codes = csc.solve(problem, csc.solvers.ADMM(), tol=1e-6).codes
    >>> float(codes.max().round(2)), int(codes.argmax())
    (4.0, 3)
    """

    rho: float | None = None
    relaxation: float = 1.8

    check_every = 10
    requirements = (
        "needs a penalty with a prox and circular signals: mode='circular', stride 1, no "
        "mask, and NumPy arrays"
    )

    def __post_init__(self):
        if self.rho is not None and not self.rho > 0:
            raise ValueError(f"rho must be > 0, got {self.rho}")
        if not 1 <= self.relaxation < 2:
            raise ValueError(f"relaxation must be in [1, 2), got {self.relaxation}")

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the linear system is diagonal in the Fourier domain."""
        return problem.structure.has_spectra and hasattr(problem.penalty, "prox")

    def init(self, problem: LayerProblem, z0: Array) -> ADMMState:
        """State at codes ``z0``, with dual variables of zero."""
        rho = self.rho or problem.lipschitz() / z0.shape[1]
        return ADMMState(z0, 0 * z0, float(rho), 0)

    def step(self, problem: LayerProblem, state: ADMMState) -> ADMMState:
        """(3.5)-(3.7) of [1]_ with relaxation, then the balance of residuals [3]_."""
        y_old, u, rho, n = state
        x = problem.structure.solve_ridge(y_old - u, rho)  # (3.5)
        relaxed = self.relaxation * x + (1 - self.relaxation) * y_old
        y = problem.penalty.prox(relaxed + u, 1 / rho)  # (3.6)
        u = u + relaxed - y  # (3.7)
        if n < N_BALANCED_STEPS:
            sizes = max(squared_norm(x), squared_norm(y)), squared_norm(u)
            factor = rho_factor(squared_norm(x - y), squared_norm(y - y_old), *sizes)
            rho, u = rho * factor, u / u.dtype.type(factor)
        return ADMMState(y, u, rho, n + 1)
