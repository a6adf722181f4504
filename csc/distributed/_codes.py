"""Codes that stay on the workers until they are gathered or written."""

import os
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from uuid import uuid4

import numpy as np

from csc._typing import File
from csc.distributed._client import Keys, map_tasks, submit
from csc.distributed._partition import merge_codes
from csc.operators import SparseCodes


@dataclass(frozen=True, eq=False)
class DaskCodes:
    """Sparse codes ``(N, K, *V)`` on the workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
    shape : tuple
    blocks : list of futures
        `SparseCodes` of this shape, each with some of the codes.

    Examples
    --------
    >>> import numpy as np, csc, csc.distributed
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> x = np.random.default_rng(0).laplace(size=(60, 1, 8))
    >>> learner = csc.DictionaryLearning(5, (3,), lmbda=0.5, max_iter=2).fit(x)
    >>> with Client(processes=False, dashboard_address=":0") as client:
    ...     X = da.from_array(x, chunks=(20, 1, 8))
    ...     codes = csc.distributed.transform(learner, X, client=client)
    ...     codes.shape, codes.gather().shape
    ((60, 5, 6), (60, 5, 6))
    """

    client: object
    shape: tuple
    blocks: list

    def gather(self) -> SparseCodes:
        """Fetch all codes to this process: `SparseCodes`."""
        return merge_codes(self.client.gather(self.blocks))

    def to_zarr(self, path: File) -> None:
        """Write the codes to a Zarr group; each worker writes its own part. See `read_codes`.

        The group is written under a temporary name in the same folder and then renamed; all workers
        must have access to this folder.

        Raises
        ------
        FileExistsError
            If there is a file or folder of this name.
        ImportError
            If Zarr is not installed.
        """
        zarr = _zarr()
        path = Path(path)
        if path.exists():
            raise FileExistsError(f"{path} exists; remove it or choose another path")
        part = path.with_name(f"{path.name}.{uuid4().hex[:8]}.part")
        try:
            zarr.open_group(part, mode="w").attrs.update(shape=list(self.shape))
            arguments = [(str(part), i, block) for i, block in enumerate(self.blocks)]
            tasks = map_tasks("write", _write, Keys().of_round(), arguments)
            self.client.gather(submit(self.client, tasks)[0])
            os.rename(part, path)
        except BaseException:
            rmtree(part, ignore_errors=True)
            raise

    def __repr__(self):
        return f"DaskCodes({self.shape}, {len(self.blocks)} blocks)"


def read_codes(path: File) -> SparseCodes:
    """Read the codes written by `DaskCodes.to_zarr`: `SparseCodes`.

    Each block is a group of two arrays: flat indices into ``(N, *V, K)``, and values.

    Examples
    --------
    >>> import csc.distributed
    >>> # a group written by to_zarr; needs Zarr
    >>> csc.distributed.read_codes("codes.zarr").shape  # doctest: +SKIP
    (500, 64, 249, 249)
    """
    group = _zarr().open_group(path, mode="r")
    shape = tuple(group.attrs["shape"])
    blocks = [group[name] for name in sorted(group.group_keys(), key=int)]
    return merge_codes([SparseCodes(shape, b["index"][:], b["values"][:]) for b in blocks])


def _write(path, number, codes):
    # Dask repeats this task if it loses the worker
    group = _zarr().open_group(path, mode="a").create_group(str(number), overwrite=True)
    for name, a in (("index", codes.index), ("values", codes.values)):
        stored = group.create_array(name, shape=a.shape, dtype=a.dtype, chunks=(max(1, len(a)),))
        stored[:] = np.ascontiguousarray(a)


def _zarr():
    try:
        import zarr
    except ImportError as error:
        raise ImportError("codes are stored by zarr >= 3; install it") from error
    return zarr
