"""Analysis of learned atoms: receptive fields, comparison of filter sets, matching.

Here: `csc.analysis.receptive_fields` (Gabor fits, statistics, null models),
`csc.analysis.comparison` (two sets of filters, compared with null models),
`match_dictionaries` (pairs of atoms, up to order, sign and shift), `similar_atoms` (of one
dictionary), and for series of several channels `topography_and_waveform` and `find_events`.

May import: `csc.operators`, the modules of `csc` whose names begin with ``_``, and the kernels.

A new measure of atoms: a function, the same function of the null models, and a field in the report.
"""

from csc.analysis import comparison, receptive_fields
from csc.analysis._matching import Match, match_dictionaries
from csc.analysis._rank_one import Events, RankOne, find_events, topography_and_waveform
from csc.analysis._similar import SimilarAtoms, similar_atoms
from csc.analysis.comparison import Comparison, FilterSet, compare_filters, describe_filters

__all__ = [
    "Comparison",
    "Events",
    "FilterSet",
    "Match",
    "RankOne",
    "SimilarAtoms",
    "compare_filters",
    "comparison",
    "describe_filters",
    "find_events",
    "match_dictionaries",
    "receptive_fields",
    "similar_atoms",
    "topography_and_waveform",
]
