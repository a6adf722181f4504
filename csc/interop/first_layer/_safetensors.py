"""The first layer in a safetensors file: the length of a header, a JSON header, and bytes."""

import json
from math import prod

import numpy as np

from csc.interop.first_layer._arrays import bias_name, choose
from csc.interop.first_layer._layer import Found

NUMBERS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def from_safetensors(path, key=None, layout=None):
    """Return the first layer if it is unambiguous: the format does not keep the order of names."""
    with open(path, "rb") as file:
        header, start = _header(file, path)
        shapes = {name: tuple(about["shape"]) for name, about in header.items()}
        name = choose(shapes, key, layout, ordered=False)
        bias = bias_name(name, shapes)
        weights, bias = (
            None if n is None else _array(file, header[n], start, f"{path.name}: {n}")
            for n in (name, bias)
        )
    return Found(weights, bias, name, layout=layout)


def _header(file, path):
    """Return the checked header and the offset of the arrays."""
    try:
        length = int.from_bytes(file.read(8), "little")
        size = path.stat().st_size - 8 - length
        if size < 0:
            raise ValueError(f"its header states a length of {length} bytes")
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        for name, about in header.items():
            _check(name, about, size)
    except Exception as error:  # parsers raise many kinds of errors for a damaged file
        raise ValueError(f"source {path} is damaged ({error!r})") from error
    return header, 8 + length


def _check(name, about, size):
    low, high = about["data_offsets"]
    shape, kind = about["shape"], NUMBERS.get(about["dtype"])
    fits = 0 <= low <= high <= size and all(isinstance(n, int) and n >= 0 for n in shape)
    if not fits or (kind and prod(shape) * np.dtype(kind).itemsize != high - low):
        raise ValueError(f"{name}: {about} does not lie in the file")


def _array(file, about, start, where):
    if about["dtype"] not in NUMBERS:
        raise TypeError(
            f"weights ({where}) are {about['dtype']}, which NumPy lacks; convert them to float32"
        )
    low, high = about["data_offsets"]
    file.seek(start + low)
    array = np.frombuffer(file.read(high - low), NUMBERS[about["dtype"]]).reshape(about["shape"])
    if about["dtype"] == "BF16":  # the upper half of a float32
        array = (array.astype("<u4") << 16).view("<f4")
    return array
