"""Numba kernels. Raw loops: no checks, and the caller allocates what they fill."""

from csc.kernels.cpu.cache import usable_cache

with usable_cache():
    from csc.kernels.cpu.active_conjugate_gradients import conjugate_gradients_active
    from csc.kernels.cpu.active_groups import bend_groups, descend_groups, group_squares
    from csc.kernels.cpu.active_set import (
        add_active,
        correlate_active,
        correlate_at,
        descend_active,
        largest_correlations,
        violating_indices,
    )
    from csc.kernels.cpu.batch_last_conv import (
        largest_products,
        lay_out,
        shrink_products,
        sum_products,
    )
    from csc.kernels.cpu.conv import correlate, correlate_atoms, dual_infeasibility, synthesize
    from csc.kernels.cpu.fused_prox import proximal_step
    from csc.kernels.cpu.gabor_fit import fit_gabors
    from csc.kernels.cpu.gram_active import gram_active
    from csc.kernels.cpu.gram_products import correlate_patches, inner_products, statistics
    from csc.kernels.cpu.group_lasso_gram import group_lasso_gram
    from csc.kernels.cpu.l1_ball_gram import l1_ball_gram
    from csc.kernels.cpu.lasso_gram import lasso_gram, lasso_masked
    from csc.kernels.cpu.log_cd import log_gram
    from csc.kernels.cpu.moments import moments
    from csc.kernels.cpu.omp_gram import omp_gram
    from csc.kernels.cpu.omp_masked import add_patches, omp_masked, omp_seen
    from csc.kernels.cpu.overlapping_groups import shrink_overlapping
    from csc.kernels.cpu.patch_certificate import certify_patches
    from csc.kernels.cpu.patch_groups import (
        GroupRule,
        fill_groups,
        filter_groups,
        similar_patches,
    )
    from csc.kernels.cpu.taper_multiplier import taper_multiplier

__all__ = [
    "add_active", "add_patches", "bend_groups", "certify_patches", "conjugate_gradients_active", "correlate",
    "correlate_active", "correlate_at", "correlate_atoms", "correlate_patches", "descend_active",
    "descend_groups", "dual_infeasibility", "fill_groups", "filter_groups", "fit_gabors", "gram_active",
    "group_lasso_gram", "group_squares", "inner_products", "l1_ball_gram", "largest_correlations",
    "largest_products", "lasso_gram", "lasso_masked", "lay_out", "log_gram", "moments", "omp_gram", "omp_masked",
    "omp_seen", "proximal_step", "shrink_overlapping", "shrink_products", "similar_patches",
    "statistics", "sum_products", "synthesize", "taper_multiplier", "violating_indices",
    "GroupRule",
]  # fmt: skip
