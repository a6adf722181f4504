"""Where Numba stores compiled kernels, also where the package folder is read-only."""

import os
import tempfile
import warnings
from contextlib import contextmanager

from numba import config
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

ADVICE = "set NUMBA_CACHE_DIR to a folder that can be written"


@contextmanager
def usable_cache():
    """Store kernels defined inside where Numba can, else in a temporary folder, else not at all.

    Numba refuses to define a function whose code it cannot store. The choice is made once, and
    other functions compiled by Numba are not affected.
    """
    before, enable = config.CACHE_DIR, Dispatcher.enable_caching
    Dispatcher.enable_caching = _enable_caching
    try:
        if not _can_keep():
            _keep_elsewhere()
        yield
    finally:
        config.CACHE_DIR, Dispatcher.enable_caching = before, enable


def _keep_elsewhere():
    config.CACHE_DIR = _temporary_folder()
    if config.CACHE_DIR and _can_keep():
        where = f"in {config.CACHE_DIR}"
    else:
        where = "by no process, and compiled anew in each, which takes seconds"
        Dispatcher.enable_caching = lambda _: None
    message = f"compiled kernels are kept {where}: no other folder can be written; {ADVICE}"
    warnings.warn(message, RuntimeWarning, stacklevel=4)


def _enable_caching(dispatcher):
    dispatcher._cache = _Cache(dispatcher.py_func)


class _Cache(FunctionCache):
    """Numba's, for kernels whose arguments are classes that another version of csc may not have.

    Numba looks up the classes of all stored signatures before it sees that the source is another.
    """

    def _load_overload(self, sig, target_context):
        try:
            return super()._load_overload(sig, target_context)
        except (AttributeError, ImportError):  # a class, or its module, is no more
            self.flush()
            return None


def _can_keep():
    try:
        FunctionCache(_can_keep)
    except RuntimeError:  # no locator available
        return False
    return True


def _temporary_folder():
    """A folder that only this user can write, since code from it is run; "" if there is none."""
    try:
        user = os.getuid() if hasattr(os, "getuid") else os.getlogin()
        folder = os.path.join(tempfile.gettempdir(), f"csc-kernels-{user}")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        found = os.lstat(folder)
    except OSError:
        return ""
    own = not hasattr(os, "getuid") or (found.st_uid == user and not found.st_mode & 0o077)
    return folder if own and not os.path.islink(folder) else ""
