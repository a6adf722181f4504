"""Arrays in ``.npy`` and ``.npz`` files; headers are checked before arrays are read."""

import os
import zipfile
from math import prod
from typing import NamedTuple

import numpy as np

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
SUFFIX = ".npy"  # of the names in an archive


class StoredArray(NamedTuple):
    """Name, shape and dtype of an array in a file that is not read yet."""

    name: str
    shape: tuple
    dtype: np.dtype


def stored(file, name, size):
    """`StoredArray` from the header of a file of ``size`` bytes; raise if the size is wrong."""
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"{name} has the unknown version {version} of the .npy format")
    shape, _, dtype = HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError(f"{name} contains pickled objects")
    if any(n < 0 for n in shape) or file.tell() + prod(shape) * dtype.itemsize != size:
        raise ValueError(f"{name} has {size} bytes, which does not match shape {shape} of {dtype}")
    return StoredArray(name, shape, dtype)


def all_stored(archive):
    """`StoredArray` of all arrays of a `ZipFile` by name, in the order of the file."""
    found = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(SUFFIX)
        if name in found or name == member.filename:
            raise ValueError(f"{member.filename} occurs twice, or is not an array")
        with archive.open(member) as file:
            found[name] = stored(file, name, member.file_size)
    return found


def read(archive, name):
    """Read an array of a `ZipFile` and verify its checksum."""
    with archive.open(name + SUFFIX) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def check_uncompressed(archive, file):
    """Raise ValueError for an archive that would unpack to more bytes than the file has."""
    members = archive.infolist()
    packed = [m.filename for m in members if m.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise ValueError(f"{packed[0]} is compressed, which csc.save never does")
    if sum(m.file_size for m in members) > os.fstat(file.fileno()).st_size:
        raise ValueError("its arrays are larger than the file")
