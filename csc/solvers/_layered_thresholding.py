"""Layered thresholding: the forward pass of a convolutional network."""

from dataclasses import dataclass
from typing import NamedTuple

from csc._typing import Array, LayersProblem, ProblemLike
from csc.solvers._run import Outcome, Status


class LayeredThresholdingState(NamedTuple):
    """State of layered thresholding."""

    z: tuple  # (g_1, ..., g_L)  codes of all layers
    done: bool
    outcome: Outcome = Outcome(
        Status.DONE, "done: all layers are thresholded; the gap is that of the whole problem"
    )


@dataclass(frozen=True)
class LayeredThresholding:
    """One pass over the layers, ``g_i = prox_{p_i}(D_i^T g_{i-1})``, ``g_0 = x`` [1]_.

    The rule is that of the penalty of each layer, its threshold that of a unit step: soft at
    lmbda_i for ``L1``, one-sided (ReLU with bias -lmbda_i) for ``L1(positive=True)``, hard at
    ``sqrt(2 lmbda_i)`` for ``L0``. It is a proximal-gradient step of unit length from zero in every
    layer, the simplest pursuit; see `csc.theory.layered_thresholding` for what it recovers.
    `MultiLayerDictionary.forward` does the same for given thresholds.

    References
    ----------
    .. [1] V. Papyan, Y. Romano, M. Elad, "Convolutional neural networks analyzed via convolutional
       sparse coding", JMLR 18, 2017, Algorithm 1.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = [csc.Dictionary(np.eye(2)[:, None]), csc.Dictionary(np.eye(2)[:, :, None])]
    >>> x = np.array([[[3.0, 4.0]]])
    >>> D = csc.MultiLayerDictionary(D)
    >>> problem = csc.MultiLayerProblem(x, D, [csc.L1(0.5), csc.L1(1.0)])
    >>> solution = csc.solve(problem, csc.solvers.LayeredThresholding())
    >>> [codes.ravel().round(2) for codes in solution.codes]
    [array([2.5, 3.5]), array([1.5, 2.5])]
    """

    check_every = 1
    layered = True
    requirements = "needs a csc.MultiLayerProblem"

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the problem has layers."""
        return hasattr(problem, "layers")

    def init(
        self,
        problem: LayersProblem,  # noqa: ARG002  one signature for all solvers
        z0: tuple[Array, ...],
    ) -> LayeredThresholdingState:
        """State before the pass; ``z0`` has no effect."""
        return LayeredThresholdingState(z0, done=False)

    def step(
        self,
        problem: LayersProblem,
        state: LayeredThresholdingState,  # noqa: ARG002
    ) -> LayeredThresholdingState:
        """The whole pass."""
        below, codes = problem.x, []
        for part, penalty in zip(problem.layers, problem.penalties, strict=True):
            below = penalty.prox(part.dictionary.adjoint(below), 1)
            codes.append(below)
        return LayeredThresholdingState(tuple(codes), done=True)
