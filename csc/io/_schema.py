"""Required shapes and dtypes of the arrays of a saved model.

`check_arrays` compares the JSON form of a model with the headers of its arrays. Each class with
arrays has a rule here; arrays of other classes must have one axis, like lists of numbers.
"""

from math import prod

import numpy as np

from csc.io._archive import StoredArray

FLOATS = (np.dtype("float32"), np.dtype("float64"))
DOUBLES = FLOATS[1:]
COUNTS = (np.dtype("int64"),)
ANY = None  # an axis of any length


def check_arrays(form, arrays):
    """Raise ValueError for arrays that do not match the model, or that it does not contain.

    Parameters
    ----------
    form : JSON form of a model
    arrays : dict of `StoredArray`
        By name.
    """
    seen = set()
    _visit(form, arrays, seen)
    if seen != set(arrays):
        raise ValueError(f"the model has no array {', '.join(sorted(set(arrays) - seen))}")


def check_index(shape, index, values):  # noqa: ARG001  the fields of `csc.operators._sparse_codes.SparseCodes`
    """Raise ValueError unless the indices of sparse codes ascend within ``shape``.

    Kernels use these indices without a check.
    """
    bounded = np.concatenate([[-1], index, [prod(shape)]])
    if (np.diff(bounded) <= 0).any():
        raise ValueError(f"indices of sparse codes do not ascend within the shape {shape}")


def _visit(form, arrays, seen):
    """Apply the rules to an object and its fields; add the names of its arrays to ``seen``."""
    if not isinstance(form, dict):
        return
    if "array" in form:
        array = arrays[form["array"]]
        if array.name in seen:
            raise ValueError(f"{array.name} occurs twice in the model")
        seen.add(array.name)
        return
    for item in form.get("tuple", form.get("list", ())):
        _visit(item, arrays, seen)
    if "type" in form:
        fields = {name: _outline(field, arrays) for name, field in form["fields"].items()}
        checked = set(RULES.get(form["type"], _no_arrays)(fields))
        for name, field in fields.items():
            if name not in checked:
                _check_flat(field)
        for field in form["fields"].values():
            _visit(field, arrays, seen)


def _outline(form, arrays):
    """A value with arrays replaced by `StoredArray` and objects by dicts of their fields."""
    if not isinstance(form, dict):
        return form
    if "array" in form:
        return arrays[form["array"]]
    if "type" in form:
        return {name: _outline(field, arrays) for name, field in form["fields"].items()}
    return [_outline(item, arrays) for item in form.get("tuple", form.get("list", ()))]


def _check_flat(field):
    """Raise ValueError for arrays of more than one axis in place of numbers or lists."""
    for item in field if isinstance(field, list) else [field]:
        if isinstance(item, StoredArray) and len(item.shape) > 1:
            raise ValueError(f"{item.name} has shape {item.shape}, not one axis")


def _check(array, shape, kinds):
    """Raise ValueError unless ``array`` has this shape, in which `ANY` matches, and dtype."""
    if not isinstance(array, StoredArray):
        raise ValueError(f"{array!r} is in the place of an array")
    fits = len(array.shape) == len(shape) and all(
        want is ANY or n == want for n, want in zip(array.shape, shape, strict=True)
    )
    if not fits or array.dtype not in kinds or 0 in array.shape:
        words = tuple("any" if n is ANY else n for n in shape)
        raise ValueError(
            f"{array.name} has shape {array.shape} and dtype {array.dtype}; the model needs "
            f"{words} and {' or '.join(map(str, kinds))}"
        )


def _no_arrays(_):
    return ()


def _dictionary(fields):
    _check_atoms(fields["atoms"])
    return ("atoms",)


def _check_atoms(atoms, channels=ANY, spatial_shape=None):
    """Check atoms ``(K, C, *s)`` with one to three spatial axes, or with these ``spatial_shape``."""
    if spatial_shape is None:
        spatial_shape = (ANY,) * min(max(len(atoms.shape) - 2, 1), 3)
    _check(atoms, (ANY, channels, *spatial_shape), FLOATS)


def _convex_hull(fields):
    _check_atoms(fields["points"])
    return ("points",)


def _weighted(fields):
    """Check the dtype of weights; the penalty checks their values, the problem their shape."""
    weights = fields.get("weights")
    if isinstance(weights, StoredArray):
        _check(weights, (ANY,) * len(weights.shape), FLOATS)
    return ("weights",)


def _tapered_ball(fields):
    window = fields.get("window")
    if isinstance(window, StoredArray):
        _check(window, (ANY,) * len(window.shape), FLOATS)
    return ("window",)


def _sparse_codes(fields):
    length = fields["values"].shape[:1]
    for name, kinds in (("values", FLOATS), ("index", COUNTS)):
        if fields[name].shape == (0,) and length == (0,):
            continue  # no non-zero code
        _check(fields[name], length, kinds)
    return "index", "values"


def _check_codes(groups, n_atoms, n_axes):
    """Check codes ``(N, K, *V)`` of groups of signals, dense or sparse."""
    for codes in groups or ():
        if isinstance(codes, StoredArray):
            _check(codes, (ANY, n_atoms, *(ANY,) * n_axes), FLOATS)
        elif len(codes["shape"]) != 2 + n_axes or codes["shape"][1] != n_atoms:
            raise ValueError(f"codes of shape {codes['shape']} are not those of {n_atoms} atoms")


def _check_statistics(statistics, n_atoms, n_samples, n_axes):
    """Check statistics of patches, or of all lags at which atoms overlap: an odd number per axis."""
    phi, psi = statistics["phi"], statistics["psi"]
    _check(phi, (n_atoms, n_atoms, *(ANY,) * (n_axes if phi.shape[2:] else 0)), DOUBLES)
    if any(n % 2 == 0 for n in phi.shape[2:]):
        raise ValueError(f"{phi.name} of shape {phi.shape} has no middle lag")
    _check(psi, (n_atoms, n_samples), DOUBLES)
    if not np.isfinite(statistics["energy"]):
        raise ValueError("the energy of the signals is not finite")


def _statistics(_):
    """Statistics are checked together with the atoms, in the state that holds both."""
    return "phi", "psi"


def _state(fields):
    _check_atoms(fields["atoms"])
    n_atoms, channels, *spatial_shape = fields["atoms"].shape
    _check_statistics(
        fields["statistics"], n_atoms, channels * prod(spatial_shape), len(spatial_shape)
    )
    _check(fields["unused"], (n_atoms,), COUNTS)
    _check(fields["variance"], (n_atoms,), DOUBLES)
    _check(fields["gain"], (n_atoms,), DOUBLES)
    _check_codes(fields["codes"], n_atoms, len(spatial_shape))
    if fields.get("kept") is not None:
        _check(fields["kept"], fields["atoms"].shape, (fields["atoms"].dtype,))
    return "atoms", "statistics", "unused", "variance", "gain", "codes", "kept"


def _ksvd_state(fields):
    _check_atoms(fields["atoms"])
    codes, shape = fields["codes"], fields["atoms"].shape
    _check_codes(None if codes is None else [codes], shape[0], len(shape) - 2)
    return "atoms", "codes"


def _layers_state(fields):
    atoms, n_atoms = fields["atoms"], ANY
    n_axes = len(atoms[0].shape) - 2
    for d in atoms:
        _check_atoms(d, n_atoms, (ANY,) * n_axes)
        n_atoms = d.shape[0]
    _check_statistics(fields["statistics"], n_atoms, ANY, n_axes)
    _check(fields["unused"], (n_atoms,), COUNTS)
    _check_codes(fields["codes"], n_atoms, n_axes)
    return "atoms", "statistics", "unused", "codes"


def _learner(fields):
    if isinstance(fields.get("init"), StoredArray):
        _check_atoms(fields["init"])
    return ("init",)


def _layers_learner(fields):
    """Check the statistics against the size of the effective atoms."""
    if "state_" in fields:
        state, layers = fields["state_"], fields["layers"]
        atoms, psi = state["atoms"], state["statistics"]["psi"]
        strides = [layer["stride"] for layer in layers]
        _check(psi, (ANY, atoms[0].shape[1] * prod(_effective_shape(atoms, strides))), DOUBLES)
    return ()


def _effective_shape(atoms, strides):
    """Spatial shape of the effective atoms: ``1 + sum_i (s_i - 1) t_1 ... t_{i-1}``."""
    shape, product = 1, 1
    for d, stride in zip(atoms, strides, strict=True):
        shape = shape + (np.array(d.shape[2:]) - 1) * product
        product = product * np.array(stride)
    return map(int, shape)


RULES = {
    "ByChannel": _weighted,
    "ConvexHull": _convex_hull,
    "Dictionary": _dictionary,
    "DictionaryLearning": _learner,
    "ElasticNet": _weighted,
    "GroupL21": _weighted,
    "Huber": _weighted,
    "KSVD": _learner,
    "KSVDState": _ksvd_state,
    "L0": _weighted,
    "L1": _weighted,
    "LayersState": _layers_state,
    "LeastAbsolute": _weighted,
    "LeastSquares": _weighted,
    "LogPenalty": _weighted,
    "Logistic": _weighted,
    "MultiLayerDictionaryLearning": _layers_learner,
    "Poisson": _weighted,
    "SparseCodes": _sparse_codes,
    "State": _state,
    "Statistics": _statistics,
    "TaperedBall": _tapered_ball,
}
