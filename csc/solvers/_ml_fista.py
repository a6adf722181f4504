"""Multi-layer iterative soft thresholding, accelerated."""

from dataclasses import dataclass
from typing import NamedTuple

from csc._typing import Array, LayersProblem
from csc.solvers._ml_ista import MLISTA


class MLFISTAState(NamedTuple):
    """State of ML-FISTA."""

    z: tuple  # (g_1, ..., g_L)  codes of all layers
    chain: tuple  # D_{i+1} ... D_L g_L for i = 0, ..., L, at the present deepest codes
    chain_old: tuple  # and at the last ones: the extrapolated point is made of both
    t: object  # momentum sequence
    momentum: object  # (t_k - 1) / t_{k+1}
    step_sizes: tuple  # mu_1, ..., mu_L


@dataclass(frozen=True)
class MLFISTA(MLISTA):
    """ML-ISTA from an extrapolated deepest code [1]_, with gradient restart [2]_.

    With one layer this is `FISTA`; its limit is that of `MLISTA`, reached in fewer steps.

    Parameters
    ----------
    fraction, step_sizes
        As in `MLISTA`.
    restart : bool
        Reset the momentum when ``<y - g_L, g_L - g_L_old> > 0``. The paper does not.

    References
    ----------
    .. [1] J. Sulam, A. Aberdam, A. Beck, M. Elad, "On multi-layer basis pursuit, efficient
       algorithms and convolutional neural networks", IEEE TPAMI 42(8), 2020, Algorithm 2.
    .. [2] B. O'Donoghue, E. Candes, "Adaptive restart for accelerated gradient schemes", Found.
       Comput. Math. 15, 2015, sec. 3.2.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = [csc.Dictionary(np.eye(2)[:, None]), csc.Dictionary(np.eye(2)[:, :, None])]
    >>> x = np.array([[[3.0, 4.0]]])
    >>> D = csc.MultiLayerDictionary(D)
    >>> problem = csc.MultiLayerProblem(x, D, [csc.L1(0.5), csc.L1(1.0)])
    >>> solution = csc.solve(problem, csc.solvers.MLFISTA(0.1))
    >>> solution.codes[-1].ravel().round(1)
    array([1.5, 2.5])
    """

    restart: bool = True

    def init(self, problem: LayersProblem, z0: tuple[Array, ...]) -> MLFISTAState:
        """State at codes ``z0``, of all layers, without momentum."""
        chain = problem.synthesize_all(z0[-1])
        return MLFISTAState(z0, chain, chain, 1.0, 0.0, self.steps_of(problem))

    def step(self, problem: LayersProblem, state: MLFISTAState) -> MLFISTAState:
        """One pass over the layers from the extrapolated point."""
        _, chain, chain_old, t, momentum, step_sizes = state
        z, restart_score = problem.layerwise_prox_step(chain, chain_old, momentum, step_sizes)
        keep = (restart_score <= 0) | (not self.restart)
        t = 1 + (t - 1) * keep  # branchless: no host sync
        t_next = (1 + (1 + 4 * t * t) ** 0.5) / 2
        momentum = (t - 1) / t_next
        return MLFISTAState(z, problem.synthesize_all(z[-1]), chain, t_next, momentum, step_sizes)
