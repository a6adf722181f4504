"""Convolutional networks of PyTorch as multi-layer dictionaries, and back.

A layer of a network correlates: ``relu(conv(x, W) + b)`` is ``max(D^T x - beta, 0)`` with atoms
W and thresholds ``beta = -b``. The padding of a layer corresponds to a mode of a dictionary.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from csc._backend import numpy_of_tensor
from csc._typing import Array
from csc._validation import check_atoms
from csc.operators import MODES, Dictionary, MultiLayerDictionary

if TYPE_CHECKING:
    import torch

SUPPORTED = (
    "supported are zeros: padding 0, s - 1, (s - 1) // 2 for odd sizes s, 'same', or "
    "nn.ZeroPad of (s - 1) // 2 before and s // 2 behind; and wrapped: nn.CircularPad of 0 "
    "before and s - 1 behind; the same kind on every axis"
)


def from_torch(module: "torch.nn.Sequential") -> tuple[MultiLayerDictionary, list[Array]]:
    """Return the dictionary and thresholds with the same forward pass as a network [1]_.

    Parameters
    ----------
    module : torch.nn.Sequential
        Pairs of Conv1d, Conv2d or Conv3d (any stride, one group, not dilated) and ReLU. A
        convolution without padding may follow a ZeroPad or CircularPad. Weights are copied to
        the host.

    Returns
    -------
    dictionary : MultiLayerDictionary
        Its atoms are the weights.
    thresholds : list of arrays (K_i,)
        Negative biases; zeros for layers without bias.

    Raises
    ------
    ImportError
        Without PyTorch.
    TypeError, ValueError
        If a module, a layer or a padding has no equivalent dictionary.

    Examples
    --------
    >>> import csc, numpy as np
    >>> from contextlib import suppress
    >>> with suppress(ImportError):  # PyTorch is optional
    ...     from torch import nn
    ...     D, beta = csc.interop.from_torch(nn.Sequential(nn.Conv1d(1, 4, 3, stride=2), nn.ReLU()))
    ...     codes = D.forward(np.ones((1, 1, 9), "float32"), beta, rule="relu")
    ...     assert codes[-1].shape == (1, 4, 4)

    References
    ----------
    .. [1] V. Papyan, Y. Romano, M. Elad, "Convolutional neural networks analyzed via
       convolutional sparse coding", JMLR 18, 2017.
    """
    nn = _torch().nn
    if type(module) is not nn.Sequential:
        raise TypeError(
            f"module must be a torch.nn.Sequential, got {type(module).__name__}; wrap its "
            "convolutions and ReLUs: nn.Sequential(conv, nn.ReLU())"
        )
    layers, thresholds = [], []
    for name, pad, conv in _pairs(module, nn):
        try:
            atoms = check_atoms(numpy_of_tensor(conv.weight), "weights")
            mode = _mode(*_border(conv, pad, nn), conv.kernel_size)
        except (TypeError, ValueError) as error:
            raise type(error)(f"layer {name} ({conv}): {error}") from None
        bias = (
            np.zeros(len(atoms), atoms.dtype) if conv.bias is None else numpy_of_tensor(conv.bias)
        )
        layers.append(Dictionary(atoms, mode, conv.stride))
        thresholds.append(-bias)
    return MultiLayerDictionary(layers), thresholds


def to_torch(
    dictionary: MultiLayerDictionary, thresholds: Sequence[float | Array]
) -> "torch.nn.Sequential":
    """Return a network whose forward pass is layered thresholding; inverse of `from_torch`.

    Parameters
    ----------
    dictionary : MultiLayerDictionary
    thresholds : sequence of L floats or arrays (K_i,)
        As in `MultiLayerDictionary.forward` with rule "relu".

    Returns
    -------
    torch.nn.Sequential
        Convolutions and ReLUs. A padding layer precedes a convolution whose own padding cannot
        represent the mode. All weights are trainable.

    Raises
    ------
    ImportError
        Without PyTorch.
    TypeError, ValueError
        If the thresholds are not one per layer, or one per atom of a layer.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.MultiLayerDictionary([csc.Dictionary(np.ones((1, 1, 2)))])
    >>> D.forward(np.array([[[1.0, 2.0, 4.0]]]), [3.5], rule="relu")
    [array([[[0. , 2.5]]])]
    >>> from contextlib import suppress
    >>> with suppress(ImportError):  # PyTorch is optional
    ...     import torch
    ...     network = csc.interop.to_torch(D, [3.5])
    ...     z = network(torch.tensor([[[1.0, 2.0, 4.0]]], dtype=torch.float64))
    ...     assert z.tolist() == [[[0.0, 2.5]]]
    """
    torch = _torch()
    if not isinstance(dictionary, MultiLayerDictionary):
        raise TypeError(
            f"dictionary must be a csc.MultiLayerDictionary, got {type(dictionary).__name__}; "
            "wrap the layers: csc.MultiLayerDictionary([D])"
        )
    dictionary.check_one_each("thresholds", thresholds)
    biases = [
        -_one_per_atom(f"thresholds[{i}]", beta, D)
        for i, (D, beta) in enumerate(zip(dictionary.layers, thresholds, strict=True))
    ]
    modules = []
    for D, bias in zip(dictionary.layers, biases, strict=True):
        modules += [*_convolution(D, bias, torch), torch.nn.ReLU()]
    return torch.nn.Sequential(*modules)


def _torch():
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "from_torch and to_torch need PyTorch: pip install 'mlcsc[torch]'"
        ) from error
    return torch


def _pairs(module, nn):
    """Yield name, padding layer or None, and convolution of every layer of a network."""
    convolutions = nn.Conv1d, nn.Conv2d, nn.Conv3d
    pad, conv, name = None, None, ""
    for here, layer in module.named_children():
        if conv is not None and type(layer) is nn.ReLU:
            yield name, pad, conv
            pad, conv = None, None
        elif conv is None and type(layer) in convolutions:
            name, conv = here, layer
        elif conv is None and pad is None and _is_pad(layer, nn):
            pad = layer
        else:
            raise ValueError(
                f"layer {here} ({layer}) breaks the pairs of a convolution and a ReLU; take the "
                "part of the network that has them, for example module[:4]"
            )
    if conv is not None or pad is not None or not name:
        raise ValueError(
            "module must be pairs of a convolution and a ReLU, and "
            + (f"ends with {conv or pad}; add nn.ReLU()" if name or pad else "is empty")
        )


def _is_pad(layer, nn):
    """Whether a layer pads with zeros or periodically."""
    names = [f"{kind}Pad{n}d" for kind in ("Zero", "Circular", "Constant") for n in (1, 2, 3)]
    known = type(layer) in [getattr(nn, name) for name in names]
    return known and getattr(layer, "value", 0) == 0


def _border(conv, pad, nn):
    """Return the padding before and after each axis, and its kind: zeros or circular."""
    for name, wanted in (("groups", 1), ("dilation", (1,) * len(conv.kernel_size))):
        if getattr(conv, name) != wanted:
            raise ValueError(
                f"{name} {getattr(conv, name)} has no equivalent dictionary; it must be 1"
            )
    widths = {"valid": [(0, 0) for _ in conv.kernel_size],
              "same": [((s - 1) // 2, s // 2) for s in conv.kernel_size]}  # fmt: skip
    own = widths[conv.padding] if isinstance(conv.padding, str) else [(p, p) for p in conv.padding]
    kind = conv.padding_mode
    if pad is None or not any(map(any, own)):
        if pad is not None:  # the last axis comes first
            own = list(zip(pad.padding[::2], pad.padding[1::2], strict=True))[::-1]
            wraps = isinstance(pad, nn.CircularPad1d | nn.CircularPad2d | nn.CircularPad3d)
            kind = "circular" if wraps else "zeros"
        if kind in {"zeros", "circular"} and len(own) == len(conv.kernel_size):
            return own, kind
    before = "" if pad is None else f" after {pad}"
    raise ValueError(f"padding {conv.padding} of kind {kind!r}{before} is no mode; {SUPPORTED}")


def _mode(own, kind, sizes):
    """Return the mode whose atoms extend beyond signals by these numbers of samples."""
    for mode in MODES:
        wraps = "circular" if mode == "circular" else "zeros"
        if own == _overhang(mode, sizes) and (kind == wraps or not any(map(any, own))):
            return mode
    raise ValueError(
        f"{kind} around signals, {own} before and behind for atoms of shape {sizes}, are no "
        f"mode; {SUPPORTED}"
    )


def _overhang(mode, sizes):
    """Return the padding before and after a signal with which a convolution yields all codes."""
    return [
        {"full": (0, 0), "valid": (s - 1, s - 1), "same": ((s - 1) // 2, s // 2),
         "circular": (0, s - 1)}[mode]
        for s in sizes
    ]  # fmt: skip


def _one_per_atom(name, beta, D):
    beta = np.asarray(beta, D.dtype)
    if beta.ndim > 1 or beta.size not in (1, D.n_atoms) or not np.isfinite(beta).all():
        raise ValueError(
            f"{name} must be a finite number, or one for each of {D.n_atoms} atoms, got {beta!r}"
        )
    return np.broadcast_to(beta, D.n_atoms)


def _convolution(D, bias, torch):
    """Return a convolution equal to D^T plus a bias, preceded by a padding layer if needed."""
    k, c, *sizes = D.atoms.shape
    border, n, before = _overhang(D.mode, sizes), len(sizes), []
    own = [low for low, _ in border]
    if D.mode == "circular" or any(low != high for low, high in border):
        kind, own = ("Circular" if D.mode == "circular" else "Zero"), 0
        widths = [width for pair in border[::-1] for width in pair]
        before = [getattr(torch.nn, f"{kind}Pad{n}d")(tuple(widths))]
    conv = getattr(torch.nn, f"Conv{n}d")(
        c, k, tuple(sizes), D.geometry.stride, own, dtype=getattr(torch, D.dtype.name)
    )
    with torch.no_grad():
        conv.weight.copy_(torch.tensor(D.atoms))
        conv.bias.copy_(torch.tensor(bias))
    return [*before, conv]
