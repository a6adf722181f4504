"""CUDA kernels, compiled by CuPy when first called: the same names and arguments as on the CPU.

Arrays are CuPy's. No call waits for the device.
"""

from csc.kernels.gpu.conv import correlate, correlate_atoms, dual_infeasibility, synthesize
from csc.kernels.gpu.fused_prox import proximal_step
from csc.kernels.gpu.lasso_gram import (
    certify_patches,
    correlate_patches,
    inner_products,
    lasso_gram,
    statistics,
)
from csc.kernels.gpu.moments import moments

__all__ = [
    "certify_patches", "correlate", "correlate_atoms", "correlate_patches", "dual_infeasibility",
    "inner_products", "lasso_gram", "moments", "proximal_step", "statistics", "synthesize",
]  # fmt: skip
