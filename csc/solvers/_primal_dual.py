"""Primal-dual proximal steps, for data terms without a slope."""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from csc._backend import namespace
from csc._typing import Array, LayerProblem, ProblemLike
from csc.solvers._admm_common import squared_norm

# of the squared dual over the squared codes; measured: 0.1 to 1 are equally fast
DUAL_SHARE = 0.3
BALANCED_STEPS = tuple(2**i for i in range(3, 11))  # after these steps the ratio of steps moves
MAX_RATIO_FACTOR = 16.0  # largest change of the ratio at a time


class PrimalDualState(NamedTuple):
    """State of the primal-dual solver."""

    z: object  # x^n    codes
    theta: object  # -y^n   dual point of the data term
    Dz: object  # D x^n
    Dz_old: object  # D x^{n-1}
    tau: float  # length of primal steps
    sigma: float  # length of dual steps
    n: int  # steps taken


@dataclass(frozen=True)
class PrimalDual:
    """Alternating proximal steps on the codes and on the dual of the data term [1]_.

        z      <- prox of tau g at   z + tau D^T theta
        theta  <- theta + sigma (v - D(2 z - z_old)),   v the fit nearest to both

    Needs the prox of the data term only, so that it need not be smooth, for any penalty with a prox
    and any dictionary. Slower than `FISTA` where both apply. ``sigma / tau`` follows the sizes of the dual and
    of the codes [2]_ for the first thousand steps and is constant afterwards, so that the method converges.

    Parameters
    ----------
    ratio : float, optional
        ``sigma / tau``, then constant. None starts from 0.3 times ``||theta||^2 / ||x||^2``, theta the dual
        point of zeros.

    References
    ----------
    .. [1] A. Chambolle, T. Pock, "A first-order primal-dual algorithm for convex problems with
       applications to imaging", J. Math. Imaging Vis. 40, 2011, Algorithm 1.
    .. [2] D. Applegate et al., "Practical large-scale linear programming using primal-dual hybrid
       gradient", NeurIPS 2021, Algorithm 3.

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
    more_steps = (
        "raise max_iter or tol: PrimalDual gains digits slowly; csc.solvers.Reweighted() for L1 penalties and "
        "csc.solvers.FISTA() for smooth data terms need fewer steps"
    )

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
        return PrimalDualState(z0, 0 * problem.x, Dz, Dz, tau, ratio * tau, 0)

    def step(self, problem: LayerProblem, state: PrimalDualState) -> PrimalDualState:
        """(7) of [1]_ in the order dual, primal: the extrapolated fit needs no product of its own."""
        z, theta, Dz, Dz_old, tau, sigma, n = state
        theta = dual_step(problem, theta, 2 * Dz - Dz_old, sigma)
        z = problem.penalty.prox(z + z.dtype.type(tau) * problem.dictionary.adjoint(theta), tau)
        if self.ratio is None and n + 1 in BALANCED_STEPS:
            factor = ratio_factor(sigma / tau, theta, z)
            tau, sigma = tau / factor**0.5, sigma * factor**0.5
        return PrimalDualState(z, theta, problem.synthesize(z), Dz, tau, sigma, n + 1)

    def moves_dual(self, before: PrimalDualState, state: PrimalDualState) -> bool:
        """Whether a step changed the dual point, as it may while the codes stay the same."""
        return bool((before.theta != state.theta).any())

    def certificate(self, problem: LayerProblem, state: PrimalDualState) -> tuple[float, float]:
        """Objective and duality gap at the codes and the dual point."""
        return problem.certificate(state.z, state.theta)


def ratio_factor(ratio, theta, z):
    """Factor of ``sigma / tau``, half of the way to the size of the dual over that of the codes, as logarithms."""
    dual, codes = squared_norm(theta), squared_norm(z)
    if dual == 0:
        return 1.0
    aim = DUAL_SHARE * dual / codes if codes > 0 else inf
    return min(max((aim / ratio) ** 0.5, 1 / MAX_RATIO_FACTOR), MAX_RATIO_FACTOR)


def dual_step(problem, theta, fit, sigma):
    """Prox of the conjugate by Moreau's identity: ``theta + sigma (v - fit)``, v a prox at ``fit - theta / sigma``."""
    xp, x, weights = namespace(fit), problem.x, problem.structure.sample_weights
    sigma = fit.dtype.type(sigma)
    point = fit - theta / sigma
    if weights is None:
        return sigma * (problem.data_term.prox(x, point, 1 / sigma) - point)
    v = problem.data_term.prox(x, point, xp.where(weights > 0, weights, 1) / sigma)
    return xp.where(weights > 0, sigma * (v - point), 0)
