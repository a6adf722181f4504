"""Coherence, local sparsity, and the recovery guarantees that follow from them.

Atoms are assumed or scaled to unit norm. The theorems are worst-case results: at the coherence of
Gabor-like filters (0.5 to 0.98) they allow at most one atom in a neighbourhood, so they say nothing
about pursuit on photographs. They are informative for random dictionaries of low coherence.

Conventions of all functions: ``mu`` is the mutual coherence of a dictionary (`mutual_coherence`),
``k`` the stripe norm of codes (`stripe_norm`), ``noise`` the local norm of the noise
(`local_noise`), g the true and g^ the computed codes. Docstrings cite:

- Papyan et al. 2017a: V. Papyan, J. Sulam, M. Elad, "Working locally thinking globally", IEEE TSP
  65(21), 2017.
- Papyan et al. 2017b: V. Papyan, Y. Romano, M. Elad, "Convolutional neural networks analyzed via
  convolutional sparse coding", JMLR 18, 2017.
- Sulam et al. 2018: J. Sulam, V. Papyan, Y. Romano, M. Elad, "Multilayer convolutional sparse
  modeling: pursuit and dictionary learning", IEEE TSP 66(15), 2018.

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
