"""Which arrays are taken from users, and what is said of all others."""

from os import PathLike

import numpy as np

from csc._backend import as_native, check_same_device, namespace

FLOATS = (np.float32, np.float64)
UNSIGNED = "skimage.util.img_as_float32({}), which also scales pixels to 0...1"
CONVERSIONS = {  # by the kind of a dtype
    "u": UNSIGNED,
    "i": "{}.astype('float64')",
    "b": "{}.astype('float64')",
    "f": "{}.astype('float64')",
    "e": "{}.astype('float32')",
    "c": "numpy.stack([{0}.real, {0}.imag], axis=1) for two channels, or abs({0})",
    "O": "numpy.array({}.tolist(), dtype='float64')",
}


def check_array(name, a):
    """Return ``a`` as a plain array of NumPy or CuPy, of native byte order; else say what it is.

    What offers DLPack shares its memory. A masked array must have no masked entry: functions
    that take a mask call `split_masked` first.
    """
    a = as_native(a)
    if isinstance(a, np.ma.MaskedArray):
        n = int(np.ma.getmaskarray(a).sum())
        if n:
            raise TypeError(
                f"{name} is a masked array with {n} masked entries, which cannot be left out "
                f"here; choose values for them with {name}.filled(...)"
            )
        return np.ma.getdata(a)
    if isinstance(a, np.ndarray) or namespace(a) is not np:
        return a
    raise TypeError(f"{name} must be an array, got {type(a).__name__}; {_way_to_array(name, a)}")


def _way_to_array(name, a):
    """What makes an array of something else."""
    ways = {
        "__dask_graph__": f"use {name}.compute(), or a function of csc.distributed",
        "pixels": f"use {name}.pixels",
        "dense": f"use {name}.dense()",
        "toarray": f"use {name}.toarray()",
        "to_numpy": f"use {name}.to_numpy()",
        "__dlpack__": f"use numpy.from_dlpack({name})",
    }
    for attribute, way in ways.items():
        if hasattr(a, attribute):
            return way
    if isinstance(a, str | PathLike):
        return "read the file first, for example with csc.images.load_folder"
    if hasattr(a, "dtype") and getattr(a, "shape", ()) != ():
        return f"read it into memory with {name}[...]"
    if isinstance(a, list | tuple) and any(hasattr(item, "dtype") for item in a):
        return f"use numpy.stack({name})"
    return f"use numpy.array({name}, dtype='float64')"


def check_real(name, a):
    """`check_array` of float32 or float64."""
    a = check_array(name, a)
    if a.dtype not in FLOATS:
        kind = "e" if a.dtype == "float16" else a.dtype.kind
        way = CONVERSIONS.get(kind, "numpy.array({}, dtype='float64')").format(name)
        raise TypeError(f"{name} must be float32 or float64, got {a.dtype}; use {way}")
    return a


def check_codes(name, z):
    """`check_array` of numbers of any type, for what only asks which codes are zero."""
    z = check_array(name, z)
    if z.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be real numbers, got {z.dtype}; use {name}.real or abs")
    return z


def split_masked(x, mask, name="x"):
    """The data of a masked array and ``mask`` joined with its own; all else as it came."""
    if not isinstance(x, np.ma.MaskedArray):
        return x, mask
    data, seen = as_native(np.ma.getdata(x)), ~np.ma.getmaskarray(x)
    if mask is not None:
        seen = seen & (check_mask(mask, data, like=name) != 0)
    elif seen.all():
        return data, None
    return data, seen


def split_missing(x, mask, name="x"):
    """Signals and the mask of all that is missing: masked entries, NaN, and where ``mask`` is 0."""
    x, mask = split_masked(as_native(x), mask, name)
    x = check_real(name, x)
    xp = namespace(x)
    if x.size and bool(xp.isnan(x.min())):  # no array of the size of x is made without need
        seen = ~xp.isnan(x)
        mask = seen if mask is None else seen & (check_mask(mask, x, like=name) != 0)
    return x, mask


def check_mask(mask, x, name="mask", like="x"):
    """The mask, an array or nested lists, broadcast to ``x``; refuse all but 0 and 1."""
    if isinstance(mask, list | tuple | bool | int):
        mask = namespace(x).asarray(mask)
    mask = check_array(name, mask)
    xp = check_same_device(**{like: x, name: mask})
    if mask.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold 0 (missing) and 1 (observed), got {mask.dtype}")
    values = xp.unique(mask)
    if not xp.isin(values, xp.asarray([0, 1])).all():
        raise ValueError(f"{name} must hold only 0 (missing) and 1 (observed), got {values[:5]}")
    try:
        return xp.broadcast_to(mask, x.shape)
    except ValueError:
        raise ValueError(
            f"{name} of shape {mask.shape} does not broadcast to {like} {x.shape}"
        ) from None
