"""Accelerated proximal gradient."""

from dataclasses import dataclass
from typing import NamedTuple

from csc._typing import Array, LayerProblem, ProblemLike


class FISTAState(NamedTuple):
    """State of FISTA."""

    z: object  # x_k      iterate
    z_old: object  # x_{k-1}
    Dz: object  # D x_k, from which D y_{k+1} follows
    Dz_old: object  # D x_{k-1}
    t: object  # t_{k+1}  momentum sequence
    momentum: object  # (t_k - 1) / t_{k+1}: y_{k+1} = x_k + momentum (x_k - x_{k-1})
    step_size: float  # 1 / L


@dataclass(frozen=True)
class FISTA:
    """Proximal gradient with momentum, O(1/k^2) [1]_, with gradient restart [2]_.

    Parameters
    ----------
    step_size : float, optional
        None takes 1 / L with the certified bound L of the dictionary.
    restart : bool
        Reset the momentum when ``<y - z, z - z_old> > 0``.

    References
    ----------
    .. [1] A. Beck, M. Teboulle, "A fast iterative shrinkage-thresholding algorithm", SIAM J.
       Imaging Sci. 2(1), 2009, eqs. (4.1)-(4.3).
    .. [2] B. O'Donoghue, E. Candes, "Adaptive restart for accelerated gradient schemes", Found.
       Comput. Math. 15, 2015, sec. 3.2.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 4.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> problem = csc.Problem(x, D, csc.L1(1.0))
    >>> csc.solve(problem, csc.solvers.FISTA()).codes.ravel().round(2)
    array([2., 3.])
    """

    step_size: float | None = None
    restart: bool = True

    check_every = 10
    requirements = "needs a penalty with a prox and a smooth data term; see csc.data_terms"

    def __post_init__(self):
        if self.step_size is not None and not self.step_size > 0:
            raise ValueError(f"step_size must be > 0, got {self.step_size}")

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the penalty has a prox and the data term is smooth."""
        return hasattr(problem.penalty, "prox") and problem.data_term.smooth

    def init(self, problem: LayerProblem, z0: Array) -> FISTAState:
        """State at codes ``z0``, without momentum."""
        Dz, step_size = problem.synthesize(z0), self.step_size or 1 / problem.lipschitz()
        return FISTAState(z0, z0, Dz, Dz, 1.0, 0.0, step_size)

    def step(self, problem: LayerProblem, state: FISTAState) -> FISTAState:
        """One proximal-gradient step from the extrapolated point."""
        z_old, z_older, Dz_old, Dz_older, t, momentum, step_size = state
        codes, fits = (z_old, z_older), (Dz_old, Dz_older)
        z, restart_score = problem.proximal_step(codes, fits, momentum, step_size)  # (4.1)
        keep = (restart_score <= 0) | (not self.restart)
        t = 1 + (t - 1) * keep  # branchless: no host sync
        t_next = (1 + (1 + 4 * t * t) ** 0.5) / 2  # (4.2)
        momentum = (t - 1) / t_next  # (4.3)
        return FISTAState(z, z_old, problem.synthesize(z), Dz_old, t_next, momentum, step_size)
