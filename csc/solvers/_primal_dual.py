"""Primal-dual proximal steps, for data terms without a slope."""

from dataclasses import dataclass
from typing import NamedTuple

from csc._backend import namespace
from csc._typing import Array, LayerProblem, ProblemLike
from csc.solvers._admm_common import squared_norm

# of the squared dual over the squared signals; measured: 0.1 to 1 are equally fast
DUAL_SHARE = 0.3


class PrimalDualState(NamedTuple):
    """State of the primal-dual solver."""

    z: object  # x^n    codes
    theta: object  # -y^n   dual point of the data term
    Dz: object  # D x^n
    Dz_old: object  # D x^{n-1}
    tau: float  # length of primal steps
    sigma: float  # length of dual steps


@dataclass(frozen=True)
class PrimalDual:
    """Alternating proximal steps on the codes and on the dual of the data term [1]_.

        z      <- prox of tau g at   z + tau D^T theta
        theta  <- theta + sigma (v - D(2 z - z_old)),   v the fit nearest to both

    Needs the prox of the data term only, so that it need not be smooth, for any penalty with a prox
    and any dictionary. Slower than `FISTA` where both apply.

    Parameters
    ----------
    ratio : float, optional
        ``sigma / tau``. None takes 0.3 times ``||theta||^2 / ||x||^2``, theta the dual point of zeros.

    References
    ----------
    .. [1] A. Chambolle, T. Pock, "A first-order primal-dual algorithm for convex problems with
       applications to imaging", J. Math. Imaging Vis. 40, 2011, Algorithm 1.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 4.0, 1.0, 9.0]]]), csc.Dictionary(np.ones((1, 1, 4)))
    >>> problem = csc.Problem(x, D, csc.ElasticNet(0.1), data_term=csc.data_terms.LeastAbsolute())
    >>> csc.solve(problem, csc.solvers.PrimalDual(), tol=1e-6).codes.ravel().round(2)
    array([3.])
    """

    ratio: float | None = None

    check_every = 20
    requirements = "needs a penalty with a prox and a data term with a prox"

    def __post_init__(self):
        if self.ratio is not None and not self.ratio > 0:
            raise ValueError(f"ratio must be > 0, got {self.ratio}")

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the penalty and the data term have a prox, and the penalty is convex."""
        has_proxes = hasattr(problem.penalty, "prox") and hasattr(problem.data_term, "prox")
        return has_proxes and problem.penalty.convex

    def init(self, problem: LayerProblem, z0: Array) -> PrimalDualState:
        """State at codes ``z0``, with a dual point of zeros."""
        bound = problem.dictionary.lipschitz(problem.x.shape[2:])
        ratio = self.ratio
        if ratio is None:
            slope, energy = problem.residual(problem.zeros()), squared_norm(problem.x)
            ratio = DUAL_SHARE * squared_norm(slope) / energy if energy > 0 else 1.0
        tau = (1 / (bound * ratio)) ** 0.5
        Dz = problem.synthesize(z0)
        return PrimalDualState(z0, 0 * problem.x, Dz, Dz, tau, ratio * tau)

    def step(self, problem: LayerProblem, state: PrimalDualState) -> PrimalDualState:
        """(7) of [1]_ in the order dual, primal: the extrapolated fit needs no product of its own."""
        z, theta, Dz, Dz_old, tau, sigma = state
        theta = dual_step(problem, theta, 2 * Dz - Dz_old, sigma)
        z = problem.penalty.prox(z + z.dtype.type(tau) * problem.dictionary.adjoint(theta), tau)
        return PrimalDualState(z, theta, problem.synthesize(z), Dz, tau, sigma)

    def moves_dual(self, before: PrimalDualState, state: PrimalDualState) -> bool:
        """Whether a step changed the dual point, as it may while the codes stay the same."""
        return bool((before.theta != state.theta).any())

    def certificate(self, problem: LayerProblem, state: PrimalDualState) -> tuple[float, float]:
        """Objective and duality gap at the codes and the dual point."""
        return problem.certificate(state.z, state.theta)


def dual_step(problem, theta, fit, sigma):
    """Prox of the conjugate by Moreau's identity: ``theta + sigma (v - fit)``, v a prox at ``fit - theta / sigma``."""
    xp, x, weights = namespace(fit), problem.x, problem.structure.sample_weights
    sigma = fit.dtype.type(sigma)
    point = fit - theta / sigma
    if weights is None:
        return sigma * (problem.data_term.prox(x, point, 1 / sigma) - point)
    v = problem.data_term.prox(x, point, xp.where(weights > 0, weights, 1) / sigma)
    return xp.where(weights > 0, sigma * (v - point), 0)
