"""Dictionaries of all modes, strides, numbers of axes and channels, and signals for them."""

import csc

# Shape (K, C, *s) of the atoms, mode, stride, spatial shape *S* of the signals. More than eight channels:
# csc.nn takes the convolutions of PyTorch instead of kernels.
KINDS = {
    "patch": ((5, 1, 4, 4), "full", 1, (4, 4)),
    "one atom": ((1, 1, 3), "full", 1, (3,)),
    "series": ((3, 2, 4), "full", 3, (12,)),
    "series, valid, channels": ((3, 9, 4), "valid", 2, (9,)),
    "same, even": ((3, 1, 4, 3), "same", 1, (7, 6)),
    "same, stride, channels": ((3, 9, 4, 3), "same", (2, 3), (7, 8)),
    "valid": ((3, 1, 3, 2), "valid", 1, (6, 5)),
    "circular": ((3, 2, 4, 3), "circular", (2, 1), (6, 5)),
    "circular, channels": ((3, 9, 4), "circular", 2, (4,)),
    "circular, gaps": ((2, 9, 2), "circular", 3, (6,)),
    "full, channels, odd": ((3, 9, 3, 2), "full", (2, 3), (8, 7)),
    "volume": ((2, 1, 2, 3, 2), "full", 2, (5, 5, 4)),
    "volume, same, channels": ((2, 9, 2, 3, 2), "same", 1, (3, 4, 3)),
}


def make(kind, rng, dtype="float64", n=2):
    """Dictionary with atoms of unit norm, and n signals ``(n, C, *S)``."""
    shape, mode, stride, spatial_shape = KINDS[kind]
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal(shape))
    x = rng.standard_normal((n, shape[1], *spatial_shape)).astype(dtype)
    return csc.Dictionary(atoms.astype(dtype), mode, stride), x
