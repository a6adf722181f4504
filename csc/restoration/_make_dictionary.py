"""Learn the dictionary that ships with `csc.restoration`.

``python -m csc.restoration._make_dictionary [file]`` learns 256 atoms of 8 x 8 pixels from the
photographs of `csc.images.natural` and writes them in half precision. The central 256 x 256
pixels of every photograph are left out: restoration is measured on those.
"""

import sys
from pathlib import Path

import numpy as np

from csc.constraints import UnitSphere
from csc.images import extract_patches, natural
from csc.learning import DictionaryLearning
from csc.restoration._dictionary import FILE, N_ATOMS, SIZE, cosines

HELD_OUT = 256  # pixels, the side of the centre that is left out
N_PATCHES = 60_000
LMBDA = 8 / 255
MAX_ITER = 20


def outer_pixels(pixels):
    """The photograph with its centre masked."""
    masked = np.ma.array(pixels, mask=np.zeros(pixels.shape, bool))
    rows, columns = (
        slice(max(0, n // 2 - HELD_OUT // 2), n // 2 + HELD_OUT // 2) for n in pixels.shape
    )
    masked[rows, columns] = np.ma.masked
    return masked


def learn():
    """Return the atoms ``(K, 1, p, p)``, float32."""
    photographs = [outer_pixels(photograph.pixels) for photograph in natural()]
    x = extract_patches(photographs, (SIZE, SIZE), n=N_PATCHES, rng=0)
    x -= x.mean(axis=(1, 2, 3), keepdims=True)
    learner = DictionaryLearning(
        N_ATOMS, (SIZE, SIZE), LMBDA, max_iter=MAX_ITER, random_state=0,
        init=cosines(SIZE, N_ATOMS), constraint=UnitSphere(),
    )  # fmt: skip
    return learner.fit(x).atoms_


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    np.savez_compressed(target, atoms=learn().astype("float16"))
