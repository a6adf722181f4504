"""What theory promises of a dictionary and of codes: coherence, local sparsity, their bounds.

All of it speaks of unit-norm atoms. The theorems are worst-case: at the coherence of Gabor-like
filters (0.5 to 0.98) they allow at most one atom in a neighbourhood, and say nothing of pursuit on
photographs; they bite for random dictionaries of low coherence.

Here: measures of dictionaries and codes (``_measures.py``), theorems (``_theorems.py``).

May import: `csc.operators`, and the modules of `csc` whose names begin with ``_``.

A new theorem: a function named by what it bounds, with its number in the paper, and a test on
random signals that satisfy its conditions.
"""

from csc.theory._cases import Guarantee, Layer
from csc.theory._measures import (
    babel,
    correlations,
    mutual_coherence,
    patch_norm,
    shifted_coherence,
    stripe_coherence,
    stripe_norm,
    welch_bound,
)
from csc.theory._theorems import (
    basis_pursuit_stability,
    classification_margin,
    layered_basis_pursuit,
    layered_thresholding,
    local_noise,
    omp_stability,
    projection_stability,
    pursuit_success,
    uniqueness,
)

__all__ = [
    "Guarantee", "Layer", "babel", "basis_pursuit_stability", "classification_margin",
    "correlations", "layered_basis_pursuit", "layered_thresholding", "local_noise",
    "mutual_coherence", "omp_stability", "patch_norm", "projection_stability", "pursuit_success",
    "shifted_coherence", "stripe_coherence", "stripe_norm", "uniqueness", "welch_bound",
]  # fmt: skip
