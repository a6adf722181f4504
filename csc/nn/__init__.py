"""Trainable pursuits: modules of PyTorch that solve the problems of `csc` (extra ``torch``).

The dictionary and lambda of a module are parameters. Its codes are those of the solver of the same
name, so that what is trained can be certified and moved back:

>>> import csc, torch
>>> module = csc.nn.SparseCode(csc.nn.random_dictionary((8, 1, 5)), lmbda=0.1, n_steps=20)
>>> x = torch.randn(2, 1, 30)
>>> codes = module(x)
>>> codes.shape, csc.nn.certify(module, x, codes).relative_gap < 1
(torch.Size([2, 8, 26]), True)
>>> module.to_dictionary()
Dictionary(8 atoms 5, 1 channel(s), mode='full', float32)

Here: a file for each module; what those of one layer share (``_pursuit.py``), their atoms and
lambda (``_parameters.py``), convolutions of tensors (``_convolution.py``), proximal-gradient steps
(``_proximal_steps.py``), and the ways to and from `csc` (``_bridge.py``). Names load when first
used: without PyTorch, this package can be imported.

May import: `csc.operators`, `csc.penalties`, `csc.problems`, `csc.solvers`, `csc.solve` and the
modules of `csc` whose names begin with ``_``.

A new pursuit: a file with a `torch.nn.Module` of a `TrainableDictionary`, tested against a solver
of `csc` or a dense transcription, and by ``torch.autograd.gradcheck``.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from csc.nn._bridge import Certificate as Certificate
    from csc.nn._bridge import certify as certify
    from csc.nn._bridge import from_dictionary as from_dictionary
    from csc.nn._bridge import random_dictionary as random_dictionary
    from csc.nn._implicit import ImplicitSparseCode as ImplicitSparseCode
    from csc.nn._lca import LCA as LCA
    from csc.nn._multi_layer_pursuit import MultiLayerPursuit as MultiLayerPursuit
    from csc.nn._parameters import TrainableDictionary as TrainableDictionary
    from csc.nn._shift_average import StridedShiftAverage as StridedShiftAverage
    from csc.nn._sparse_code import SparseCode as SparseCode

_HOME = {
    "Certificate": "_bridge",
    "ImplicitSparseCode": "_implicit",
    "LCA": "_lca",
    "MultiLayerPursuit": "_multi_layer_pursuit",
    "SparseCode": "_sparse_code",
    "StridedShiftAverage": "_shift_average",
    "TrainableDictionary": "_parameters",
    "certify": "_bridge",
    "from_dictionary": "_bridge",
    "random_dictionary": "_bridge",
}

__all__ = list(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'csc.nn' has no attribute {name!r}")
    try:
        _import_module("torch")
    except ImportError as error:
        raise ImportError(f"csc.nn.{name} needs PyTorch: pip install 'mlcsc[torch]'") from error
    value = getattr(_import_module(f"csc.nn.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return [*(name for name in globals() if name.startswith("__")), *__all__]
