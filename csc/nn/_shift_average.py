"""Averages over the shifts of a strided model."""

from itertools import product

import torch
from torch import nn
from torch.nn import functional as F

from csc._validation import check_count
from csc.nn._parameters import TrainableDictionary, check_tensor


class StridedShiftAverage(nn.Module):
    """Mean over all shifts of the signal of what a strided module reconstructs [1]_.

    A module with stride t is not shift-invariant: its atoms lie on a grid. For each of the
    ``prod(t)`` shifts of the grid, the signal is shifted, reconstructed and shifted back. In mode
    "circular" signals wrap around; else they are reflected at their border (repeated, if they are too
    small for that).

    Parameters
    ----------
    coder : Module
        With a method ``reconstruct(x)`` and an attribute ``dictionary``, a `TrainableDictionary`:
        for example `SparseCode`, or a module of yours.
    margin : int
        Samples by which signals are extended on each side in addition, so that border samples
        lie in as many atoms as the others; not used in mode "circular".

    Raises
    ------
    TypeError, ValueError
        If ``coder`` does not have both, or ``margin`` is negative.

    References
    ----------
    .. [1] D. Simon, M. Elad, "Rethinking the CSC model for natural images", NeurIPS 2019.

    Examples
    --------
    >>> import csc, torch
    >>> coder = csc.nn.SparseCode(csc.nn.random_dictionary((8, 1, 5, 5), stride=2), lmbda=0.1)
    >>> csc.nn.StridedShiftAverage(coder)(torch.randn(2, 1, 16, 16)).shape
    torch.Size([2, 1, 16, 16])
    """

    def __init__(self, coder: nn.Module, margin: int = 0):
        super().__init__()
        check_count("margin", margin, low=0)
        has_dictionary = isinstance(getattr(coder, "dictionary", None), TrainableDictionary)
        if not has_dictionary or not hasattr(coder, "reconstruct"):
            raise TypeError(
                "coder must be a module with a method reconstruct and a TrainableDictionary as "
                f"attribute dictionary, such as csc.nn.SparseCode, got {type(coder).__name__}"
            )
        self.coder, self.margin = coder, margin

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The mean reconstruction ``(N, C, *S)`` of signals ``(N, C, *S)``."""
        check_tensor("x", x)
        geometry = self.coder.dictionary.geometry
        if x.ndim != 2 + len(geometry.stride):
            raise ValueError(
                f"x must be (N, C, *S) with {len(geometry.stride)} spatial axes, got {tuple(x.shape)}"
            )
        shifts = list(product(*(range(t) for t in geometry.stride)))
        if geometry.mode == "circular":
            dims = tuple(range(2, x.ndim))
            shifted = torch.cat([torch.roll(x, shift, dims) for shift in shifts])
            parts = self.coder.reconstruct(shifted).chunk(len(shifts))
            back = [
                torch.roll(part, tuple(-n for n in shift), dims)
                for part, shift in zip(parts, shifts, strict=True)
            ]
            return torch.stack(back).mean(0)
        signal_shape, low = tuple(x.shape[2:]), [t - 1 + self.margin for t in geometry.stride]
        whole = _whole_grid(geometry, [n + 2 * a for n, a in zip(signal_shape, low, strict=True)])
        wide = _extended(x, [(a, p - n - a + t - 1) for n, p, a, t in zip(
            signal_shape, whole, low, geometry.stride, strict=True)])  # fmt: skip
        # shift v of an axis begins v samples later in the extended signal
        crops = [_crop(wide, shift, whole) for shift in shifts]
        parts = self.coder.reconstruct(torch.cat(crops)).chunk(len(shifts))
        back = [
            _crop(part, [a - v for a, v in zip(low, shift, strict=True)], signal_shape)
            for part, shift in zip(parts, shifts, strict=True)
        ]
        return torch.stack(back).mean(0)


def _whole_grid(geometry, signal_shape):
    """The smallest spatial shape, not below this one, that the atoms at all positions fill."""
    axes = zip(signal_shape, geometry.atom_shape, geometry.stride, strict=True)
    return [s + t * max(0, -(-(n - s) // t)) for n, s, t in axes]


def _extended(x, widths):
    """Signals with a border on each axis: reflected, or repeated if they are too small."""
    pad = [width for pair in widths[::-1] for width in pair]
    fits = all(max(pair) < n for pair, n in zip(widths, x.shape[2:], strict=True))
    return F.pad(x, pad, mode="reflect" if fits else "replicate")


def _crop(x, starts, signal_shape):
    for axis, (start, n) in enumerate(zip(starts, signal_shape, strict=True), start=2):
        x = x.narrow(axis, start, n)
    return x
