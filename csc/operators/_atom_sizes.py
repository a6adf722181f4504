"""Atoms of several sizes in one dictionary, padded with zeros to the largest."""

from itertools import groupby

from csc._backend import namespace
from csc._validation import check_atoms


def stack(groups):
    """Stack groups of atoms in one array ``(K, C, *s)``; returns the spatial shapes of the atoms, too.

    Parameters
    ----------
    groups : sequence of arrays (K_i, C, *s_i)
        With the same dtype, C and number of axes.

    Returns
    -------
    atoms : array (K, C, *s)
        K is the sum of K_i, s the largest spatial shape; smaller atoms are padded with zeros.
    sizes : tuple
        Spatial shapes of the atoms.
    """
    if not groups:
        raise ValueError("atoms is an empty list; pass one array (K, C, *s) a size")
    if any(isinstance(group, list | tuple | float | int) for group in groups):
        raise TypeError(
            "atoms must be an array (K, C, *s), or a list of them, one a size; got a "
            f"{type(groups).__name__} of {type(groups[0]).__name__}; use numpy.array"
        )
    groups = [check_atoms(group, f"atoms[{i}]") for i, group in enumerate(groups)]
    for i, group in enumerate(groups):
        first = groups[0]
        kinds = [(a.dtype, a.shape[1], a.ndim - 2) for a in (first, group)]
        if kinds[0] != kinds[1]:
            raise ValueError(
                "atoms of several sizes need one dtype, one number of channels and of spatial "
                f"axes: atoms[0] is {first.dtype} {first.shape}, atoms[{i}] {group.dtype} "
                f"{group.shape}"
            )
    xp = namespace(*groups)
    spatial_shape = tuple(map(max, zip(*(g.shape[2:] for g in groups), strict=True)))
    sizes = tuple(tuple(g.shape[2:]) for g in groups for _ in range(len(g)))
    atoms = xp.zeros((len(sizes), groups[0].shape[1], *spatial_shape), groups[0].dtype)
    for which, group in zip(runs(sizes, groups), groups, strict=True):
        atoms[(which, slice(None), *map(slice, group.shape[2:]))] = group
    return atoms, sizes


def stack_blocks(blocks, slices, shape):
    """Blocks for each run of atoms of one size, as one array of the atoms' shape."""
    if len(blocks) == 1:
        return blocks[0]
    out = namespace(*blocks).zeros(shape, blocks[0].dtype)
    for own, block in zip(slices, blocks, strict=True):
        out[own] = block
    return out


def runs(sizes, groups=None):
    """Slices of consecutive atoms of one size (or of one group)."""
    lengths = (
        [len(list(same)) for _, same in groupby(sizes)] if groups is None else map(len, groups)
    )
    slices, start = [], 0
    for length in lengths:
        slices.append(slice(start, start + length))
        start += length
    return slices


def check_sizes(atoms, sizes):
    """Return ``sizes`` as tuples, one per atom, or raise an error."""
    k, _, *spatial_shape = atoms.shape
    sizes = tuple(tuple(int(n) for n in size) for size in sizes)
    fits = len(sizes) == k and all(
        len(size) == len(spatial_shape)
        and all(0 < n <= s for n, s in zip(size, spatial_shape, strict=True))
        for size in sizes
    )
    if not fits:
        raise ValueError(
            f"sizes must be the spatial shapes of the {k} atoms, none larger than "
            f"{tuple(spatial_shape)}, got {len(sizes)} of them: {sizes[:3]}..."
        )
    for which in runs(sizes):
        beyond = atoms[which].copy()
        beyond[(..., *map(slice, sizes[which.start]))] = 0
        if namespace(atoms).any(beyond):
            raise ValueError(
                f"atoms {which.start} to {which.stop - 1} are of shape {sizes[which.start]} by "
                "sizes, but are not zero beyond; crop them, or leave sizes out"
            )
    return sizes
