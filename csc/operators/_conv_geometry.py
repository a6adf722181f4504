"""The geometry of a convolution: its four modes, and strides."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from operator import index

from csc._backend import namespace
from csc._validation import check_choice, check_count

MODES = ("full", "valid", "same", "circular")


@dataclass(frozen=True)
class ConvGeometry:
    """Positions of atoms of shape *s* in signals of shape *S*, the same on every axis.

    The atom of code v begins at sample ``t v - low``; up to ``low`` samples of it overhang.

    ========== ========== ======================= ==========================================
    mode       low        V                       border
    ========== ========== ======================= ==========================================
    full       0          (S - s) // t + 1        atoms lie wholly inside
    valid      s - 1      (S + s - 2) // t + 1    atoms overhang, what is outside is cropped
    same       (s-1)//2   ceil(S / t)             the same
    circular   0          S / t                   atoms wrap around
    ========== ========== ======================= ==========================================

    Each mode is the mode "full" on a padded signal: ``D = E^T D_full``, where `pad` is E.

    Parameters
    ----------
    mode : {"full", "valid", "same", "circular"}
    stride : tuple of ints
        Steps *t* between code positions, one per axis.
    atom_shape : tuple of ints
        Spatial shape *s* of the atoms.

    Raises
    ------
    ValueError
        From all methods, if the spatial shape does not suit the mode.

    Examples
    --------
    >>> from csc.operators._conv_geometry import ConvGeometry
    >>> ConvGeometry("valid", (2,), (3,)).spatial_code_shape((6,))
    (4,)
    """

    mode: str
    stride: tuple
    atom_shape: tuple

    @classmethod
    def of(cls, mode, stride, atom_shape):
        """Geometry from the arguments of a dictionary: one stride for all axes, or one per axis."""
        check_choice("mode", mode, MODES)
        steps = tuple(stride) if isinstance(stride, tuple | list) else (stride,) * len(atom_shape)
        if len(steps) != len(atom_shape):
            raise ValueError(
                f"stride must be an integer or one for each of the {len(atom_shape)} spatial axes, "
                f"got {stride}"
            )
        return cls(mode, tuple(check_count("stride", t) for t in steps), tuple(atom_shape))

    @property
    def must_fit(self):
        """Whether a signal must be at least as large as the atoms."""
        return self.mode in {"full", "circular"}

    @property
    def is_dense(self):
        """Whether the stride is 1 on every axis."""
        return prod(self.stride) == 1

    @cached_property
    def low(self):
        """Samples by which the first atom overhangs the signal, one number per axis."""
        overhang = {"valid": lambda s: s - 1, "same": lambda s: (s - 1) // 2}
        return tuple(map(overhang.get(self.mode, lambda s: 0), self.atom_shape))  # noqa: ARG005

    def spatial_code_shape(self, signal_shape):
        """Spatial shape *V* of the codes of signals with shape *S*."""
        return _spatial_code_shape(self, self._as_shape("signal_shape", signal_shape))

    def signal_shape(self, spatial_code_shape):
        """Smallest spatial shape *S* of signals whose codes have spatial shape *V*."""
        V = self._as_shape("spatial_code_shape", spatial_code_shape)
        least = {
            "full": lambda v, s, t: (v - 1) * t + s,
            "valid": lambda v, s, t: max(1, (v - 1) * t - s + 2),
            "same": lambda v, s, t: (v - 1) * t + 1,  # noqa: ARG005
            "circular": lambda v, s, t: v * t,  # noqa: ARG005
        }[self.mode]
        axes = zip(V, self.atom_shape, self.stride, strict=True)
        S = tuple(least(v, s, t) for v, s, t in axes)
        if self.spatial_code_shape(S) != V:
            raise ValueError(
                f"no signal has codes of shape {V} in mode {self.mode!r} with atoms of spatial shape "
                f"{self.atom_shape} and stride {self.stride}; the smallest, {S}, has "
                f"{self.spatial_code_shape(S)}"
            )
        return S

    def signal_shape_of(self, z, shape=None):
        """Spatial shape *S* of the signals of codes ``z``: ``shape`` if it is given and fits them."""
        if shape is None:
            return self.signal_shape(z.shape[2:])
        if self.spatial_code_shape(shape) != z.shape[2:]:
            raise ValueError(
                f"shape must be the spatial shape of signals whose codes have shape {z.shape[2:]}, got "
                f"{tuple(shape)}, whose codes have {self.spatial_code_shape(shape)}"
            )
        return tuple(shape)

    def high(self, signal_shape):
        """Samples by which the last atom overhangs the signal, one number per axis."""
        return _high(self, self._as_shape("signal_shape", signal_shape))

    def padded_shape(self, signal_shape):
        """Spatial shape *P* of the array in which every atom lies wholly."""
        axes = zip(self.low, signal_shape, self.high(signal_shape), strict=True)
        return tuple(map(sum, axes))

    def pad(self, x):
        """E x: signals ``(N, C, *S)`` with a border, zeros or wrapped around; ``(N, C, *P)``."""
        low, high = self.low, self.high(x.shape[2:])
        if not any(low) and not any(high):
            return x
        axes = list(zip(low, x.shape[2:], high, strict=True))
        padded = namespace(x).zeros((*x.shape[:2], *map(sum, axes)), x.dtype)
        padded[..., *(slice(before, before + n) for before, n, _ in axes)] = x
        if self.mode == "circular":  # nothing lies before the signal, the atoms are no longer
            for axis, (_, n, after) in enumerate(axes, start=2):
                ends = namespace(x).moveaxis(padded, axis, 0)
                ends[n:] = ends[:after]
        return padded

    def unpad(self, p, signal_shape):
        """E^T p: crop the border, or fold it back to where it was taken from."""
        expected = self.padded_shape(signal_shape)
        if p.shape[2:] != expected:
            raise ValueError(
                f"p must have shape {expected} for signals of shape {tuple(signal_shape)}, "
                f"got shape {p.shape}"
            )
        if p.shape[2:] == tuple(signal_shape):
            return p
        xp = namespace(p)
        if self.mode != "circular":
            axes = zip(self.low, signal_shape, strict=True)
            return xp.ascontiguousarray(p[..., *(slice(a, a + n) for a, n in axes)])
        borders = zip(signal_shape, self.high(signal_shape), strict=True)
        for axis, (n, high) in enumerate(borders, start=2):
            ends = xp.moveaxis(p, axis, 0)
            folded = ends[:n].copy()
            folded[:high] += ends[n:]
            p = xp.moveaxis(folded, 0, axis)
        return xp.ascontiguousarray(p)

    def _as_shape(self, name, spatial_shape):
        try:
            shape = tuple(map(index, spatial_shape))
        except TypeError:
            shape = ()
        if len(shape) != len(self.atom_shape) or any(n < 1 for n in shape):
            raise ValueError(
                f"{name} must be {len(self.atom_shape)} positive integers, one per spatial axis, "
                f"got {spatial_shape}"
            )
        return shape


@lru_cache(maxsize=256)  # each map of a solver's step asks for it several times
def _spatial_code_shape(geometry, signal_shape):
    S, s, stride = signal_shape, geometry.atom_shape, geometry.stride
    if geometry.must_fit and any(a < b for a, b in zip(S, s, strict=True)):
        raise ValueError(
            f"atoms of shape {s} are larger than signals of shape {S}; "
            "use smaller atoms or larger signals"
        )
    if geometry.mode == "circular" and any(a % t for a, t in zip(S, stride, strict=True)):
        raise ValueError(
            f"signal shape must be multiples of the stride {stride} in mode "
            f"'circular', got {S}; crop or pad the signals"
        )
    ends = {"full": lambda n, s: n - s, "valid": lambda n, s: n + s - 2}
    last = ends.get(geometry.mode, lambda n, s: n - 1)  # noqa: ARG005
    return tuple(last(n, s) // t + 1 for n, s, t in zip(S, s, stride, strict=True))


@lru_cache(maxsize=256)
def _high(geometry, signal_shape):
    V = _spatial_code_shape(geometry, signal_shape)
    axes = zip(signal_shape, V, geometry.atom_shape, geometry.stride, geometry.low, strict=True)
    return tuple(max(0, (v - 1) * t + s - low - n) for n, v, s, t, low in axes)
