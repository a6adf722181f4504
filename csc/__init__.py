"""Convolutional and multi-layer sparse coding: fast, certified, from V1 filters to CNNs.

Arrays have one layout everywhere: signals ``(N, C, *S)``, atoms ``(K, C, *s)``, codes
``(N, K, *V)``. Names load when first used, so ``import csc`` is quick.
"""

from importlib import import_module as _import_module

__version__ = "0.1.0"

_NAMES = {
    "csc._device": ["to_device"],
    "csc.comparison": ["Comparison", "FilterSet", "compare_filters", "describe_filters"],
    "csc.constraints": [
        "NonNegative",
        "Separable",
        "SparseAtoms",
        "TaperedBall",
        "UnitBall",
        "UnitSphere",
        "ZeroMean",
    ],
    "csc.dictionary": ["Dictionary"],
    "csc.first_layer": ["FirstLayer", "load_first_layer"],
    "csc.learn": [
        "DictionaryLearning",
        "HomeostaticGain",
        "MultiLayerDictionaryLearning",
        "resume",
    ],
    "csc.matching": ["Match", "match_dictionaries"],
    "csc.measured": ["Measured"],
    "csc.nonconvex": ["L0", "LogPenalty"],
    "csc.multilayer_dictionary": ["MultiLayerDictionary"],
    "csc.multilayer_problem": ["MultiLayerProblem"],
    "csc.path": ["lmbda_for_sparsity", "lmbda_path", "noise_constrained"],
    "csc.penalties": ["L1", "ElasticNet", "GroupL21"],
    "csc.strengths": ["Relative", "TargetSparsity"],
    "csc.problem": ["Problem"],
    "csc.solving": ["Solution", "lmbda_max", "solve", "sparse_code"],
    "csc.solvers": [
        "ADMM",
        "FISTA",
        "ISTA",
        "MLADMM",
        "MLFISTA",
        "MLISTA",
        "OMP",
        "ConvOMP",
        "CoordinateDescent",
        "GreedyFISTA",
        "HolisticPursuit",
        "LayeredBasisPursuit",
        "LayeredThresholding",
        "ProjectionPursuit",
        "WorkingSet",
    ],  # fmt: skip
    "csc.store": ["load", "save"],
    "csc.torch_layers": ["from_torch", "to_torch"],
    "csc.versions": ["show_versions"],
}
_HOME = {name: home for home, names in _NAMES.items() for name in names}
_MODULES = [
    "certify",
    "distributed",
    "guarantees",
    "images",
    "plot",
    "receptive_fields",
    "samplers",
    "testing",
]

__all__ = [*sorted(_HOME), *_MODULES]  # noqa: PLE0604  names, though not yet loaded


def __getattr__(name):
    if name in _HOME:
        value = getattr(_import_module(_HOME[name]), name)
    elif name in _MODULES:
        value = _import_module(f"csc.{name}")
    else:
        raise AttributeError(f"module 'csc' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return [*(name for name in globals() if name.startswith("__")), *__all__]
