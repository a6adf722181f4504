"""Convolutional and multi-layer sparse coding: fast, certified, from V1 filters to CNNs.

Arrays have one layout everywhere: signals ``(N, C, *S)``, atoms ``(K, C, *s)``, codes
``(N, K, *V)``. Names load when first used, so ``import csc`` is quick.
"""

from importlib import import_module as _import_module

__version__ = "0.1.0"

_NAMES = {
    "csc._backend": ["to_device"],
    "csc._lmbda_search": [
        "ConstrainedSolution",
        "lmbda_for_sparsity",
        "lmbda_path",
        "noise_constrained",
    ],
    "csc._show_versions": ["show_versions"],
    "csc._solve": ["Solution", "lmbda_max", "solve", "solve_reweighted", "sparse_code"],
    "csc.io": ["load", "save"],
    "csc.learning": ["DictionaryLearning", "MultiLayerDictionaryLearning", "resume"],
    "csc.operators": ["Dictionary", "MeasuredDictionary", "MultiLayerDictionary"],
    "csc.penalties": [
        "L0",
        "L1",
        "L1Ball",
        "ElasticNet",
        "GroupL21",
        "LogPenalty",
        "Relative",
        "Simplex",
        "SparseGroupL21",
        "TargetSparsity",
    ],
    "csc.problems": ["MultiLayerProblem", "Problem"],
}
_HOME = {name: home for home, names in _NAMES.items() for name in names}
_MODULES = [
    "analysis",
    "certificates",
    "constraints",
    "data_terms",
    "datasets",
    "distributed",
    "images",
    "interop",
    "io",
    "learning",
    "nn",
    "operators",
    "penalties",
    "plot",
    "problems",
    "restoration",
    "solvers",
    "testing",
    "theory",
]


__all__ = [*sorted(_HOME), *_MODULES]


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
