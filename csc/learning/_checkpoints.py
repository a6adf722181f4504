"""Checkpoints: the last and the previous state of a learner on disk."""

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
    """Save a learner; the previous checkpoint is kept as ``path + ".before"``.

    The file at ``path`` is complete at any moment. Partial files of a process that was killed are
    removed.
    """
    path = Path(path)
    for left in path.parent.glob(f"{escape(path.name)}{'?' * 8}{PARTIAL_SUFFIX}"):
        left.unlink(missing_ok=True)
    new = write_partial_file(path, learner)
    if path.exists():
        _copy(path, f"{path}{PREVIOUS}")
    os.replace(new, path)


def check_checkpoint(learner):
    """Refuse, before anything is learned, a checkpoint that could not be written: one is, and removed."""
    path = learner.checkpoint
    if path is None:
        return
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"checkpoint must be a path or None, got {type(path).__name__}")
    if Path(path).is_dir():
        raise ValueError(f"checkpoint {str(path)!r} is a folder; give a file in it, as 'atoms.npz'")
    unfitted = type(learner)(**learner.get_params(deep=False))
    try:
        os.unlink(write_partial_file(path, unfitted))
    except OSError as error:
        raise type(error)(
            f"checkpoint {str(path)!r} cannot be written: {error.strerror}; its folder must exist "
            "and take new files"
        ) from None
    except TypeError as error:
        raise TypeError(f"checkpoint cannot be written: {error}; or pass checkpoint=None") from None


def _copy(path, copy):
    """Give a file a second name, by a hard link if possible: it will be replaced, not changed."""
    spare = Path(f"{copy}{PARTIAL_SUFFIX}")
    spare.unlink(missing_ok=True)
    try:
        os.link(path, spare)
    except OSError:  # not every file system has links
        shutil.copyfile(path, spare)
    os.replace(spare, copy)
    spare.unlink(missing_ok=True)  # os.replace leaves it if both names are of one file


def resume(path: File) -> Any:
    """Read a learner from its checkpoint, ready to continue its `fit`.

    Parameters
    ----------
    path : str or path
        The learner's parameter ``checkpoint``.

    Returns
    -------
    learner
        With ``warm_start=True``: ``fit`` on the same signals continues as if it had not stopped.

    Warns
    -----
    UserWarning
        If the last checkpoint is missing, damaged or of another version, and the previous one is
        read instead.

    Raises
    ------
    FileNotFoundError, ValueError
        If none of the two can be read.

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
        warnings.warn(f"{error}; continuing from the checkpoint before it", stacklevel=2)
        learner = _learner(before)
    return learner.set_params(warm_start=True)


def _learner(path):
    learner = load(path)
    if not hasattr(learner, "set_params"):
        raise ValueError(f"{path} holds a {type(learner).__name__}, no learner; use csc.load")
    return learner
