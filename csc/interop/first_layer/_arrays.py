"""The first layer among named arrays: a state dict, or the contents of a file."""

import re
from collections.abc import Mapping

from csc.interop.first_layer._layer import HWIO, OIHW, Found, Norm, listed, may_be_rows_first

PREFERRED = ("W", "weight")
BIASES = ("b", "bias", "B", "Bias", "biases", "Biases", "BIAS")
GREY, COLOURS = 1, 3  # channels of pictures
# conv1.weight, conv/kernel:0, conv_W, convW, W1; and W_conv
NAMES = [
    re.compile(
        r"(?P<before>|.*[._/-]|.*[a-z0-9](?=[WKF]))(?i:weights?|kernels?|filters?|w)"
        r"(?P<after>\d*(:0)?)"
    ),
    re.compile(r"(?P<before>)[Ww](?P<after>_.+)"),
]
# parameters from which a network computes its weights
COMPUTED = re.compile(r".*(weight_[guv]|weight_orig|parametrizations\..*)")


def from_state(state, key=None, layout=None):
    """Return the first layer of a state dict, nested or not, in the order of its names."""
    arrays = dict(_flat(state))
    name = choose({n: tuple(a.shape) for n, a in arrays.items()}, key, layout)
    if hasattr(arrays[name], "detach"):  # a tensor of PyTorch, which has one layout
        layout = layout or OIHW
    bias, norm = arrays.get(bias_name(name, arrays)), _norm_behind(name, arrays)
    return Found(arrays[name], bias, name, norm=norm, layout=layout)


def choose(shapes, key=None, layout=None, *, ordered=True):
    """Return the name of the weights of the first layer, given names and shapes.

    Names that mark weights have priority over others, and filters of images over filters of
    feature maps. ``ordered``: names are in the order of the network.
    """
    four = {name: shape for name, shape in shapes.items() if len(shape) == 4}
    if key is not None:
        if key not in shapes:
            raise ValueError(f"key {key!r} is not there; four-dimensional are: {listed(four)}")
        return key
    named = [name for name in four if _is_weights(name)]
    if not named and not any(map(_is_weights, shapes)):
        named = [name for name in four if not COMPUTED.fullmatch(name)]
    for name in PREFERRED:
        if name in named:
            return name
    if not named:
        raise _none_found(shapes, four)
    likely = [name for name in named if _sees(shapes[name], COLOURS, layout)] or named
    if ordered:
        # filters of later depthwise convolutions have one channel too
        name = named[0] if _sees(shapes[named[0]], GREY, layout) else likely[0]
        if _is_depthwise(name, shapes):
            raise ValueError(
                f"no array looks like the weights of a first convolution: {name} {shapes[name]} "
                "has one filter per channel of an earlier layer; if one does, pass its name as key=: "
                f"{listed(four)}"
            )
        return name
    if len(likely) > 1:
        raise ValueError(
            "a .safetensors file keeps no order, and several arrays may be the first layer's "
            f"weights; say which by key=: {listed(likely)}"
        )
    return likely[0]


def bias_name(name, names):
    """Return the name of the bias that belongs to these weights, or None."""
    found = next(filter(None, (pattern.fullmatch(name) for pattern in NAMES)), None)
    if found is None:
        return None
    spelt = (f"{found['before']}{bias}{found['after']}" for bias in BIASES)
    return next((bias for bias in spelt if bias in names), None)


def _is_weights(name):
    return any(pattern.fullmatch(name) for pattern in NAMES)


def _none_found(shapes, four):
    if four:
        return ValueError(
            "no array that is named as weights are (weight, kernel, W, ...) is four-dimensional; "
            f"if one of these is the first layer's weights, say which by key=: {listed(four)}"
        )
    return ValueError(
        "no array is four-dimensional, (K, C, h, w), as the weights of a 2-D convolution are; "
        "filters without channels need an axis for them, W[:, None]; there are: "
        f"{listed([f'{name} {shape}' for name, shape in shapes.items()])}"
    )


def _sees(shape, n_channels, layout):
    """Whether filters have this number of channels and more than one pixel."""
    if layout == HWIO or (layout is None and may_be_rows_first(shape)):
        h, w, channels, _ = shape
    else:
        _, channels, h, w = shape
    return channels == n_channels and h * w > 1


def _is_depthwise(name, shapes):
    """Whether the K filters have one channel each and an earlier array has K filters."""
    K, channels, *_ = shapes[name]
    before = list(shapes)[: list(shapes).index(name)]
    return channels == 1 < K and any(shapes[n][:1] == (K,) for n in before)


def _flat(value, prefix=""):
    """Yield dotted names and arrays of nested mappings; skip what is not an array."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{prefix}.{name}" if prefix else str(name))
    elif hasattr(value, "shape"):
        yield prefix, value


def _norm_behind(name, arrays):
    """Return the batch normalisation whose arrays follow those of a convolution, or None."""
    own, names = {name, bias_name(name, arrays)}, list(arrays)
    behind = [n for n in names[names.index(name) :] if n not in own]
    stem = behind[0].rpartition(".")[0] if behind else ""
    parts = [f"{stem}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
    return Norm(*(arrays[part] for part in parts)) if set(parts) <= set(arrays) else None
