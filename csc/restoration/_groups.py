"""Estimates by groups of similar patches, each group with a Gaussian of its own."""

from math import prod

import numpy as np

from csc.kernels import cpu
from csc.restoration._sparse_estimate import grid_of

RULE = cpu.GroupRule(size=8, members=64, reach=15)
COLOUR_RULE = RULE._replace(size=6)  # for patches of all channels, that they may not be too long
N_FILLED = 4  # patches of a group whose missing pixels are estimated from it


def group_filter(noisy, pilot, sigma, guide, *, rule=RULE, step=3):
    """Estimate ``noisy`` (C, H, W) with means and covariances of similar patches of ``pilot``.

    Patches are alike that are so in the ``guide`` (H, W); all channels of a patch are one vector.
    """
    rule, grid = fitting(rule, pilot.shape), grid_of(pilot.shape, rule.size, step)
    sums, weights = cpu.filter_groups(noisy, pilot, guide, grid, rule, sigma**2)
    return (sums / weights).astype(noisy.dtype)


def group_planes(noisy, pilot, sigma, *, rule=RULE, step=3):
    """Filter each plane by itself, with similar patches found in the first: luminance."""
    filtered = [
        group_filter(noisy[c : c + 1], pilot[c : c + 1], sigma, pilot[0], rule=rule, step=step)
        for c in range(len(noisy))
    ]
    return np.concatenate(filtered)


def group_colours(noisy, pilot, sigma, *, step=3):
    """Filter patches of all channels together."""
    return group_filter(noisy, pilot, sigma, pilot[0], rule=COLOUR_RULE, step=step)


def group_fill(observed, pilot, guide, sigma, *, rule=RULE, step=3):
    """Estimate missing pixels from those seen, plane by plane; the rest is that of ``pilot``.

    ``observed`` are planes and masks (C, H, W). The nearest patches of each group, `N_FILLED`, are
    estimated; sigma^2 is the variance of the noise and added to the diagonals of covariances.
    """
    rule, grid = fitting(rule, pilot.shape), grid_of(pilot.shape, rule.size, step)
    variances = float(sigma) ** 2, float(sigma) ** 2
    filled = pilot.copy()
    for c in range(len(pilot)):
        planes, seen = (part[c : c + 1] for part in observed)
        sums, weights = cpu.fill_groups(
            (planes, seen), pilot[c : c + 1], guide, grid, rule, variances, N_FILLED
        )
        reached = weights > 0
        filled[c][reached] = sums[0][reached] / weights[reached]
    return filled


def fitting(rule, shape):
    """The rule, with groups no larger than the positions that the search covers."""
    spatial_shape = (min(2 * rule.reach + 1, extent - rule.size + 1) for extent in shape[-2:])
    return rule._replace(members=min(rule.members, prod(spatial_shape)))
