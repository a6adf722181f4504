"""Multi-layer basis pursuit, exactly: alternating direction method of multipliers."""

from dataclasses import dataclass
from typing import NamedTuple

from csc._typing import Array, LayersProblem, ProblemLike
from csc.solvers._admm_common import layer_scales, mean_lmbda, rho_factor, squared_norm
from csc.solvers._conjugate_gradients import conjugate_gradients


class MLADMMState(NamedTuple):
    """State of ML-ADMM."""

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
    """Multi-layer basis pursuit to its minimum, by splitting the codes of all layers [1]_.

        gamma = argmin 1/2 ||x - K_0 gamma||^2 + sum_i rho_i/2 ||s_i - K_i gamma - w_i||^2
        s_i = prox_{p_i / rho_i}( K_i gamma + w_i ),   w_i += K_i gamma - s_i

    where ``K_i = D_{i+1} ... D_L`` and ``rho_i = rho ||D_1||^2 ... ||D_i||^2``, ``||D||^2`` the
    mean squared norm of the atoms, so that the iterates scale with the signals and the atoms.
    Over-relaxed; rho balances the residuals for the first 300 sweeps and is constant afterwards
    [1]_. A few conjugate-gradient steps from the last gamma give the next one. ``rho_i w_i`` are
    dual variables, with which the gap goes to zero.

    Parameters
    ----------
    rho : float, optional
        First penalty parameter; None takes the largest mean lambda of the penalties over the
        root mean square of the signals, in units of the atoms.
    relaxation : float
        Over-relaxation, 1 to 1.8.
    cg_steps : int
        Largest number of conjugate-gradient steps per sweep. They start from the last gamma:
        20 steps take as many sweeps as 2.

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
    relaxation: float = 1.7
    cg_steps: int = 3

    check_every = 10
    layered = True
    requirements = "needs a csc.MultiLayerProblem with convex penalties"

    def __post_init__(self):
        if self.rho is not None and not self.rho > 0:
            raise ValueError(f"rho must be > 0, got {self.rho}")
        if not 1 <= self.relaxation < 2:
            raise ValueError(f"relaxation must be in [1, 2), got {self.relaxation}")
        if self.cg_steps < 1:
            raise ValueError(f"cg_steps must be >= 1, got {self.cg_steps}")

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the problem has layers, and a gap."""
        return hasattr(problem, "layers") and problem.is_convex

    def init(self, problem: LayersProblem, z0: tuple[Array, ...]) -> MLADMMState:
        """State at codes ``z0``, of all layers, with duals of zero."""
        scales = layer_scales(problem.dictionary)
        s = problem.synthesize_all(z0[-1])[1:]
        rho = self.rho or _first_rho(problem, scales)
        return MLADMMState(s, tuple(0 * a for a in s), s[-1], rho, 0, scales)

    def step(self, problem: LayersProblem, state: MLADMMState) -> MLADMMState:
        """One sweep; at first, every tenth one balances rho."""
        s_old, w, gamma, rho, count, scales = state
        rhos = [rho * scale for scale in scales]
        gamma = self._least_squares(problem, s_old, w, gamma, rhos)
        _, *codes = problem.synthesize_all(gamma)
        number = gamma.dtype.type
        h = [a + number(self.relaxation - 1) * (a - b) for a, b in zip(codes, s_old, strict=True)]
        points = (a + b for a, b in zip(h, w, strict=True))
        pairs = zip(problem.penalties, points, rhos, strict=True)
        s = tuple(p.prox(v, 1 / rho_i) for p, v, rho_i in pairs)
        w = tuple(b + (a - c) for a, b, c in zip(h, w, s, strict=True))
        if count % BALANCE_EVERY == BALANCE_EVERY - 1 and count < N_BALANCED_SWEEPS:
            factor = _balance((codes, s, s_old, w), scales)
            rho, w = rho * factor, tuple(a / number(factor) for a in w)
        return MLADMMState(s, w, gamma, rho, count + 1, scales)

    def certificate(self, problem: LayersProblem, state: MLADMMState) -> tuple[float, float]:
        """Objective and gap, with the dual variables of the sweeps."""
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

        return conjugate_gradients(normal, b, self.cg_steps, start=gamma, rel_tol=1e-15)


N_BALANCED_SWEEPS = 300  # rho is constant afterwards, so that the method converges
BALANCE_EVERY = 10  # sweeps


def _first_rho(problem, scales):
    """Largest mean lambda over the root mean square of the signals, in units of the atoms."""
    size = float((problem.x**2).mean()) ** 0.5
    lmbdas = [mean_lmbda(p) / c**0.5 for p, c in zip(problem.penalties, scales, strict=True)]
    return max(lmbdas) / (size or 1.0) or 1.0


def _balance(iterates, scales):
    """Factor of rho that balances primal and dual residuals."""
    sums = [0.0] * 4
    for a, s, s_old, w, scale in zip(*iterates, scales, strict=True):
        parts = (
            squared_norm(a - s),
            squared_norm(s - s_old),
            max(squared_norm(a), squared_norm(s)),
            squared_norm(w),
        )
        sums = [total + scale * part for total, part in zip(sums, parts, strict=True)]
    return rho_factor(*sums)
