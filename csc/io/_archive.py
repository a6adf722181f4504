"""Arrays in ``.npy`` and ``.npz`` files: what their headers say is checked before they are read."""

import os
import zipfile
from math import prod
from typing import NamedTuple

import numpy as np

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
ENDING = ".npy"  # of the names in an archive


class StoredArray(NamedTuple):
    """An array that lies in a file, unread."""

    name: str
    shape: tuple
    dtype: np.dtype


def stored(file, name, size):
    """What the header at the start of a file of ``size`` bytes says, if the file can hold it."""
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"{name} is of version {version} of the .npy format")
    shape, _, dtype = HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError(f"{name} holds pickled objects")
    if any(n < 0 for n in shape) or file.tell() + prod(shape) * dtype.itemsize != size:
        raise ValueError(f"{name} has {size} bytes, not those of {shape} numbers {dtype}")
    return StoredArray(name, shape, dtype)


def all_stored(archive):
    """The arrays of a `ZipFile`, under their names, in its order."""
    found = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(ENDING)
        if name in found or name == member.filename:
            raise ValueError(f"{member.filename} is there twice, or is no array")
        with archive.open(member) as file:
            found[name] = stored(file, name, member.file_size)
    return found


def read(archive, name):
    """An array of a `ZipFile`; its checksum is compared."""
    with archive.open(name + ENDING) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def check_uncompressed(archive, file):
    """Refuse an archive that would unpack to more than the file has bytes."""
    members = archive.infolist()
    packed = [m.filename for m in members if m.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise ValueError(f"{packed[0]} is compressed, which csc.save never does")
    if sum(m.file_size for m in members) > os.fstat(file.fileno()).st_size:
        raise ValueError("its arrays are larger than the file")
