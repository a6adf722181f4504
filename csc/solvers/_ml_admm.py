"""Multi-layer basis pursuit, exactly: alternating direction method of multipliers."""

from dataclasses import dataclass
from typing import NamedTuple

from csc._typing import Array, ProblemLike
from csc.solvers._admm_common import conjugate_gradients, energy, even, layer_scales, strength


class MLADMMState(NamedTuple):
    """Where ML-ADMM stands."""

    z: tuple  # s_1, ..., s_L   split codes, sparse
    w: tuple  # w_1, ..., w_L   scaled duals
    gamma: object  # deepest codes of the quadratic problem
    rho: float
    count: int
    scales: tuple  # of the layers, see `layer_scales`

    @property
    def duals(self):
        """``rho_i w_i`` of the layers i < L."""
        number = self.gamma.dtype.type
        pairs = zip(self.w[:-1], self.scales, strict=False)
        return [number(self.rho * scale) * w for w, scale in pairs]


@dataclass(frozen=True)
class MLADMM:
    """Multi-layer basis pursuit to its true minimum, by splitting off the codes of all layers [1]_.

        gamma = argmin 1/2 ||x - K_0 gamma||^2 + sum_i rho_i/2 ||s_i - K_i gamma - w_i||^2
        s_i = prox_{p_i / rho_i}( K_i gamma + w_i ),   w_i += K_i gamma - s_i

    where ``K_i = D_{i+1} ... D_L`` and ``rho_i = rho ||D_1||^2 ... ||D_i||^2``, ``||D||^2`` the
    mean squared norm of the atoms: the scales of signals and atoms change no step but for the
    scale. With over-relaxation and a rho that balances the residuals for some hundred
    sweeps, then stays [1]_. gamma comes from some
    warm-started steps of conjugate gradients. ``rho_i w_i`` are the dual variables, so the gap
    goes to zero.

    Parameters
    ----------
    rho : float, optional
        Penalty parameter to start from; None takes the largest strength of the penalties over the
        size of the signals, both without unit.
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
    >>> solution = csc.solve(problem, csc.solvers.MLADMM())
    >>> [codes.ravel().round(2) for codes in solution.codes]
    [array([1.5, 2.5]), array([1.5, 2.5])]
    """

    rho: float | None = None
    relax: float = 1.7
    cg_steps: int = 3

    check_every = 10
    layered = True
    requirements = "needs a csc.MultiLayerProblem with convex penalties"

    def __post_init__(self):
        if self.rho is not None and not self.rho > 0:
            raise ValueError(f"rho must be > 0, got {self.rho}")
        if not 1 <= self.relax < 2:
            raise ValueError(f"relax must be in [1, 2), got {self.relax}")
        if self.cg_steps < 1:
            raise ValueError(f"cg_steps must be >= 1, got {self.cg_steps}")

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the problem has layers, and a gap."""
        return hasattr(problem, "layers") and problem.is_convex

    def init(self, problem: ProblemLike, z0: tuple[Array, ...]) -> MLADMMState:
        """State at codes ``z0``, of all layers, with duals of zero."""
        scales = layer_scales(problem.dictionary)
        s = problem.synthesize_all(z0[-1])[1:]
        rho = self.rho or _first_rho(problem, scales)
        return MLADMMState(s, tuple(0 * a for a in s), s[-1], rho, 0, scales)

    def step(self, problem: ProblemLike, state: MLADMMState) -> MLADMMState:
        """One sweep; at first, every tenth sweep balances rho."""
        s_old, w, gamma, rho, count, scales = state
        rhos = [rho * scale for scale in scales]
        gamma = self._least_squares(problem, s_old, w, gamma, rhos)
        _, *codes = problem.synthesize_all(gamma)
        number = gamma.dtype.type
        h = [a + number(self.relax - 1) * (a - b) for a, b in zip(codes, s_old, strict=True)]
        points = (a + b for a, b in zip(h, w, strict=True))
        pairs = zip(problem.penalties, points, rhos, strict=True)
        s = tuple(p.prox(v, 1 / rho_i) for p, v, rho_i in pairs)
        w = tuple(b + (a - c) for a, b, c in zip(h, w, s, strict=True))
        if count % 10 == 9 and count < BALANCED:
            factor = _balance((codes, s, s_old, w), scales)
            rho, w = rho * factor, tuple(a / number(factor) for a in w)
        return MLADMMState(s, w, gamma, rho, count + 1, scales)

    def certificate(self, problem: ProblemLike, state: MLADMMState) -> tuple[float, float]:
        """Objective and gap, with the duals that the sweeps have found."""
        return problem.certificate(state.z, state.duals)

    def _least_squares(self, problem, s, w, gamma, rhos):
        """Conjugate gradients on ``(A^T A + sum_i rho_i K_i^T K_i) gamma = b`` from ``gamma``."""
        rhos = [gamma.dtype.type(rho) for rho in rhos]
        wanted = (rho * (a - c) for rho, a, c in zip(rhos, s, w, strict=True))
        b = problem.adjoint_sum((problem.x, *wanted))

        def normal(gamma):
            fit, *codes = problem.synthesize_all(gamma)
            return problem.adjoint_sum(
                (fit, *(rho * a for rho, a in zip(rhos, codes, strict=True)))
            )

        return conjugate_gradients(normal, b, gamma, self.cg_steps, floor=1e-15)


BALANCED = 300  # sweeps in which rho may change


def _first_rho(problem, scales):
    """Strength of the penalties over the size of the signals, in units of the first atoms."""
    size = float((problem.x**2).mean()) ** 0.5
    prices = [strength(p) / c**0.5 for p, c in zip(problem.penalties, scales, strict=True)]
    return max(prices) / (size or 1.0) or 1.0


def _balance(iterates, scales):
    """Factor on rho that brings primal and dual residuals nearer to each other."""
    sums = [0.0] * 4
    for a, s, s_old, w, scale in zip(*iterates, scales, strict=True):
        parts = energy(a - s), energy(s - s_old), max(energy(a), energy(s)), energy(w)
        sums = [total + scale * part for total, part in zip(sums, parts, strict=True)]
    return even(*sums)
