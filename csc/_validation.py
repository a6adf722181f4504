"""Checks of what users pass: each error names the argument, what came, and how to fix it."""

import numbers
from os import PathLike

import numpy as np

from csc._backend import as_native, check_same_device, namespace

FLOATS = (np.float32, np.float64)
COMPLEX = (np.complex64, np.complex128)
MOST_COLOURS = 4  # red, green, blue and alpha: an axis up to this length looks like channels
UNSIGNED_HINT = "skimage.util.img_as_float32({}), which also scales pixels to 0...1"
CONVERSION_HINTS = {  # by ``dtype.kind``
    "u": UNSIGNED_HINT,
    "i": "{}.astype('float64')",
    "b": "{}.astype('float64')",
    "f": "{}.astype('float64')",
    "e": "{}.astype('float32')",
    "c": "csc.operators.complex_to_channels({0}) (complex codes: csc.problems.complex_problem), or abs({0})",
    "O": "numpy.array({}.tolist(), dtype='float64')",
}
MASK_HINT = "pass a mask where values are missing, or clean it"
CLEAN_HINT = "find out where such values come from; numpy.nan_to_num replaces them"


def check_array(name, a):
    """Return ``a`` as a plain NumPy or CuPy array of native byte order, or raise TypeError.

    Arrays that support DLPack share their memory. A masked array must have no masked entry:
    functions that take a mask call `split_masked` first.
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
    raise TypeError(f"{name} must be an array, got {type(a).__name__}; {_conversion_hint(name, a)}")


def _conversion_hint(name, a):
    """How to convert ``a`` to an array, as a hint for an error message."""
    ways = {
        "__dask_graph__": f"use {name}.compute(), or a function of csc.distributed",
        "pixels": f"use {name}.pixels",
        "atoms_": f"use {name}.atoms_",
        "atoms": f"use {name}.atoms",
        "codes": f"use {name}.codes",
        "dense": f"use {name}.dense()",
        "toarray": f"use {name}.toarray()",
        "to_numpy": f"use {name}.to_numpy()",
        "fit": f"fit it first, and use {name}.atoms_",
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
        if len({getattr(item, "shape", ()) for item in a}) > 1:
            return f"the arrays of {name} differ in shape: one call for each (learners take lists)"
        return f"use numpy.stack({name})"
    return f"use numpy.array({name}, dtype='float64')"


def check_real(name, a):
    """Return a plain float32 or float64 array (see `check_array`), or raise TypeError."""
    a = check_array(name, a)
    if a.dtype not in FLOATS:
        kind = "e" if a.dtype == "float16" else a.dtype.kind
        way = CONVERSION_HINTS.get(kind, "numpy.array({}, dtype='float64')").format(name)
        raise TypeError(f"{name} must be float32 or float64, got {a.dtype}; use {way}")
    return a


def check_complex(name, a):
    """Return an array as complex64 or complex128, also of real floats, or raise TypeError."""
    a = check_array(name, a)
    if a.dtype in FLOATS:
        return a.astype("complex64" if a.dtype == "float32" else "complex128")
    if a.dtype not in COMPLEX:
        raise TypeError(
            f"{name} must be complex64 or complex128, got {a.dtype}; use "
            f"{name}.astype('complex128')"
        )
    return a


def check_codes(name, z):
    """Return codes ``(N, K, *V)`` of any real dtype, where only zero and non-zero codes matter."""
    z = check_array(name, z)
    if z.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be real numbers, got {z.dtype}; use {name}.real or abs")
    if not 3 <= z.ndim <= 5 or 0 in z.shape:
        raise ValueError(f"{name} must be (N, K, *V), not empty, got shape {z.shape}")
    if namespace(z).isnan(z).any():
        raise ValueError(f"{name} holds NaN; {CLEAN_HINT}")
    return z


def split_masked(x, mask, name="x"):
    """Split a masked array into its data and its mask combined with ``mask``.

    Any other ``x`` is returned unchanged with ``mask``.
    """
    if not isinstance(x, np.ma.MaskedArray):
        return x, mask
    data, seen = as_native(np.ma.getdata(x)), ~np.ma.getmaskarray(x)
    if mask is not None:
        seen = seen & (check_mask(mask, data, like=name) != 0)
    elif seen.all():
        return data, None
    return data, seen


def split_missing(x, mask, name="x"):
    """Return signals and their mask: 0 at masked entries, at NaN, and where ``mask`` is 0."""
    x, mask = split_masked(as_native(x), mask, name)
    x = check_real(name, x)
    xp = namespace(x)
    if x.size and bool(xp.isnan(x.min())):  # min avoids a temporary array
        seen = ~xp.isnan(x)
        mask = seen if mask is None else seen & (check_mask(mask, x, like=name) != 0)
    return x, mask


def check_mask(mask, x, like="x"):
    """Return a mask, an array or nested lists of 0 and 1, broadcast to ``x``."""
    if isinstance(mask, list | tuple | bool | int):
        mask = namespace(x).asarray(mask)
    mask = check_array("mask", mask)
    xp = check_same_device(**{like: x, "mask": mask})
    if mask.dtype.kind not in "biuf":
        raise TypeError(f"mask must hold 0 (missing) and 1 (observed), got {mask.dtype}")
    values = xp.unique(mask)
    if not xp.isin(values, xp.asarray([0, 1])).all():
        raise ValueError(f"mask must hold only 0 (missing) and 1 (observed), got {values[:5]}")
    try:
        return xp.broadcast_to(mask, x.shape)
    except ValueError:
        raise ValueError(
            f"mask of shape {mask.shape} does not broadcast to {like} {x.shape}"
        ) from None


def check_floats(name, a, *, values=True, hint=CLEAN_HINT):
    """Return ``a`` if it is a non-empty float32 or float64 array without NaN or inf.

    The result is a plain NumPy or CuPy array (see `check_array`). ``values=False`` skips the
    check of the values, which would synchronise with a GPU. ``hint`` says what to do about NaN and
    inf.
    """
    a = check_real(name, a)
    if 0 in a.shape:
        raise ValueError(f"{name} is empty: shape {a.shape}")
    xp = namespace(a)
    if values and not np.isfinite(_range(a)).all():  # no temporary array of the size of a
        what = "NaN" if xp.isnan(a).any() else "inf"
        raise ValueError(f"{name} holds {what}; {hint}")
    return a


def _range(a):
    """Minimum and maximum; NaN if there is one."""
    return float(a.min()), float(a.max())


def check_scale(name, a):
    """Raise ValueError for values whose squares would overflow or underflow."""
    low, high = _range(a)
    top = max(-low, high)
    low, high = (1e-15, 1e15) if a.dtype == "float32" else (1e-140, 1e140)
    if top > 0 and not low <= top <= high:
        raise ValueError(
            f"{name} has values up to {top:.1e}, which {a.dtype} cannot square; rescale {name}"
        )


def check_atoms(atoms, name="atoms"):
    """Return atoms ``(K, C, *s)`` as a plain array, or raise."""
    atoms = check_floats(name, atoms)
    if not 3 <= atoms.ndim <= 5:
        raise ValueError(
            f"{name} must be (K, C, *s) with 1 to 3 spatial axes, got shape {atoms.shape}; "
            f"for single-channel images index as {name}[:, None]"
        )
    if atoms.dtype.itemsize and not namespace(atoms).any(atoms):
        raise ValueError(f"{name} are all zero; initialise them, for example with random numbers")
    return atoms


def check_signals(x, atom_shape, name="x", *, fit=True, values=True):
    """Return signals ``(N, C, *S)`` that match atoms of shape ``(C, *s)``, or raise.

    ``fit`` requires signals at least as large as the atoms (mode "full"); ``values`` as in
    `check_floats`.
    """
    x = check_floats(name, x, values=values, hint=MASK_HINT)
    channels, spatial_shape = atom_shape[0], tuple(atom_shape[1:])
    ndim = 2 + len(spatial_shape)
    if x.ndim != ndim:
        raise ValueError(
            f"{name} must be (N, C, *S) with {ndim - 2} spatial axes, as atoms of {spatial_shape} "
            f"have, got shape {x.shape}; {_axes_hint(name, x, spatial_shape)}"
        )
    if x.shape[1] != channels:
        raise ValueError(
            f"{name} has {x.shape[1]} channels (axis 1) but the atoms have {channels}; "
            f"{name} must be (N, C, *S), got shape {x.shape}{_channels_last(name, x, channels)}"
        )
    if fit and any(big < small for big, small in zip(x.shape[2:], spatial_shape, strict=True)):
        raise ValueError(
            f"atoms of shape {spatial_shape} are larger than {name} of shape {x.shape[2:]}; "
            f"use smaller atoms or larger signals{_channels_last(name, x)}"
        )
    return x


def _axes_hint(name, x, spatial_shape):
    """What to do with signals of too few or too many axes."""
    first, missing = spatial_shape[0], 2 + len(spatial_shape) - x.ndim
    if missing == 1 and len(spatial_shape) > 1 and first == x.shape[1] <= MOST_COLOURS:
        return (
            f"if {first} is the number of channels, leave it out of the shape of the atoms, "
            f"{spatial_shape[1:]}; for single-channel signals use {name}[:, None]"
        )
    return {
        1: f"for one signal use {name}[None], for single-channel ones {name}[:, None]",
        2: f"for one single-channel signal use {name}[None, None]",
        -1: "if atoms are (K, h, w), of one channel, index them as atoms[:, None]; a learner's "
        "atom_shape has a size for each spatial axis",
    }.get(missing, f"reshape {name}")


def _channels_last(name, x, channels=None):
    """Hint for signals whose last axis looks like the channels; else empty."""
    last = x.shape[-1]
    if last == channels or (channels is None and last in (3, 4) and last < x.shape[1]):
        return f"; if the channels are its last axis, pass numpy.moveaxis({name}, -1, 1)"
    return ""


def check_like_atoms(name, a, atoms):
    """Raise TypeError if ``a`` differs from the atoms in dtype or device."""
    check_same_device(**{name: a, "atoms": atoms})
    if a.dtype != atoms.dtype:
        raise TypeError(
            f"{name} is {a.dtype} but the atoms are {atoms.dtype}; use one precision, "
            f"for example {name}.astype(atoms.dtype)"
        )


def check_weights(weights, x, code_shape):
    """Raise if weights of a penalty are on another device or do not broadcast to the codes."""
    check_same_device(x=x, weights=weights)
    try:
        fits = np.broadcast_shapes(weights.shape, code_shape) == code_shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"penalty weights of shape {weights.shape} do not broadcast to codes "
            f"(N, K, *V) = {code_shape}; one weight per atom has shape (K, 1, ...)"
        )


def check_gradient_weights(name, weights, n_atoms):
    """Return one number for each atom as float64, or raise ValueError."""
    weights = np.asarray(weights, "float64")
    if weights.shape != (n_atoms,) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(
            f"{name} must be {n_atoms} finite numbers >= 0, one for each atom, got {weights}"
        )
    return weights


def check_instance(name, value, verb, example):
    """Raise TypeError for a class, or an object without the method ``verb``.

    The first word of ``name`` names the kind of object in the message.
    """
    if isinstance(value, type) or not hasattr(value, verb):
        kind = name.split()[0]
        raise TypeError(f"{name} must be a {kind} such as {example}, got {value!r}")


def check_number(name, value, *, low=0.0, strict=False):
    """Return a finite real ``value`` ≥ ``low`` (> ``low`` when strict)."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    bad = value <= low if strict else value < low
    if bad or not np.isfinite(value):
        raise ValueError(f"{name} must be finite and {'>' if strict else '>='} {low}, got {value}")
    return value


def check_count(name, value, *, low=1):
    """Return an integer ``value`` ≥ ``low``."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < low:
        raise ValueError(f"{name} must be >= {low}, got {value}")
    return int(value)


def check_flag(name, value):
    """Return True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_shape(name, shape, n_axes=None):
    """Return a spatial shape as a tuple of ``n_axes`` integers, or of 1 to 3, each >= 1."""
    if not isinstance(shape, tuple | list):
        raise TypeError(f"{name} must be a tuple such as {(12,) * (n_axes or 2)}, got {shape!r}")
    if n_axes is not None and len(shape) != n_axes:
        raise ValueError(
            f"{name} must have one number for each of {n_axes} axes, got {tuple(shape)}"
        )
    if not 1 <= len(shape) <= 3:
        raise ValueError(f"{name} must have 1 to 3 axes, got {tuple(shape)}")
    return tuple(check_count(f"{name}[{i}]", size) for i, size in enumerate(shape))


def check_choice(name, value, choices):
    """Return ``value`` if it is one of ``choices``."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def fill_missing(x, mask, name="x"):
    """Return signals with zeros at missing samples, and their mask."""
    x = check_real(name, x)
    xp, mask = namespace(x), check_mask(mask, x, like=name)
    if not mask.any():
        raise ValueError(f"nothing was observed: everywhere mask is 0 or {name} is NaN")
    seen = xp.where(mask != 0, x, x.dtype.type(0))
    return check_floats(name, seen, hint="set the mask to 0 there, or clean it"), mask
