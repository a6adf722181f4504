"""ISTA and FISTA unrolled: a fixed number of proximal-gradient steps from zero codes."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from csc.nn._convolution import Convolution
from csc.nn._soft_threshold import soft_threshold


class Steps(NamedTuple):
    """What all steps take.

    ``mu W`` is computed once, not the product of mu with the residual in each step: the graph then
    keeps no second copy of the residual.
    """

    analysis: Sequence[Convolution]  # mu W, one for each step
    thresholds: Sequence[torch.Tensor]  # (K, 1, ...), one for each step
    accelerated: bool
    positive: bool


def momenta(n_steps: int, *, accelerated: bool) -> Iterator[float]:
    """``(t_k - 1) / t_{k+1}`` before each step; 0 without acceleration [1]_.

    References
    ----------
    .. [1] A. Beck, M. Teboulle, "A fast iterative shrinkage-thresholding algorithm", SIAM J.
       Imaging Sci. 2(1), 2009, eqs. (4.2), (4.3).
    """
    t, momentum = 1.0, 0.0
    for _ in range(n_steps):
        yield momentum
        if accelerated:
            t_next = (1 + (1 + 4 * t * t) ** 0.5) / 2
            t, momentum = t_next, (t - 1) / t_next


def proximal_gradient(x: torch.Tensor, D: Convolution, steps: Steps) -> torch.Tensor:
    """Codes after all steps ``z <- prox(y + mu W^T (x - D y))`` from zero.

    Parameters
    ----------
    x : tensor (N, C, *S)
    D : Convolution
    steps : Steps
    """
    z = z_old = Dz = Dz_old = None
    n = len(steps.analysis)
    for momentum, analysis, threshold in zip(
        momenta(n, accelerated=steps.accelerated), steps.analysis, steps.thresholds, strict=True
    ):
        if z is not None:
            Dz_old, Dz = Dz, D.synthesize(z)
        residual = x if z is None else x - extrapolated(Dz, Dz_old, momentum)
        point = None if z is None else extrapolated(z, z_old, momentum)
        z_old, z = z, proximal_step(point, residual, analysis, threshold, steps.positive)
    return z


def proximal_step(
    point: torch.Tensor | None,
    residual: torch.Tensor,
    analysis: Convolution,
    threshold: torch.Tensor,
    positive: bool,
) -> torch.Tensor:
    """Codes ``prox(y + mu W^T r)``.

    Parameters
    ----------
    point : tensor (N, K, *V) or None
        y; None for zeros.
    residual : tensor (N, C, *S)
        r.
    analysis : Convolution
        mu W.
    threshold : tensor (K, 1, ...)
    positive : bool
        Codes are not negative: then the threshold is a bias of the convolution, as in a CNN.
    """
    if not positive:
        move = analysis.correlate(residual)
        return soft_threshold(move if point is None else point + move, threshold, positive=False)
    move = analysis.correlate(residual, -threshold.flatten())
    return (move if point is None else point + move).relu_()


def extrapolated(a: torch.Tensor, a_old: torch.Tensor | None, momentum: float) -> torch.Tensor:
    """``a + momentum (a - a_old)``."""
    return a if momentum == 0 else a + momentum * (a - a_old)
