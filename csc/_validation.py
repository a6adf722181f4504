"""Checks on what users pass: every error names the argument, what came, and what mends it."""

import numbers

import numpy as np

from csc._arrays import check_mask, check_real
from csc._backend import check_same_device, namespace

MASK = "pass a mask where values are missing, or clean it"
CLEAN = "find out where such values come from; numpy.nan_to_num replaces them"


def check_floats(name, a, *, values=True, mend=CLEAN):
    """Return ``a`` if it is a non-empty float32 or float64 array without NaN or inf.

    What comes back is a plain NumPy or CuPy array (see `check_array`).
    ``values=False`` does not look at values: of arrays on a device, that would wait for it.
    ``mend`` says what to do about NaN and inf.
    """
    a = check_real(name, a)
    if 0 in a.shape:
        raise ValueError(f"{name} is empty: shape {a.shape}")
    xp = namespace(a)
    if values and not np.isfinite(_range(a)).all():  # no array of the size of a is made
        what = "NaN" if xp.isnan(a).any() else "inf"
        raise ValueError(f"{name} holds {what}; {mend}")
    return a


def _range(a):
    """Least and greatest value; NaN if there is one."""
    return float(a.min()), float(a.max())


def check_scale(name, a):
    """Refuse values whose squares and sums would leave the range of their precision."""
    low, high = _range(a)
    top = max(-low, high)
    low, high = (1e-15, 1e15) if a.dtype == "float32" else (1e-140, 1e140)
    if top > 0 and not low <= top <= high:
        raise ValueError(
            f"{name} has values up to {top:.1e}, which {a.dtype} cannot square; rescale {name}"
        )


def check_atoms(atoms, name="atoms"):
    """Return atoms ``(K, C, *s)`` as a native array, or say what is wrong with them."""
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
    """Return signals ``(N, C, *S)`` that suit atoms of shape ``(C, *s)``, or say why not.

    ``fit`` asks that the atoms lie wholly inside the signal (mode "full"); ``values`` as in
    `check_floats`.
    """
    x = check_floats(name, x, values=values, mend=MASK)
    channels, extents = atom_shape[0], tuple(atom_shape[1:])
    ndim = 2 + len(extents)
    if x.ndim != ndim:
        mend = {
            ndim - 1: f"for one signal use {name}[None], for single-channel ones {name}[:, None]",
            ndim - 2: f"for one single-channel signal use {name}[None, None]",
            ndim + 1: "if atoms are (K, h, w), of one channel, index them as atoms[:, None]",
        }.get(x.ndim, f"reshape {name}")
        raise ValueError(
            f"{name} must be (N, C, *S) with {ndim - 2} spatial axes, got shape {x.shape}; {mend}"
        )
    if x.shape[1] != channels:
        raise ValueError(
            f"{name} has {x.shape[1]} channels (axis 1) but the atoms have {channels}; "
            f"{name} must be (N, C, *S), got shape {x.shape}{_channels_last(name, x, channels)}"
        )
    if fit and any(big < small for big, small in zip(x.shape[2:], extents, strict=True)):
        raise ValueError(
            f"atoms of extents {extents} are larger than {name} of extents {x.shape[2:]}; "
            f"use smaller atoms or larger signals{_channels_last(name, x)}"
        )
    return x


def _channels_last(name, x, channels=None):
    """What to do if the last axis looks like the channels."""
    last = x.shape[-1]
    if last == channels or (channels is None and last in (3, 4) and last < x.shape[1]):
        return f"; if the channels are its last axis, pass numpy.moveaxis({name}, -1, 1)"
    return ""


def check_like_atoms(name, a, atoms):
    """Refuse what is of another precision than the atoms, or elsewhere."""
    check_same_device(**{name: a, "atoms": atoms})
    if a.dtype != atoms.dtype:
        raise TypeError(
            f"{name} is {a.dtype} but the atoms are {atoms.dtype}; use one precision, "
            f"for example {name}.astype(atoms.dtype)"
        )


def check_weights(weights, x, code_shape):
    """Refuse weights of a penalty that are not with ``x`` or do not broadcast to the codes."""
    check_same_device(x=x, weights=weights)
    try:
        fits = np.broadcast_shapes(weights.shape, code_shape) == code_shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"penalty weights of shape {weights.shape} do not broadcast to codes "
            f"(N, K, *V) = {code_shape}; one weight an atom is (K, 1, ...)"
        )


def check_instance(name, value, verb, example):
    """Refuse what is a class, or lacks the method of its kind, the first word of ``name``."""
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


def check_choice(name, value, choices):
    """Return ``value`` if it is one of ``choices``."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def fill_missing(x, mask):
    """Signals with zeros where nothing was observed, and the mask; refuse one that does not fit."""
    x = check_real("x", x)
    xp, mask = namespace(x), check_mask(mask, x)
    if not mask.any():
        raise ValueError("nothing was observed: everywhere mask is 0 or x is NaN")
    seen = xp.where(mask != 0, x, x.dtype.type(0))
    return check_floats("x", seen, mend="set the mask to 0 there, or clean it"), mask
