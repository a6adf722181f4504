"""The first layer in a file. Nothing is ever unpickled."""

from pickle import UnpicklingError
from zipfile import BadZipFile

import numpy as np

from csc.first_layer._arrays import bias_name, choose_unordered, from_state
from csc.first_layer._layer import Found
from csc.first_layer._onnx import from_onnx

CONVERT = "which could run any code, so it is not read; where you trust it, convert it: "


def from_file(path, key=None):
    """What the reader of the file's ending finds."""
    if path.suffix.lower() not in READERS:
        raise ValueError(
            f"source {str(path)!r} is no file that can be read; known endings are "
            f"{', '.join(READERS)}, and pickles are never opened: save the weights with "
            "numpy.savez or safetensors"
        )
    if not path.is_file():
        raise FileNotFoundError(f"source {str(path)!r} does not exist, or is no file")
    found = READERS[path.suffix.lower()](path, key)
    return found._replace(name=": ".join(filter(None, (path.name, found.name))))


def _from_torch(path, key):
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"{path.name} needs PyTorch: pip install 'mlcsc[cnn]'") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ValueError(
            f"source {path} holds pickled objects, {CONVERT}"
            "torch.save(network.state_dict(), 'weights.pt')"
        ) from error
    except (RuntimeError, EOFError) as error:
        raise ValueError(
            f"source {path} is damaged, or a TorchScript archive; save the weights alone: "
            "torch.save(network.state_dict(), 'weights.pt')"
        ) from error
    return from_state(state, key)


def _from_numpy(path, key):
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = loaded if isinstance(loaded, np.ndarray) else dict(loaded)
    except (BadZipFile, EOFError) as error:
        raise ValueError(f"source {path} is damaged ({error})") from error
    except ValueError as error:
        raise ValueError(
            f"source {path} is damaged, or holds pickled objects, {CONVERT}"
            "numpy.savez('weights.npz', W=weights, b=bias) of float arrays"
        ) from error
    return from_state(arrays, key)


def _from_safetensors(path, key):
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ImportError(f"{path.name} needs safetensors: pip install 'mlcsc[cnn]'") from error
    try:
        with safe_open(path, framework="np") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            name = choose_unordered(shapes, key)
            bias = bias_name(name)
            found = [file.get_tensor(n) if n in shapes else None for n in (name, bias)]
    except SafetensorError as error:
        raise ValueError(f"source {path} is damaged ({error})") from error
    except TypeError as error:  # NumPy has no such numbers
        where = f"weights ({path.name}: {name})"
        raise TypeError(f"{where}: {error}; convert them to float32") from error
    return Found(*found, name)


READERS = {
    ".npy": _from_numpy,
    ".npz": _from_numpy,
    ".onnx": from_onnx,
    ".pt": _from_torch,
    ".pth": _from_torch,
    ".safetensors": _from_safetensors,
}
