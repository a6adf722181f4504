"""The first layer among named arrays: a state dict, or the contents of a file."""

from collections.abc import Mapping

from csc.first_layer._layer import Found, Norm, listed

PREFERRED = ("W", "weight")
BIAS_OF = {"W": "b", "weight": "bias", "kernel": "bias"}


def from_state(state, key=None):
    """The first layer of a state dict, nested or not, in the order of its names."""
    arrays = dict(_flat(state))
    name = choose({n: tuple(a.shape) for n, a in arrays.items()}, key)
    return Found(arrays[name], arrays.get(bias_name(name)), name, norm=_norm_behind(name, arrays))


def choose(shapes, key):
    """Name of the weights among names and their shapes, in the order of the network."""
    candidates = [name for name, shape in shapes.items() if len(shape) == 4]
    if key is not None:
        if key not in shapes:
            raise ValueError(
                f"key {key!r} is not there; four-dimensional are: {listed(candidates)}"
            )
        return key
    for name in (*PREFERRED, *candidates):
        if name in candidates:
            return name
    raise ValueError(
        "no array is four-dimensional, (K, C, h, w), as the weights of a 2-D convolution are; "
        "filters without channels need an axis for them, W[:, None]; there are: "
        f"{listed([f'{name} {shape}' for name, shape in shapes.items()])}"
    )


def choose_unordered(shapes, key):
    """The same where the order of names says nothing: only what is beyond doubt."""
    four = {name: shape for name, shape in shapes.items() if len(shape) == 4}
    colour = {name: shape for name, shape in four.items() if shape[1] == 3}
    likely = colour or four
    if key is None and len(likely) > 1 and not set(PREFERRED) & set(likely):
        raise ValueError(
            "a .safetensors file keeps no order, and several arrays may be the first layer's "
            f"weights; say which by key=: {listed(list(likely))}"
        )
    return choose(likely if key is None and likely else shapes, key)


def bias_name(name):
    """The name that goes with that of weights; None if it is not a name of weights."""
    stem, dot, last = name.rpartition(".")
    return f"{stem}{dot}{BIAS_OF[last]}" if last in BIAS_OF else None


def _flat(value, prefix=""):
    """Dotted names and arrays of mappings in mappings; what is no array is passed over."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{prefix}.{name}" if prefix else str(name))
    elif hasattr(value, "shape"):
        yield prefix, value


def _norm_behind(name, arrays):
    """The batch normalisation whose arrays come next after those of a convolution."""
    own, names = {name, bias_name(name)}, list(arrays)
    behind = [n for n in names[names.index(name) :] if n not in own]
    stem = behind[0].rpartition(".")[0] if behind else ""
    parts = [f"{stem}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
    return Norm(*(arrays[part] for part in parts)) if set(parts) <= set(arrays) else None
