"""Euclidean norms whose squares neither overflow nor underflow."""

from csc._backend import namespace


def norms_of(a, axis):
    """Norms along ``axis`` (one or several), which stay as axes of length one."""
    scaled, exponents = to_unit_range(a, axis)
    xp = namespace(a)
    return xp.ldexp(xp.sqrt((scaled * scaled).sum(axis=axis, keepdims=True)), exponents)


def to_unit_range(a, axis):
    """``a / 2^e``, whose largest modulus along ``axis`` is about 1, and the exponents e.

    Powers of two change no digit.
    """
    xp = namespace(a)
    largest = abs(a).max(axis=axis, keepdims=True)
    exponents = xp.maximum(xp.frexp(largest)[1], xp.finfo(a.dtype).minexp + 1)  # 2^-e is finite
    return a * xp.ldexp(xp.ones_like(largest), -exponents), exponents
