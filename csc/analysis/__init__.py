"""Analysis of learned atoms: receptive fields, comparison of filter sets, matching.

Here: `csc.analysis.receptive_fields` (Gabor fits, statistics, null models),
`csc.analysis.comparison` (two sets of filters, compared with null models), and
`match_dictionaries` (pairs of atoms, up to order, sign and shift).

May import: `csc.operators`, the modules of `csc` whose names begin with ``_``, and the kernels.

A new measure of atoms: a function, the same function of the null models, and a field in the report.
"""

from csc.analysis import comparison, receptive_fields
from csc.analysis._matching import Match, match_dictionaries
from csc.analysis.comparison import Comparison, FilterSet, compare_filters, describe_filters

__all__ = [
    "Comparison",
    "FilterSet",
    "Match",
    "compare_filters",
    "comparison",
    "describe_filters",
    "match_dictionaries",
    "receptive_fields",
]
