"""The first layer in a file. Nothing is ever unpickled."""

import zipfile
from contextlib import contextmanager
from pickle import UnpicklingError

import numpy as np

from csc.interop.first_layer._arrays import from_state
from csc.interop.first_layer._layer import Norm
from csc.interop.first_layer._onnx import from_onnx
from csc.interop.first_layer._safetensors import from_safetensors
from csc.io import StoredArray, all_stored, read, stored

CONVERT = "which could run any code, so it is not read; where you trust it, convert it: "
IN_NUMPY = f", or holds pickled objects, {CONVERT}numpy.savez('weights.npz', W=weights, b=bias)"
TORCH_PICKLE = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # before version 1.6


def from_file(path, key=None, layout=None):
    """Read a file by its content, or by its suffix where the content is not recognised."""
    known = path.suffix.lower() in READERS
    if not path.is_file():
        raise FileNotFoundError(f"source {str(path)!r} does not exist, or is no file")
    reader = _reader_of(path) or (READERS[path.suffix.lower()] if known else None)
    if reader is None:
        raise ValueError(
            f"source {str(path)!r} is no file that can be read, or damaged; known are files of "
            f"PyTorch, safetensors and NumPy of any name, and the endings {', '.join(READERS)}. "
            "Pickles are never opened: save the weights with numpy.savez or safetensors, those of "
            "Keras with layout='HWIO'"
        )
    found = from_onnx(path, key) if reader is from_onnx else reader(path, key, layout)
    return found._replace(name=": ".join(filter(None, (path.name, found.name))))


def _reader_of(path):
    """Return the reader that matches the first bytes of the file, or None."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(len(TORCH_PICKLE))
    if start.startswith(b"\x93NUMPY"):
        return _from_npy
    if start == TORCH_PICKLE:
        return _from_torch
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= size - 8:
        return from_safetensors
    return _reader_of_archive(path) if start.startswith(b"PK") else None


def _reader_of_archive(path):
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # damaged: the reader chosen by the file suffix raises the error
        return None
    if any(name.endswith("/data.pkl") for name in names):
        return _from_torch
    return _from_npz if any(name.endswith(".npy") for name in names) else None


def _from_torch(path, key, layout):
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
    except Exception as error:  # parsers raise many kinds of errors for a damaged file
        raise ValueError(
            f"source {path} is damaged, or a TorchScript archive; save the weights alone: "
            "torch.save(network.state_dict(), 'weights.pt')"
        ) from error
    return from_state(state, key, layout)


def _from_npy(path, key, layout):
    with _refusing(path), open(path, "rb") as file:
        stored(file, path.name, path.stat().st_size)
        file.seek(0)
        array = np.lib.format.read_array(file, allow_pickle=False)
    return from_state(array, key, layout)


def _from_npz(path, key, layout):
    with _refusing(path):
        archive = zipfile.ZipFile(path)
    with archive:
        with _refusing(path):
            arrays = all_stored(archive)
        found = from_state(arrays, key, layout)
        with _refusing(path):  # only the arrays of the layer are read
            weights, bias, *norm = (
                read(archive, a.name) if isinstance(a, StoredArray) else a
                for a in (found.weights, found.bias, *(found.norm or ()))
            )
    return found._replace(weights=weights, bias=bias, norm=Norm(*norm) if norm else None)


@contextmanager
def _refusing(path):
    """Raise one error for all errors of NumPy and zipfile on damaged or unsafe files."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"source {path} is damaged ({error}){IN_NUMPY}") from error


READERS = {
    ".npy": _from_npy,
    ".npz": _from_npz,
    ".onnx": from_onnx,
    ".pt": _from_torch,
    ".pth": _from_torch,
    ".safetensors": from_safetensors,
}
