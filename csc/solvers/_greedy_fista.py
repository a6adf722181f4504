"""Accelerated proximal gradient with full momentum and long steps."""

from dataclasses import dataclass
from typing import NamedTuple

from csc._typing import Array, ProblemLike


class GreedyFISTAState(NamedTuple):
    """Where greedy FISTA stands."""

    z: object  # x_k      iterate
    y: object  # y_k      extrapolated point
    step_size: object  # gamma_k
    shortest: float  # 1 / L, below which the step does not shrink
    first: object  # ||x_1 - x_0||^2; None before the first step


@dataclass(frozen=True)
class GreedyFISTA:
    """Proximal gradient with momentum 1 and steps beyond 1 / L, restarted early [1]_.

    Momentum stops where ``<y - z, z - z_old> >= 0``; a move of ``safeguard`` times the first one
    or more shortens the step. Often faster than `FISTA`; on a batch all signals share one step.

    Parameters
    ----------
    stretch : float
        First step in units of 1 / L, in [1, 2).
    safeguard : float
        S > 1 of the paper: which moves, in units of the first, count as divergence.
    shrink : float
        xi < 1 of the paper, > 0: the step is multiplied by it, down to 1 / L.

    References
    ----------
    .. [1] J. Liang, T. Luo, C.-B. Schoenlieb, "Improving fast iterative shrinkage-thresholding
       algorithm: faster, smarter, and greedier", SIAM J. Sci. Comput. 44(3), 2022.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 4.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> problem = csc.Problem(x, D, csc.L1(1.0))
    >>> csc.solve(problem, csc.solvers.GreedyFISTA()).codes.ravel().round(2)
    array([2., 3.])
    """

    stretch: float = 1.3
    safeguard: float = 2.0
    shrink: float = 0.96

    check_every = 10
    requirements = "needs a penalty with a prox"

    def __post_init__(self):
        if not 1 <= self.stretch < 2:
            raise ValueError(f"stretch must be in [1, 2), got {self.stretch}")
        if not self.safeguard > 1:
            raise ValueError(f"safeguard must be > 1, got {self.safeguard}")
        if not 0 < self.shrink < 1:
            raise ValueError(f"shrink must be in (0, 1), got {self.shrink}")

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the penalty has a prox."""
        return hasattr(problem.penalty, "prox")

    def init(self, problem: ProblemLike, z0: Array) -> GreedyFISTAState:
        """State at codes ``z0``, without momentum."""
        shortest = 1 / problem.lipschitz()
        return GreedyFISTAState(z0, z0, self.stretch * shortest, shortest, None)

    def step(self, problem: ProblemLike, state: GreedyFISTAState) -> GreedyFISTAState:
        """One long proximal-gradient step from the extrapolated point."""
        z_old, y, gamma, shortest, first = state
        z = problem.prox_grad(y, gamma)
        move = z - z_old
        restart_score = ((y - z) * move).sum() >= 0
        length = (move * move).sum()
        first = length if first is None else first
        far = length >= self.safeguard**2 * first
        shorter = self.shrink * gamma
        shorter = shortest + (shorter - shortest) * (shorter > shortest)  # max, without a sync
        gamma = gamma + (shorter - gamma) * far  # branchless: no host sync
        return GreedyFISTAState(
            z, z + (1 - restart_score).astype(z.dtype) * move, gamma, shortest, first
        )
