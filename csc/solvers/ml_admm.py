"""Multi-layer basis pursuit, exactly: alternating direction method of multipliers."""

from dataclasses import dataclass
from typing import NamedTuple

from csc.splitting import balance, conjugate_gradients, strength
from csc.types import Array, ProblemLike


class MLADMMState(NamedTuple):
    """Where ML-ADMM stands."""

    z: tuple  # s_1, ..., s_L   split codes, sparse
    w: tuple  # w_1, ..., w_L   scaled duals
    gamma: object  # deepest codes of the quadratic problem
    rho: float
    count: int


@dataclass(frozen=True)
class MLADMM:
    """Multi-layer basis pursuit to its true minimum, by splitting off the codes of all layers [1]_.

        gamma = argmin 1/2 ||x - K_0 gamma||^2 + rho/2 sum_i ||s_i - K_i gamma - w_i||^2
        s_i = prox_{p_i / rho}( K_i gamma + w_i ),   w_i += K_i gamma - s_i

    where ``K_i = D_{i+1} ... D_L``, with over-relaxation and a residual-balanced rho [1]_. gamma
    comes from some warm-started steps of conjugate gradients. ``rho w_i`` are the dual variables,
    so the gap goes to zero.

    Parameters
    ----------
    rho : float, optional
        Penalty parameter to start from; None takes the largest strength of the penalties.
    relax : float
        Over-relaxation, 1 to 1.8.
    cg_steps : int
        Most steps of conjugate gradients a sweep. They start from the last gamma, so few are
        enough: 20 take no fewer sweeps than 2.

    References
    ----------
    .. [1] S. Boyd et al., "Distributed optimization and statistical learning via the alternating
       direction method of multipliers", Found. Trends Mach. Learn. 3(1), 2011, (3.2)-(3.4), (3.13),
       sec. 3.4.3.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = [csc.Dictionary(np.eye(2)[:, None]), csc.Dictionary(np.eye(2)[:, :, None])]
    >>> x = np.array([[[3.0, 4.0]]])
    >>> D = csc.MultiLayerDictionary(D)
    >>> problem = csc.MultiLayerProblem(x, D, [csc.L1(0.5), csc.L1(1.0)])
    >>> solution = csc.solve(problem, csc.MLADMM())
    >>> [codes.ravel().round(2) for codes in solution.codes]
    [array([1.5, 2.5]), array([1.5, 2.5])]
    """

    rho: float | None = None
    relax: float = 1.7
    cg_steps: int = 3

    check_every = 10
    layered = True
    needs = "needs a csc.MultiLayerProblem with convex penalties"

    def __post_init__(self):
        if self.rho is not None and not self.rho > 0:
            raise ValueError(f"rho must be > 0, got {self.rho}")
        if not 1 <= self.relax < 2:
            raise ValueError(f"relax must be in [1, 2), got {self.relax}")
        if self.cg_steps < 1:
            raise ValueError(f"cg_steps must be >= 1, got {self.cg_steps}")

    def suits(self, problem: ProblemLike) -> bool:
        """Whether the problem has layers, and a gap."""
        return hasattr(problem, "layers") and problem.is_convex

    def init(self, problem: ProblemLike, z0: tuple[Array, ...]) -> MLADMMState:
        """State at codes ``z0``, of all layers, with duals of zero."""
        rho = self.rho or max(map(strength, problem.penalties)) or 1.0
        s = problem.chain(z0[-1])[1:]
        return MLADMMState(s, tuple(0 * a for a in s), s[-1], rho, 0)

    def step(self, problem: ProblemLike, state: MLADMMState) -> MLADMMState:
        """One sweep; every tenth sweep rho is balanced."""
        s_old, w, gamma, rho, count = state
        gamma = self._least_squares(problem, s_old, w, gamma, rho)
        _, *codes = problem.chain(gamma)
        number = gamma.dtype.type
        h = [a + number(self.relax - 1) * (a - b) for a, b in zip(codes, s_old, strict=True)]
        s = problem.prox(tuple(a + b for a, b in zip(h, w, strict=True)), 1 / rho)
        w = tuple(b + (a - c) for a, b, c in zip(h, w, s, strict=True))
        if count % 10 == 9:
            factor = _balance(codes, s, s_old, rho)
            rho, w = rho * factor, tuple(a / number(factor) for a in w)
        return MLADMMState(s, w, gamma, rho, count + 1)

    def certificate(self, problem: ProblemLike, state: MLADMMState) -> tuple[float, float]:
        """Objective and gap, with the duals that the sweeps have found."""
        number = state.gamma.dtype.type
        duals = [number(state.rho) * w for w in state.w[:-1]]
        return problem.certificate(state.z, duals)

    def _least_squares(self, problem, s, w, gamma, rho):
        """Conjugate gradients on ``(A^T A + rho sum_i K_i^T K_i) gamma = b`` from ``gamma``."""
        rho = gamma.dtype.type(rho)
        b = problem.gather((problem.x, *(rho * (a - c) for a, c in zip(s, w, strict=True))))

        def normal(gamma):
            fit, *codes = problem.chain(gamma)
            return problem.gather((fit, *(rho * a for a in codes)))

        return conjugate_gradients(normal, b, gamma, self.cg_steps, floor=1e-15)


def _dot(a, b):
    return (a * b).sum()


def _balance(codes, s, s_old, rho):
    """Factor on rho that brings primal and dual residuals nearer to each other."""
    primal = sum(float(_dot(a - b, a - b)) for a, b in zip(codes, s, strict=True))
    dual = rho**2 * sum(float(_dot(a - b, a - b)) for a, b in zip(s, s_old, strict=True))
    return balance(primal, dual)
