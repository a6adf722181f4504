"""Estimates by groups of similar patches, each group with a Gaussian of its own."""

from math import prod

import numpy as np

from csc.kernels import cpu
from csc.restoration._sparse_estimate import grid_of

RULE = cpu.GroupRule(size=8, members=64, reach=15)


def group_filter(noisy, pilot, sigma, guide, *, rule=RULE, step=3):
    """Estimate ``noisy`` (C, H, W) with means and covariances of similar patches of ``pilot``.

    Patches are alike that are so in the ``guide`` (H, W); all channels of a patch are one vector.
    """
    rule, grid = _fitting(rule, pilot.shape), grid_of(pilot.shape, rule.size, step)
    sums, weights = cpu.filter_groups(noisy, pilot, guide, grid, rule, sigma**2)
    return (sums / weights).astype(noisy.dtype)


def group_planes(noisy, pilot, sigma, *, step=3):
    """Filter each plane by itself, with similar patches found in the first: luminance."""
    filtered = [
        group_filter(noisy[c : c + 1], pilot[c : c + 1], sigma, pilot[0], step=step)
        for c in range(len(noisy))
    ]
    return np.concatenate(filtered)


def group_fill(planes, seen, pilot, sigma, ridge, *, rule=RULE, step=3, n_filled=4):  # noqa: PLR0913
    """Estimate missing pixels from those seen, plane by plane; the rest is that of ``pilot``."""
    rule, grid = _fitting(rule, pilot.shape), grid_of(pilot.shape, rule.size, step)
    filled = pilot.copy()
    for c in range(len(planes)):
        one = slice(c, c + 1)
        sums, weights = cpu.fill_groups(
            (planes[one], seen[one]), pilot[one], pilot[c], grid, rule, (sigma**2, ridge**2),
            n_filled,
        )  # fmt: skip
        reached = weights > 0
        filled[c][reached] = sums[0][reached] / weights[reached]
    return filled


def _fitting(rule, shape):
    """The rule, with groups no larger than the positions that the search covers."""
    extents = (min(2 * rule.reach + 1, extent - rule.size + 1) for extent in shape[-2:])
    return rule._replace(members=min(rule.members, prod(extents)))
