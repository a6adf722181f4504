"""Penalties on codes: their values, proximal operators and conjugates.

Here: `L1`, `ElasticNet`, `GroupL21`, `SparseGroupL21`, `L1Ball`, `Simplex` (convex), `L0`, `LogPenalty` (not convex), the
regularization parameter as a fraction of lambda_max (`Relative`) or by a number of codes (`TargetSparsity`), the
weights of codes, and groups of neighbouring atoms (`neighbourhoods`).

May import: the modules of `csc` whose names begin with ``_``.

A new penalty: a frozen dataclass with the methods of `L1`; docs/extending.md shows one, and
`csc.testing.check_prox` checks it.
"""

from csc.penalties._code_weights import InverseSize, LateralInhibition
from csc.penalties._convex import L1, ElasticNet, GroupL21
from csc.penalties._lmbda import Lmbda, Relative, TargetSparsity, resolved, warn_of_zero_codes
from csc.penalties._nonconvex import L0, LogPenalty
from csc.penalties._overlapping_groups import neighbourhoods
from csc.penalties._simplex import Simplex
from csc.penalties._sparse_groups import NORM_ROUNDING, L1Ball, SparseGroupL21
from csc.penalties._weights import atom_weights, finite_lmbda, ridge_of

__all__ = [
    "ElasticNet",
    "GroupL21",
    "InverseSize",
    "L0",
    "L1",
    "L1Ball",
    "LateralInhibition",
    "LogPenalty",
    "Relative",
    "Simplex",
    "SparseGroupL21",
    "TargetSparsity",
    "neighbourhoods",
]
