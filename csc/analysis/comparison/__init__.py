"""Compare two sets of filters with each other and with null models.

>>> import numpy as np
>>> from csc.analysis.comparison import describe_filters
>>> noise = np.random.default_rng(0).standard_normal((6, 1, 7, 7))
>>> described = describe_filters(noise, name="white noise", rng=0)
>>> len(described), described.measures["Gabor-like"].atoms.value
(6, 0.0)
"""

from csc.analysis.comparison._compare import Comparison, Overlap, compare_filters
from csc.analysis.comparison._distances import Distance
from csc.analysis.comparison._filters import FilterSet, describe_filters
from csc.analysis.comparison._measures import Estimate, WithNulls

__all__ = [
    "WithNulls",
    "Comparison",
    "Distance",
    "Estimate",
    "FilterSet",
    "Overlap",
    "compare_filters",
    "describe_filters",
]
