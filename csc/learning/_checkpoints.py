"""Checkpoints: the state of a learner on disk, the last one and the one before it."""

import os
import shutil
import warnings
from glob import escape
from pathlib import Path
from typing import Any

from csc._typing import File
from csc.io import PARTIAL_SUFFIX, load, write_partial_file

PREVIOUS = ".before"


def write_checkpoint(path, learner):
    """Save a learner; what was there before stays beside it, under ``path + ".before"``.

    At every moment the file at ``path`` is whole, if there ever was one. What a process that was
    killed left half-written is cleared away.
    """
    path = Path(path)
    for left in path.parent.glob(f"{escape(path.name)}{'?' * 8}{PARTIAL_SUFFIX}"):
        left.unlink(missing_ok=True)
    new = write_partial_file(path, learner)
    if path.exists():
        _copy(path, f"{path}{PREVIOUS}")
    os.replace(new, path)


def _copy(path, copy):
    """A second name for a file that will be replaced, not changed."""
    spare = Path(f"{copy}{PARTIAL_SUFFIX}")
    spare.unlink(missing_ok=True)
    try:
        os.link(path, spare)
    except OSError:  # not every file system has links
        shutil.copyfile(path, spare)
    os.replace(spare, copy)
    spare.unlink(missing_ok=True)  # renamed to another name of the same file, it stays


def resume(path: File) -> Any:
    """Read a learner from its checkpoint, ready to `fit` on.

    Parameters
    ----------
    path : str or path
        As given to the learner as ``checkpoint``.

    Returns
    -------
    learner
        With ``warm_start=True``: ``fit`` on the same signals goes on as if it had not stopped.

    Warns
    -----
    UserWarning
        If the last checkpoint is missing, cut off or of another version, and the one before it
        is read instead.

    Raises
    ------
    FileNotFoundError, ValueError
        If neither can be read.

    Examples
    --------
    >>> import os, tempfile, numpy as np, csc
    >>> X = np.random.default_rng(0).laplace(size=(50, 1, 4))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "atoms.npz")
    ...     learner = csc.DictionaryLearning(3, (4,), 0.3, max_iter=2, checkpoint=path).fit(X)
    ...     csc.resume(path).set_params(max_iter=4).fit(X).n_iter_
    4
    """
    try:
        learner = _learner(path)
    except (FileNotFoundError, ValueError) as error:
        before = Path(f"{path}{PREVIOUS}")
        if not before.exists():
            raise
        warnings.warn(f"{error}; going on from the checkpoint before it", stacklevel=2)
        learner = _learner(before)
    return learner.set_params(warm_start=True)


def _learner(path):
    learner = load(path)
    if not hasattr(learner, "set_params"):
        raise ValueError(f"{path} holds a {type(learner).__name__}, no learner; use csc.load")
    return learner
