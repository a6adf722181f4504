"""Constraints on atoms, as projections; combine them with ``&``.

Here: `UnitBall`, `UnitSphere`, `TaperedBall`, `ZeroMean`, `NonNegative`, `SparseAtoms`, `Separable` (each atom
alone), `OrthonormalGroups`, `ComplexPairs`, `SharedByChannels` (atoms that belong together) and `ConvexHull`
(means of given points).

May import: the modules of `csc` whose names begin with ``_``.

A new constraint: a frozen dataclass with the method ``project`` of `UnitBall`; docs/extending.md shows one.
"""

from csc.constraints._convex_hull import ConvexHull
from csc.constraints._sets import (
    ComplexPairs,
    Constraint,
    Intersection,
    NonNegative,
    OrthonormalGroups,
    Separable,
    SparseAtoms,
    TaperedBall,
    UnitBall,
    UnitSphere,
    ZeroMean,
)
from csc.constraints._shared_by_channels import SharedByChannels

__all__ = [
    "ComplexPairs",
    "ConvexHull",
    "NonNegative",
    "OrthonormalGroups",
    "Separable",
    "SharedByChannels",
    "SparseAtoms",
    "TaperedBall",
    "UnitBall",
    "UnitSphere",
    "ZeroMean",
]
