"""Save and load models without pickle: a ``.npz`` file of arrays with a JSON header."""

import json
import os
import secrets
import zipfile
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from csc._typing import File
from csc.io._archive import StoredArray, all_stored, check_uncompressed, read
from csc.io._schema import check_arrays, check_index

FORMAT = 1
HEADER = "csc"
PARTIAL_SUFFIX = ".part"  # of the name of a file while it is written
PLAIN = (bool, int, float, str, type(None))
# Only objects of these classes are created from a file.
HOMES = {
    "ADMM": "csc.solvers",
    "ByChannel": "csc.data_terms",
    "ComplexPairs": "csc.constraints",
    "ConvexHull": "csc.constraints",
    "ConvOMP": "csc.solvers",
    "CoordinateDescent": "csc.solvers",
    "Dictionary": "csc.operators",
    "DictionaryLearning": "csc.learning",
    "ElasticNet": "csc.penalties",
    "FISTA": "csc.solvers",
    "GreedyFISTA": "csc.solvers",
    "GroupDescent": "csc.solvers",
    "GroupL21": "csc.penalties",
    "HolisticPursuit": "csc.solvers",
    "HomeostaticGain": "csc.learning",
    "Huber": "csc.data_terms",
    "Intersection": "csc.constraints",
    "ISTA": "csc.solvers",
    "KSVD": "csc.learning",
    "KSVDState": "csc.learning._ksvd",
    "L0": "csc.penalties",
    "L1": "csc.penalties",
    "L1Ball": "csc.penalties",
    "LayeredBasisPursuit": "csc.solvers",
    "LayeredThresholding": "csc.solvers",
    "LayersState": "csc.learning.multilayer._step",
    "LeastAbsolute": "csc.data_terms",
    "LeastSquares": "csc.data_terms",
    "Logistic": "csc.data_terms",
    "LogPenalty": "csc.penalties",
    "MeasuredWorkingSet": "csc.solvers",
    "MLADMM": "csc.solvers",
    "MLFISTA": "csc.solvers",
    "MLISTA": "csc.solvers",
    "MultiLayerDictionary": "csc.operators",
    "MultiLayerDictionaryLearning": "csc.learning",
    "NonNegative": "csc.constraints",
    "OMP": "csc.solvers",
    "OrthonormalGroups": "csc.constraints",
    "Poisson": "csc.data_terms",
    "PrimalDual": "csc.solvers",
    "ProjectionPursuit": "csc.solvers",
    "Relative": "csc.penalties",
    "Reweighted": "csc.solvers",
    "Separable": "csc.constraints",
    "SharedByChannels": "csc.constraints",
    "Simplex": "csc.penalties",
    "SimultaneousOMP": "csc.solvers",
    "SparseAtoms": "csc.constraints",
    "SparseCodes": "csc.operators",
    "SparseGroupL21": "csc.penalties",
    "State": "csc.learning._step",
    "Statistics": "csc.learning._statistics",
    "StepRecord": "csc.learning._step",
    "TaperedBall": "csc.constraints",
    "TargetSparsity": "csc.penalties",
    "UnitBall": "csc.constraints",
    "UnitSphere": "csc.constraints",
    "WorkingSet": "csc.solvers",
    "ZeroMean": "csc.constraints",
}


def save(path: File, model: Any) -> None:
    """Write a dictionary or a learner, fitted or not, to a ``.npz`` file.

    The data is written to a temporary file in the same folder, which then replaces ``path``. If
    writing is interrupted, an old file stays intact.

    Parameters
    ----------
    path : str or path
    model : Dictionary, MultiLayerDictionary, learner, penalty or constraint

    Raises
    ------
    TypeError
        If the model has another type, or contains an object that cannot be saved safely (such as
        an instance of your own class); nothing is written.
    ValueError
        If the shapes of the arrays are inconsistent, so that the file could not be loaded.

    Examples
    --------
    >>> import os, tempfile, numpy as np, csc
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     csc.save(os.path.join(folder, "d.npz"), csc.Dictionary(np.eye(2)[:, None]))
    ...     csc.load(os.path.join(folder, "d.npz"))
    Dictionary(2 atoms 2, 1 channel(s), mode='full', float64)
    """
    if type(path).__name__ in HOMES:
        raise TypeError(f"the path comes first: csc.save(path, {type(path).__name__}(...))")
    if type(model).__name__ not in HOMES:
        raise TypeError(
            "model must be a dictionary, a learner, a penalty or a constraint, got "
            f"{type(model).__name__}; save arrays with numpy.savez"
        )
    new = write_partial_file(path, model)
    try:
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def write_partial_file(path, model):
    """Write a model to a new file in the folder of ``path`` and return its name.

    The name is that of ``path`` with eight random digits and ``.part`` appended. The caller
    renames the file to ``path``.
    """
    arrays, path = {}, Path(path)
    header = {"format": FORMAT, "model": _encode(model, "model", arrays)}
    check_arrays(header["model"], {n: StoredArray(n, a.shape, a.dtype) for n, a in arrays.items()})
    partial = path.with_name(f"{path.name}{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    try:
        with open(partial, "xb") as file:
            np.savez(file, **{HEADER: np.array(json.dumps(header))}, **arrays)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return partial


def load(path: File) -> Any:
    """Load a model that `save` wrote, also with an earlier version: parameters it lacks keep their defaults.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is damaged, was not written by `save`, or has a newer format. The shape and the
        dtype of every array are checked before it is read; NaN and inf are refused.

    Examples
    --------
    >>> import tempfile, numpy as np, csc
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     csc.save(f"{folder}/D.npz", csc.Dictionary(np.eye(2)[:, None]))
    ...     csc.load(f"{folder}/D.npz").atoms.shape
    (2, 1, 2)
    """
    with open(path, "rb") as file:
        try:
            version, model = _read(file)
        except Exception as error:  # parsers raise many types for damaged files
            raise ValueError(f"{path} is damaged, or not a file of csc.save ({error!r})") from error
    if version != FORMAT:
        raise ValueError(
            f"{path} has format {version}, but this version of csc reads format {FORMAT}; load it "
            "with the version of csc that wrote it"
        )
    return model


def _read(file):
    """Format and model of an open file; arrays are read after they are checked."""
    with zipfile.ZipFile(file) as archive:
        check_uncompressed(archive, file)
        arrays = all_stored(archive)
        del arrays[HEADER]
        header = json.loads(str(read(archive, HEADER)))
        version, form = header["format"], header["model"]
        if version != FORMAT:
            return version, None
        check_arrays(form, arrays)
        return version, _decode(form, {name: _finite(archive, name) for name in arrays})


def _finite(archive, name):
    """Read an array and check that it is finite; penalties check their weights, which may be inf."""
    array = read(archive, name)
    if not (name.endswith(".weights") or np.isfinite(array).all()):
        raise ValueError(f"{name} contains NaN or inf")
    return array


def _encode(value, name, arrays):
    """JSON form of a value; arrays are added to ``arrays`` under their dotted name."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, PLAIN):
        return value
    if hasattr(value, "get") and hasattr(value, "device"):
        value = value.get()  # from the GPU
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        arrays[name] = value
        return {"array": name}
    if type(value) in (tuple, list):
        items = [_encode(v, f"{name}.{i}", arrays) for i, v in enumerate(value)]
        return {type(value).__name__: items}
    kind = type(value).__name__
    if type(value).__module__.startswith(HOMES.get(kind, "?")):
        return {"type": kind, "fields": _encode_all(_contents(value), name, arrays)}
    raise TypeError(
        f"{name} is a {kind}, which cannot be saved safely; save its arrays with numpy.savez"
    )


def _encode_all(contents, name, arrays):
    return {key: _encode(value, f"{name}.{key}", arrays) for key, value in contents.items()}


def _contents(value):
    """Names and values of all fields or attributes of an object."""
    if hasattr(value, "_asdict"):
        return value._asdict()
    if not hasattr(value, "get_params"):
        return {f.name: getattr(value, f.name) for f in fields(value)}
    state = dict(vars(value))
    if not isinstance(
        value.random_state, (*PLAIN, np.integer)
    ):  # a generator: save the seed drawn from it
        state["random_state"] = state.get("seed_")
    return state


def _decode(form, arrays):
    """Inverse of `_encode`."""
    if not isinstance(form, dict):
        return form
    if "array" in form:
        return arrays[form["array"]]
    for sequence in (tuple, list):
        if sequence.__name__ in form:
            return sequence(_decode(item, arrays) for item in form[sequence.__name__])
    cls = getattr(import_module(HOMES[form["type"]]), form["type"])
    contents = {key: _decode(value, arrays) for key, value in form["fields"].items()}
    if form["type"] == "SparseCodes":
        check_index(**contents)
    if not is_dataclass(cls):
        return cls(**contents)
    # a field younger than the file keeps its default
    parameters = {f.name: contents.pop(f.name) for f in fields(cls) if f.name in contents}
    model = cls(**parameters)
    for name, value in contents.items():  # fitted attributes
        if not name.endswith("_") or name.startswith("_") or hasattr(cls, name):
            raise ValueError(f"{cls.__name__} has no fitted attribute {name}")
        setattr(model, name, value)
    return model
