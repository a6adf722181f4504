"""FISTA to a duality gap, on the device of the tensors."""

import warnings

import torch

from csc.nn._convolution import Convolution
from csc.nn._soft_threshold import soft_threshold

CHECK_EVERY = 10  # steps between two duality gaps


def solve_on_device(
    x: torch.Tensor,
    D: Convolution,
    lmbda: torch.Tensor,
    step_size: float,
    tol: float,
    max_iter: int,
    *,
    positive: bool,
) -> torch.Tensor:
    """Codes of ``1/2 ||x - D z||^2 + ||lmbda z||_1`` whose relative gap is at most ``tol``.

    FISTA with gradient restart, as `csc.solvers.FISTA`; the gap is that of `csc.certificates`, in
    the precision of the tensors.

    Parameters
    ----------
    x : tensor (N, C, *S)
    D : Convolution
    lmbda : tensor (K, 1, ...)
    step_size : float
    tol : float
    max_iter : int
    positive : bool
    """
    z = z_old = torch.zeros(
        (len(x), len(D.atoms), *D.spatial_code_shape), dtype=x.dtype, device=x.device
    )
    Dz = Dz_old = torch.zeros_like(x)
    t, momentum, threshold = 1.0, 0.0, step_size * lmbda
    for n in range(1, max_iter + 1):
        y = z + momentum * (z - z_old)
        r = x - Dz - momentum * (Dz - Dz_old)
        z_old, Dz_old = z, Dz
        z = soft_threshold(y + step_size * D.correlate(r), threshold, positive=positive)
        Dz = D.synthesize(z)
        if float(((y - z) * (z - z_old)).sum()) > 0:
            t = 1.0
        t_next = (1 + (1 + 4 * t * t) ** 0.5) / 2
        t, momentum = t_next, (t - 1) / t_next
        if n % CHECK_EVERY == 0:
            objective, gap = _certificate(x, D, z, x - Dz, lmbda, positive)
            if gap <= tol * objective:
                return z
    warnings.warn(
        f"no relative gap of {tol:g} after {max_iter} steps; raise max_iter", stacklevel=2
    )
    return z


def _certificate(x, D, z, r, lmbda, positive):
    """Objective and gap of the batch, with one dual point for each signal."""
    q = D.correlate(r) / lmbda
    rows = (q if positive else q.abs()).flatten(1)
    s = 1 / rows.amax(dim=1).clamp_min(1)
    energy, inner = (r * r).flatten(1).sum(1), (x * r).flatten(1).sum(1)
    value = 0.5 * energy + (lmbda * z.abs()).flatten(1).sum(1)
    dual = s * inner - 0.5 * s * s * energy
    return float(value.sum()), float((value - dual).clamp_min(0).sum())
