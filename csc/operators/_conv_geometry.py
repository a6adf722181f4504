"""The geometry of a convolution: its four modes, and strides."""

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from csc._backend import namespace
from csc._validation import check_choice, check_count, check_shape

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

    @property
    def low(self):
        """Samples by which the first atom overhangs the signal, one number per axis."""
        overhang = {"valid": lambda s: s - 1, "same": lambda s: (s - 1) // 2}
        return tuple(map(overhang.get(self.mode, lambda s: 0), self.atom_shape))  # noqa: ARG005

    def spatial_code_shape(self, signal_shape):
        """Spatial shape *V* of the codes of signals with shape *S*."""
        S = check_shape("signal_shape", signal_shape, len(self.atom_shape))
        if self.must_fit and any(a < b for a, b in zip(S, self.atom_shape, strict=True)):
            raise ValueError(
                f"atoms of shape {self.atom_shape} are larger than signals of shape {S}; "
                "use smaller atoms or larger signals"
            )
        if self.mode == "circular" and any(a % t for a, t in zip(S, self.stride, strict=True)):
            raise ValueError(
                f"signal shape must be multiples of the stride {self.stride} in mode "
                f"'circular', got {S}; crop or pad the signals"
            )
        ends = {"full": lambda n, s: n - s, "valid": lambda n, s: n + s - 2}
        last = ends.get(self.mode, lambda n, s: n - 1)  # noqa: ARG005
        axes = zip(S, self.atom_shape, self.stride, strict=True)
        return tuple(last(n, s) // t + 1 for n, s, t in axes)

    def signal_shape(self, spatial_code_shape):
        """Smallest spatial shape *S* of signals whose codes have spatial shape *V*."""
        V = check_shape("spatial_code_shape", spatial_code_shape, len(self.atom_shape))
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
        V = self.spatial_code_shape(signal_shape)
        axes = zip(signal_shape, V, self.atom_shape, self.stride, self.low, strict=True)
        return tuple(max(0, (v - 1) * t + s - low - n) for n, v, s, t, low in axes)

    def borders(self, signal_shape):
        """What atoms need around signals of spatial shape *S*."""
        wraps = self.mode == "circular"
        return Borders(tuple(signal_shape), self.low, self.high(signal_shape), wraps)

    def padded_shape(self, signal_shape):
        """Spatial shape *P* of the array in which every atom lies wholly."""
        return self.borders(signal_shape).padded_shape

    def pad(self, x):
        """E x: signals ``(N, C, *S)`` with a border, zeros or wrapped around; ``(N, C, *P)``."""
        return self.borders(x.shape[2:]).pad(x)

    def unpad(self, p, signal_shape):
        """E^T p: crop the border, or fold it back to where it was taken from."""
        return self.borders(signal_shape).unpad(p)


class Borders(NamedTuple):
    """Borders of signals of one shape: zeros, or samples of the other end.

    Parameters
    ----------
    signal_shape : tuple of ints
        Spatial shape *S*.
    low, high : tuple of ints
        Samples before and after the signal, one number per axis.
    wraps : bool
        Whether the border repeats the other end; then nothing lies before the signal.
    """

    signal_shape: tuple
    low: tuple
    high: tuple
    wraps: bool

    @property
    def padded_shape(self):
        """Spatial shape *P* of the signal with its borders."""
        return tuple(map(sum, zip(self.low, self.signal_shape, self.high, strict=True)))

    def pad(self, x):
        """E x, see `ConvGeometry.pad`."""
        if self.padded_shape == self.signal_shape:
            return x
        padded = namespace(x).zeros((*x.shape[:2], *self.padded_shape), x.dtype)
        padded[self._inside] = x
        if self.wraps:
            for axis, (n, high) in enumerate(zip(self.signal_shape, self.high, strict=True), 2):
                ends = namespace(x).moveaxis(padded, axis, 0)
                ends[n:] = ends[:high]
        return padded

    def unpad(self, p):
        """E^T p, see `ConvGeometry.unpad`."""
        if p.shape[2:] != self.padded_shape:
            raise ValueError(
                f"p must have shape {self.padded_shape} for signals of shape "
                f"{self.signal_shape}, got shape {p.shape}"
            )
        if self.padded_shape == self.signal_shape:
            return p
        xp = namespace(p)
        if not self.wraps:
            return xp.ascontiguousarray(p[self._inside])
        for axis, (n, high) in enumerate(zip(self.signal_shape, self.high, strict=True), 2):
            ends = xp.moveaxis(p, axis, 0)
            folded = ends[:n].copy()
            folded[:high] += ends[n:]
            p = xp.moveaxis(folded, 0, axis)
        return xp.ascontiguousarray(p)

    @property
    def _inside(self):
        axes = zip(self.low, self.signal_shape, strict=True)
        return (..., *(slice(low, low + n) for low, n in axes))
