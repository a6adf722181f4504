"""Synthesis and correlation of tensors, differentiable in signals, codes and atoms.

Synthesis, correlation and the correlation of signals with codes are the three derivatives of one
form, ``<x, sum_k d_k * z_k>``, which is linear in the signals x, the atoms d and the codes z: each
is the gradient of the other two. PyTorch is fast in all but the synthesis of signals of few
channels (``conv_transpose``): on the CPU, the kernels of `csc` compute that one.
"""

import torch
from numba import get_num_threads
from torch.autograd import Function
from torch.nn import functional as F
from torch.nn import grad as gradients

from csc.operators import ConvGeometry, Dictionary

MAX_KERNEL_CHANNELS = 8  # more: conv_transpose is faster (python -m demos.bench nn)
CORRELATE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
SYNTHESIZE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
CORRELATE_CODES = {
    1: gradients.conv1d_weight,
    2: gradients.conv2d_weight,
    3: gradients.conv3d_weight,
}


def _start_threads_of_numba():
    """Let Numba start its threads without a change to the number of threads of PyTorch.

    On its first call it sets the number of OpenMP's threads, which PyTorch uses too.
    """
    chosen = torch.get_num_threads()
    get_num_threads()
    torch.set_num_threads(chosen)


_start_threads_of_numba()


class Convolution:
    """D, of atoms that may need gradients, for signals of given spatial shape.

    Parameters
    ----------
    atoms : tensor (K, C, *s)
    geometry : ConvGeometry
    signal_shape : tuple
        Spatial shape *S* of the signals.
    """

    def __init__(self, atoms: torch.Tensor, geometry: ConvGeometry, signal_shape: tuple[int, ...]):
        self.atoms, self.geometry, self.signal_shape = atoms, geometry, tuple(signal_shape)
        self.spatial_code_shape = geometry.spatial_code_shape(self.signal_shape)
        self.dictionary = None  # of NumPy, for the kernels
        if suits_kernels(atoms):
            values = atoms.detach().numpy()
            self.dictionary = Dictionary(values, mode=geometry.mode, stride=geometry.stride)

    def scaled(self, factor: torch.Tensor) -> "Convolution":
        """``factor D``."""
        return Convolution(factor * self.atoms, self.geometry, self.signal_shape)

    def synthesize(self, z: torch.Tensor) -> torch.Tensor:
        """``D z``: signals ``(N, C, *S)`` of codes ``(N, K, *V)``."""
        return _synthesized(self.atoms, z, self)

    def correlate(self, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """``D^T x``, plus a ``bias`` ``(K,)``: codes ``(N, K, *V)`` of signals ``(N, C, *S)``."""
        if self.dictionary is not None and x.requires_grad:
            return _Correlate.apply(self.atoms, x, bias, self)
        return correlate(x, self.atoms, self.geometry, bias)

    def correlate_residual(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """``D^T (x - D z)``, whose graph keeps the codes and not the residual.

        The backward pass computes the residual again: one synthesis more, and a signal less in memory
        for each step of a pursuit.
        """
        if z.requires_grad and not torch.compiler.is_compiling():
            return _CorrelateResidual.apply(self.atoms, x, z, self)
        return self.correlate(x - self.synthesize(z))


def suits_kernels(atoms: torch.Tensor) -> bool:
    """Whether the kernels of `csc` take these atoms, and are faster in synthesis."""
    return (
        atoms.device.type == "cpu"
        and atoms.dtype in (torch.float32, torch.float64)
        and atoms.shape[1] <= MAX_KERNEL_CHANNELS
        and not torch.compiler.is_compiling()
        and _has_memory(atoms)
    )


def _has_memory(tensor):
    """Whether NumPy can have the memory of a tensor: not inside of transforms of `torch.func`."""
    try:
        tensor.detach().data_ptr()
    except RuntimeError:
        return False
    return True


def _synthesized(atoms, z, D):
    """``D z`` for the atoms of D, by kernels where they are faster."""
    if D.dictionary is not None:
        return _Synthesize.apply(atoms, z, D)
    return synthesize(z, atoms, D.geometry, D.signal_shape)


class _Synthesize(Function):
    """``D z`` by kernels; its gradients by PyTorch."""

    @staticmethod
    def forward(atoms, z, D):  # noqa: ARG004  the atoms are those of D
        """The result."""
        return torch.from_numpy(D.dictionary(z.detach().numpy(), D.signal_shape))

    @staticmethod
    def setup_context(ctx, inputs, output):  # noqa: ARG004  the signature of PyTorch
        """Keep what the backward pass needs."""
        atoms, z, ctx.D = inputs
        ctx.save_for_backward(atoms, z)

    @staticmethod
    def backward(ctx, grad):
        """Gradients in all inputs."""
        atoms, z = ctx.saved_tensors
        geometry, wanted = ctx.D.geometry, ctx.needs_input_grad
        of_atoms = correlate_codes(grad, z, geometry) if wanted[0] else None
        of_codes = correlate(grad, atoms, geometry) if wanted[1] else None
        return of_atoms, of_codes, None


class _Correlate(Function):
    """``D^T x`` and a bias by PyTorch; the gradient in the signals by kernels."""

    @staticmethod
    def forward(atoms, x, bias, D):
        """The result."""
        return correlate(x, atoms, D.geometry, bias)

    @staticmethod
    def setup_context(ctx, inputs, output):  # noqa: ARG004
        """Keep what the backward pass needs."""
        atoms, x, _, ctx.D = inputs
        ctx.save_for_backward(atoms, x)

    @staticmethod
    def backward(ctx, grad):
        """Gradients in all inputs."""
        atoms, x = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        of_atoms = correlate_codes(x, grad, ctx.D.geometry) if wanted[0] else None
        of_signals = _Synthesize.apply(atoms, grad, ctx.D) if wanted[1] else None
        of_bias = grad.sum(dim=(0, *range(2, grad.ndim))) if wanted[2] else None
        return of_atoms, of_signals, of_bias, None


class _CorrelateResidual(Function):
    """``D^T (x - D z)``."""

    @staticmethod
    def forward(atoms, x, z, D):
        """The result."""
        return correlate(x - _synthesized(atoms, z, D), atoms, D.geometry)

    @staticmethod
    def setup_context(ctx, inputs, output):  # noqa: ARG004
        """Keep what the backward pass needs."""
        atoms, x, z, ctx.D = inputs
        ctx.save_for_backward(atoms, x, z)

    @staticmethod
    def backward(ctx, grad):
        """Gradients in all inputs."""
        atoms, x, z = ctx.saved_tensors
        geometry, wanted = ctx.D.geometry, ctx.needs_input_grad
        of_signals = _synthesized(atoms, grad, ctx.D)
        of_codes = -correlate(of_signals, atoms, geometry) if wanted[2] else None
        of_atoms = None
        if wanted[0]:
            residual = x - _synthesized(atoms, z, ctx.D)
            of_atoms = correlate_codes(residual, grad, geometry)
            of_atoms = of_atoms - correlate_codes(of_signals, z, geometry)
        return of_atoms, of_signals, of_codes, None


def correlate(
    x: torch.Tensor, atoms: torch.Tensor, geometry: ConvGeometry, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """``D^T x`` by PyTorch: codes ``(N, K, *V)`` of signals ``(N, C, *S)``.

    Parameters
    ----------
    x : tensor (N, C, *S)
    atoms : tensor (K, C, *s)
    geometry : ConvGeometry
    bias : tensor (K,), optional
        Added to the codes of each atom.
    """
    x, padding = _with_border(x, geometry)
    return CORRELATE[x.ndim - 2](x, atoms, bias, stride=geometry.stride, padding=padding)


def correlate_codes(x: torch.Tensor, z: torch.Tensor, geometry: ConvGeometry) -> torch.Tensor:
    """Gradient ``(K, C, *s)`` of ``<x, D z>`` in the atoms, by PyTorch.

    Parameters
    ----------
    x : tensor (N, C, *S)
    z : tensor (N, K, *V)
    geometry : ConvGeometry
    """
    shape = (z.shape[1], x.shape[1], *geometry.atom_shape)
    x, padding = _with_border(x, geometry)
    return CORRELATE_CODES[x.ndim - 2](x, shape, z, stride=geometry.stride, padding=padding)


def synthesize(
    z: torch.Tensor, atoms: torch.Tensor, geometry: ConvGeometry, signal_shape: tuple[int, ...]
) -> torch.Tensor:
    """``D z`` by PyTorch: signals ``(N, C, *S)`` of codes ``(N, K, *V)``.

    Parameters
    ----------
    z : tensor (N, K, *V)
    atoms : tensor (K, C, *s)
    geometry : ConvGeometry
    signal_shape : tuple
        *S*.
    """
    conv, low, stride = SYNTHESIZE[len(signal_shape)], geometry.low, geometry.stride
    axes = zip(signal_shape, z.shape[2:], geometry.atom_shape, stride, low, strict=True)
    rest = tuple(n - (v - 1) * t - s + 2 * a for n, v, s, t, a in axes)
    same_border = all(0 <= r < t for r, t in zip(rest, stride, strict=True))
    if geometry.mode != "circular" and same_border:
        return conv(z, atoms, stride=stride, padding=low, output_padding=rest)
    padded = conv(z, atoms, stride=stride)
    goal, high = geometry.padded_shape(signal_shape), geometry.high(signal_shape)
    missing = [p - n for p, n in zip(goal, padded.shape[2:], strict=True)]
    padded = F.pad(padded, _last_axis_first((0, m) for m in missing))
    for axis, (n, before, behind) in enumerate(zip(signal_shape, low, high, strict=True), start=2):
        if geometry.mode == "circular":
            padded = _folded(padded, axis, n, behind)
        else:
            padded = padded.narrow(axis, before, n)
    return padded


def _with_border(x, geometry):
    """Signals to convolve, and the padding of that convolution: together E x of the geometry."""
    signal_shape, low = tuple(x.shape[2:]), geometry.low
    axes = zip(signal_shape, low, geometry.atom_shape, geometry.stride, strict=True)
    reached = tuple((n + 2 * a - s) // t + 1 for n, a, s, t in axes)
    if geometry.mode != "circular" and reached == geometry.spatial_code_shape(signal_shape):
        return x, low  # the same border before and behind
    border = _last_axis_first(zip(low, geometry.high(signal_shape), strict=True))
    return F.pad(x, border, mode="circular" if geometry.mode == "circular" else "constant"), 0


def _folded(p, axis, n, high):
    """The first n samples of an axis, with the others added to those at its start."""
    if high == 0:
        return p
    tail = p.narrow(axis, n, high).movedim(axis, -1)
    return p.narrow(axis, 0, n) + F.pad(tail, (0, n - high)).movedim(-1, axis)


def _last_axis_first(pairs):
    """Borders before and behind each axis, in the order of `torch.nn.functional.pad`."""
    return [width for pair in list(pairs)[::-1] for width in pair]
