"""Arrays that are lent again as soon as nobody holds them: a loop allocates nothing."""

from sys import getrefcount
from threading import Lock

import numpy as np

FREE = 3  # references that `empty` itself sees: of the list, of the loop, of the count
MOST = 16  # arrays of one size that are kept


class Buffers:
    """Memory for arrays of a few sizes, which views and views of views keep from being lent.

    Examples
    --------
    >>> from csc._buffers import Buffers
    >>> buffers = Buffers()
    >>> a = buffers.empty(3, "float32")
    >>> b = buffers.empty(3, "float32")
    >>> a.base is b.base
    False
    >>> address = a.ctypes.data
    >>> del a
    >>> buffers.empty(3, "float32").ctypes.data == address
    True
    """

    def __init__(self):
        self._lock, self._held = Lock(), {}

    def empty(self, size, dtype):
        """An array ``(size,)`` whose numbers may be anything."""
        with self._lock:
            held = self._held.setdefault((size, np.dtype(dtype)), [])
            for base in held:
                if getrefcount(base) <= FREE:
                    return base[:]
            base = np.empty(size, dtype)
            if len(held) < MOST:
                held.append(base)
            return base[:]
