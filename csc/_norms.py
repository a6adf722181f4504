"""Norms and means that rounding, overflow and underflow leave exact enough."""

from functools import reduce

from csc._backend import namespace

# along an axis: of so few, NumPy's reductions take ten times as long as sums of parts
MAX_PARTS = 8


def norms_of(a, axis):
    """Norms along ``axis`` (one or several), which stay as axes of length one."""
    scaled, exponents = to_unit_range(a, axis)
    xp = namespace(a)
    return xp.ldexp(xp.sqrt(_reduced(xp.add, "sum", scaled * scaled, axis)), exponents)


def to_unit_range(a, axis):
    """``a / 2^e``, whose largest modulus along ``axis`` is about 1, and the exponents e.

    Powers of two change no digit.
    """
    xp = namespace(a)
    largest = _reduced(xp.maximum, "max", abs(a), axis)
    exponents = xp.maximum(xp.frexp(largest)[1], xp.finfo(a.dtype).minexp + 1)  # 2^-e is finite
    return a * xp.ldexp(xp.ones_like(largest), -exponents), exponents


def _reduced(combine, method, a, axis):
    """``a.method(axis, keepdims=True)``, where ``combine`` does the same for two arrays."""
    if isinstance(axis, int) and 1 <= a.shape[axis] <= MAX_PARTS:
        before = (slice(None),) * axis
        return reduce(combine, (a[(*before, slice(i, i + 1))] for i in range(a.shape[axis])))
    return getattr(a, method)(axis=axis, keepdims=True)


def without_mean(a, axes):
    """``a`` minus its mean along ``axes``: exactly 0 where it is constant, though means are rounded."""
    first = a[tuple(slice(0, 1) if i in axes else slice(None) for i in range(a.ndim))]
    centred = a - first
    centred -= centred.mean(axis=axes, keepdims=True)
    return centred
