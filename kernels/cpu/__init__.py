"""Numba kernels. Raw loops: no checks, and the caller allocates what they fill."""

from csc.kernels.cpu.cache import usable_cache

with usable_cache():
    from csc.kernels.cpu.active import (
        add_active,
        correlate_active,
        correlate_at,
        descend_active,
        violators,
    )
    from csc.kernels.cpu.certify import certify_patches
    from csc.kernels.cpu.conv import correlate, correlate_atoms, excess, synthesize
    from csc.kernels.cpu.descent import log_gram
    from csc.kernels.cpu.gabor import fit_gabors
    from csc.kernels.cpu.lanes import largest_products, lay_out, shrink_products, sum_products
    from csc.kernels.cpu.moments import moments
    from csc.kernels.cpu.omp import omp_gram
    from csc.kernels.cpu.patch import lasso_gram
    from csc.kernels.cpu.products import correlate_patches, inner_products, statistics
    from csc.kernels.cpu.proximal import proximal_step

__all__ = [
    "add_active", "certify_patches", "correlate", "correlate_active", "correlate_at",
    "correlate_atoms", "correlate_patches", "descend_active", "excess", "fit_gabors",
    "inner_products", "largest_products", "lasso_gram", "lay_out", "log_gram", "moments",
    "omp_gram", "proximal_step", "shrink_products", "statistics", "sum_products", "synthesize",
    "violators",
]  # fmt: skip
