"""Linear operators: dictionaries, and how their convolutions are computed.

Here: `Dictionary` (D and its adjoints), `MultiLayerDictionary` (D_1 ... D_L), `MeasuredDictionary`
(A D), the arithmetic of modes and strides, bounds of the norm, convolution by direct sums, by the
FFT and batch-last in memory, the plan that picks one of these (`ConvPlan`), D restricted to a
support or as one matrix, sparse codes, complex arrays as real ones,
product dictionaries. Files in `_name.py` are
private; other packages import from here.

May import: the modules of `csc` whose names begin with ``_``, and `csc.kernels`.

A new operator: a file of its own with ``__call__``, ``adjoint``, ``lipschitz`` and ``as_double``,
checked by `csc.testing.dot_test`.
"""

from csc.kernels._arguments import MomentumPoint, SoftThreshold
from csc.operators._batch_last_conv import batch_last
from csc.operators._complex import (
    channels_to_complex,
    codes_to_complex,
    complex_dictionary,
    complex_operator,
    complex_to_channels,
    complex_to_codes,
)
from csc.operators._conv_geometry import MODES, ConvGeometry
from csc.operators._conv_plan import ConvPlan
from csc.operators._dictionary import Dictionary
from csc.operators._fourier_solve import CirculantGram
from csc.operators._measured import MeasuredDictionary
from csc.operators._multilayer import COMPOSABLE, MultiLayerDictionary
from csc.operators._product import codes_of_products, product_dictionary
from csc.operators._sparse_codes import SparseCodes, code_values, dense_codes
from csc.operators._sparse_residual import SparseResidual
from csc.operators._support_operator import (
    KnownInfeasibility,
    PaddedSignals,
    RestrictedDictionary,
    exact_above_one,
)
from csc.operators._synthesis_matrix import gram_of, matrix_and_gram, synthesis_matrix

__all__ = [
    "Dictionary",
    "MeasuredDictionary",
    "MultiLayerDictionary",
    "channels_to_complex",
    "codes_of_products",
    "codes_to_complex",
    "complex_dictionary",
    "complex_operator",
    "complex_to_channels",
    "complex_to_codes",
    "product_dictionary",
]
