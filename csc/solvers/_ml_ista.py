"""Multi-layer iterative soft thresholding."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from csc._typing import Array, LayersProblem, ProblemLike


class MLISTAState(NamedTuple):
    """State of ML-ISTA."""

    z: tuple  # (g_1, ..., g_L)  codes of all layers
    step_sizes: tuple  # mu_1, ..., mu_L


@dataclass(frozen=True)
class MLISTA:
    """A pass over the layers, a proximal-gradient step in each, from the deepest codes [1]_.

        g^_i = D_{i+1} ... D_L g_L,   g_0 = x
        g_i <- prox_{mu_1 ... mu_i p_i}( g^_i - mu_i D_i^T (D_i g^_i - g_{i-1}) ),  i = 1, ..., L

    The threshold of layer i is ``lmbda_i mu_1 ... mu_i``: the gradient of layer i is one of steps
    mu_1 ... mu_{i-1} times shorter already. With one layer this is `ISTA`. With more layers, its
    limit is near the minimiser, not at it: the difference of the objectives is proportional to
    mu_1, and the gap bounds it. `MLADMM` converges to the minimiser.

    Parameters
    ----------
    fraction : float
        ``mu_1 = fraction / L_1``, ``mu_i = 1 / L_i`` with the certified bounds L_i of
        ``||D_i||^2``.
    step_sizes : sequence of L floats, optional
        mu_1, ..., mu_L themselves, for example those that a network has learned.

    References
    ----------
    .. [1] J. Sulam, A. Aberdam, A. Beck, M. Elad, "On multi-layer basis pursuit, efficient
       algorithms and convolutional neural networks", IEEE TPAMI 42(8), 2020, Algorithm 1.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = [csc.Dictionary(np.eye(2)[:, None]), csc.Dictionary(np.eye(2)[:, :, None])]
    >>> x = np.array([[[3.0, 4.0]]])
    >>> D = csc.MultiLayerDictionary(D)
    >>> problem = csc.MultiLayerProblem(x, D, [csc.L1(0.5), csc.L1(1.0)])
    >>> solution = csc.solve(problem, csc.solvers.MLISTA(0.1))
    >>> solution.codes[-1].ravel().round(1)
    array([1.5, 2.5])
    """

    fraction: float = 1.0
    step_sizes: Sequence[float] | None = field(default=None, kw_only=True)

    check_every = 10
    layered = True
    floor = "its limit is near the minimum, not at it: lower fraction, or take csc.solvers.MLADMM()"
    requirements = "needs a csc.MultiLayerProblem"

    def __post_init__(self):
        if not self.fraction > 0:
            raise ValueError(f"fraction must be > 0, got {self.fraction}")
        if self.step_sizes is not None and not all(mu > 0 for mu in self.step_sizes):
            raise ValueError(f"step_sizes must be > 0, got {self.step_sizes}")

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the problem has layers."""
        return hasattr(problem, "layers")

    def init(self, problem: LayersProblem, z0: tuple[Array, ...]) -> MLISTAState:
        """State at codes ``z0``, of all layers."""
        return MLISTAState(z0, self.steps_of(problem))

    def steps_of(self, problem: ProblemLike) -> tuple[float, ...]:
        """mu_1, ..., mu_L for a problem."""
        if self.step_sizes is None:
            first, *others = problem.step_sizes
            return (self.fraction * first, *others)
        if len(self.step_sizes) != len(problem.step_sizes):
            raise ValueError(
                f"step_sizes must be one for each of the {len(problem.step_sizes)} layers, got "
                f"{len(self.step_sizes)}"
            )
        return tuple(self.step_sizes)

    def step(self, problem: LayersProblem, state: MLISTAState) -> MLISTAState:
        """One pass over the layers."""
        chain = problem.synthesize_all(state.z[-1])
        return state._replace(z=problem.layerwise_prox_step(chain, chain, 0.0, state.step_sizes)[0])

    def certificate(self, problem: LayersProblem, state: MLISTAState) -> tuple[float, float]:
        """Objective and gap, with the subgradients that its own steps meet."""
        return problem.certificate(state.z, step_sizes=state.step_sizes)
