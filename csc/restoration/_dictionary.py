"""The atoms of patches: shipped with the package, given by the user, or learned from an image."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from csc._validation import check_atoms
from csc.constraints import UnitSphere
from csc.learning import QuietLearning
from csc.restoration._sparse_estimate import grid_of, patches_at

SIZE = 8  # pixels, the side of an atom
N_ATOMS = 256
FILE = Path(__file__).parent / "atoms_8x8.npz"


@cache
def shipped_atoms():
    """The 256 atoms ``(K, 1, 8, 8)`` of natural photographs; ``_make_dictionary.py`` made them."""
    with np.load(FILE) as file:
        atoms = unit(file["atoms"].astype("float32"))
    atoms.flags.writeable = False
    return atoms


def cosines(size, n_atoms):
    """An overcomplete cosine basis without its constant; random atoms fill up the number."""
    n = int(np.ceil(n_atoms**0.5))
    waves = np.cos(np.outer(np.arange(size), np.arange(n)) * np.pi / n)
    waves[:, 1:] -= waves[:, 1:].mean(axis=0)
    waves /= np.linalg.norm(waves, axis=0)
    atoms = np.kron(waves, waves).T.reshape(-1, 1, size, size)[1 : n_atoms + 1]
    extra = np.random.default_rng(0).standard_normal((n_atoms - len(atoms), 1, size, size))
    return unit(np.concatenate([atoms, extra]).astype("float32"))


def unit(atoms):
    """Atoms without their means, of norm 1."""
    atoms = atoms - atoms.mean(axis=(1, 2, 3), keepdims=True)
    return UnitSphere().project(atoms)


def given_atoms(dictionary, shape):
    """The user's atoms ``(K, 1, p, p)`` for an image of a ``shape``; None for the shipped ones.

    ``dictionary`` is a `csc.Dictionary` or an array.
    """
    if dictionary is None:
        return shipped_atoms()
    atoms = check_atoms(getattr(dictionary, "atoms", dictionary), "dictionary").astype("float32")
    if atoms.ndim != 4 or atoms.shape[1] != 1 or atoms.shape[2] != atoms.shape[3]:
        raise ValueError(
            f"dictionary must hold atoms (K, 1, p, p), square and of one channel, got shape "
            f"{atoms.shape}; images in colour are coded channel by channel"
        )
    if atoms.shape[2] > min(shape[-2:]):
        raise ValueError(
            f"dictionary has atoms of {atoms.shape[2:]}, larger than the image of shape {shape}"
        )
    centred = atoms - atoms.mean(axis=(1, 2, 3), keepdims=True)
    keep = (centred**2).sum(axis=(1, 2, 3)) > 1e-6 * (atoms**2).sum(axis=(1, 2, 3))
    if not keep.any():
        raise ValueError("dictionary holds only constant atoms; means are kept apart, add others")
    return unit(centred[keep])  # constant atoms code nothing: patches have no mean here


class Effort(NamedTuple):
    """How many patches are learned from, and how often.

    Attributes
    ----------
    step : int
        Pixels between patches.
    n_patches : int
        At most; drawn at random where there are more.
    passes : int
        Over all these patches.
    """

    step: int = 1
    n_patches: int = 20_000
    passes: int = 4


def learned_atoms(planes, lmbda, start, effort, rng):
    """Atoms learned from the patches of planes ``(C, H, W)``, from atoms to start with."""
    size = start.shape[-1]
    patches = patches_at(planes, grid_of(planes.shape, size, effort.step), size)
    if len(patches) > effort.n_patches:
        patches = patches[rng.choice(len(patches), effort.n_patches, replace=False)]
    learner = QuietLearning(  # smooth patches have zero codes, and teach nothing
        len(start), start.shape[2:], lmbda, max_iter=effort.passes,
        random_state=int(rng.integers(2**31)), init=start, constraint=UnitSphere(),
    )  # fmt: skip
    return learner.fit(patches).atoms_
