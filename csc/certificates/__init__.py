"""Certificates of optimality: duality gaps in float64, apart from any solver.

Here: the duality gap of a convex penalty, that of an elastic net at sparse codes, dual points
rescaled sample by sample, codes without a penalty, and the gap of any data term. A certificate is a
function of arrays, a dictionary and a penalty.

May import: `csc.data_terms`, `csc.operators`, `csc.penalties`, and the modules of `csc` whose names begin with ``_``.

A new certificate: a function that returns the objective and the gap of each signal, tested against
the minimum found by another method.
"""

from csc.certificates._data_terms import best_dual_of_term, data_term_certificate
from csc.certificates._duality_gap import certificate, duality_gap, kkt_violation
from csc.certificates._elastic_net import (
    elastic_net_certificate,
    largest_with_ridge,
    lasso_certificate,
)
from csc.certificates._free_codes import lmbda_max_with_free_codes
from csc.certificates._group_duals import (
    GroupScores,
    group_certificate,
    group_lmbdas,
    penalty_of_codes,
)
from csc.certificates._l1_ball import (
    ball_certificate,
    ball_dual,
    in_units,
    is_inside,
    multipliers,
    per_signal,
)
from csc.certificates._local_dual import (
    N_RESCALINGS,
    best_dual,
    dual_of,
    local_certificate,
    scaled_dual,
    sparse_certificate,
)

__all__ = ["certificate", "duality_gap", "kkt_violation"]
