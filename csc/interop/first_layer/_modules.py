"""The first layer of a PyTorch module."""

import sys
from importlib import import_module

from csc.interop.first_layer._layer import OIHW, UNKNOWN, Found, Norm, listed


def is_module(source):
    """Whether ``source`` is a module; PyTorch must already be imported for one to exist."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.nn.Module)


def from_module(module, key=None, *, channels=UNKNOWN):
    """Return the first Conv2d of a module in order of registration, or the one named ``key``."""
    nn = import_module("torch").nn
    leaves = [
        (n, m)
        for n, m in module.named_modules()
        if isinstance(m, nn.Conv2d) or _is_norm(m, nn) or next(m.children(), None) is None
    ]
    at = _place(leaves, key, nn)
    name, conv = leaves[at]
    _check(name, conv, nn)
    behind = leaves[at + 1][1] if at + 1 < len(leaves) else None
    norm = _norm(behind) if _is_norm(behind, nn) else None
    title = ": ".join(filter(None, (type(module).__name__, name)))
    return Found(conv.weight, conv.bias, title, tuple(conv.stride), norm, channels, OIHW)


def _place(leaves, key, nn):
    """Return the index of the convolution among the innermost modules."""
    wanted = None if key is None else key.removesuffix(".weight")
    places = {n: i for i, (n, m) in enumerate(leaves) if isinstance(m, nn.Conv2d)}
    if not places:
        raise ValueError("source has no torch.nn.Conv2d; pass the network that holds one")
    if wanted is None:
        return next(iter(places.values()))
    if wanted not in places:
        raise ValueError(f"key {key!r} names no Conv2d; there are: {listed(places)}")
    return places[wanted]


def _check(name, conv, nn):
    if nn.parameter.is_lazy(conv.weight):
        raise ValueError(f"{name} ({conv}) has no weights yet; run the network once")
    if "StdConv" in type(conv).__name__:
        raise ValueError(
            f"{name} ({conv}) standardises its weights in each pass, so the stored weights are "
            "not the filters; compute them and pass {'weight': W, 'bias': b}"
        )
    if conv.groups != 1:
        raise ValueError(
            f"{name} ({conv}) has {conv.groups} groups: no filter of it sees all channels; "
            "name another layer by key="
        )


def _is_norm(module, nn):
    """Whether it is a batch normalisation; some apply an activation after it."""
    if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
        return True
    # frozen ones have no common class
    return type(module).__name__.startswith("FrozenBatchNorm") and hasattr(module, "running_var")


def _norm(norm):
    if norm.running_mean is None:
        return None  # without running statistics there is nothing to fold
    ones = norm.running_var.new_ones(norm.running_var.shape)
    scale, shift = (ones, 0 * ones) if norm.weight is None else (norm.weight, norm.bias)
    return Norm(scale, shift, norm.running_mean, norm.running_var, norm.eps)
