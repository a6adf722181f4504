"""Iterative soft thresholding, for any penalty with a prox."""

from dataclasses import dataclass
from typing import NamedTuple

from csc._typing import Array, LayerProblem, ProblemLike


class ISTAState(NamedTuple):
    """State of ISTA."""

    z: object  # z_k  iterate
    step_size: float  # 1 / L


@dataclass(frozen=True)
class ISTA:
    """Proximal gradient: ``z <- prox(z - D^T (D z - x) / L)``, O(1/k) [1]_.

    Parameters
    ----------
    step_size : float, optional
        None takes 1 / L with the certified bound L of the dictionary.

    References
    ----------
    .. [1] I. Daubechies, M. Defrise, C. De Mol, "An iterative thresholding algorithm for
       linear inverse problems with a sparsity constraint", Comm. Pure Appl. Math. 57, 2004.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 4.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> problem = csc.Problem(x, D, csc.L1(1.0))
    >>> csc.solve(problem, csc.solvers.ISTA()).codes.ravel().round(2)
    array([2., 3.])
    """

    step_size: float | None = None

    check_every = 10
    requirements = "needs a penalty with a prox and a smooth data term; see csc.data_terms"

    def __post_init__(self):
        if self.step_size is not None and not self.step_size > 0:
            raise ValueError(f"step_size must be > 0, got {self.step_size}")

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the penalty has a prox and the data term is smooth."""
        return hasattr(problem.penalty, "prox") and problem.data_term.smooth

    def init(self, problem: LayerProblem, z0: Array) -> ISTAState:
        """State at codes ``z0``."""
        return ISTAState(z0, self.step_size or 1 / problem.lipschitz())

    def step(self, problem: LayerProblem, state: ISTAState) -> ISTAState:
        """One proximal-gradient step."""
        return state._replace(z=problem.prox_grad(state.z, state.step_size))
