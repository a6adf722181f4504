"""Image restoration: noise, missing pixels, impulses, blur, few pixels.

Images are ``(H, W)`` or ``(C, H, W)`` with pixels in [0, 1]. Darker ones, up to 1/2 at most, are
restored as if brighter by a power of two; where impulses are removed, they stay as they are. All
functions return a `Restored`:

>>> import csc
>>> camera = csc.images.natural(["camera"])[0].pixels[::4, ::4]
>>> restored = csc.restoration.denoise(camera, sigma=0.05, quality="fast")
>>> restored.image.shape
(128, 128)

Here: what comes in and goes out (``_images.py``), the two estimates that all functions are made of
(``_sparse_estimate.py``, ``_groups.py``), parts for methods of one's own
(``_similar_patches.py``), the atoms (``_dictionary.py``; ``_make_dictionary.py``
learns those that ship), and a file for each kind of damage.

May import: `csc.operators`, `csc.learning`, `csc.images`, `csc.constraints`, the modules of `csc`
whose names begin with ``_``, and kernels.

A new kind of damage: a file with one public function that checks its input with ``_images.py``,
joins the two estimates with a step for its data, and returns a `Restored`.
"""

from csc.restoration._deblur import deblur, super_resolve
from csc.restoration._denoise import denoise, denoise_poisson
from csc.restoration._images import Restored
from csc.restoration._impulses import remove_impulses, remove_random_impulses
from csc.restoration._inpaint import inpaint
from csc.restoration._noise import estimate_sigma
from csc.restoration._similar_patches import SimilarPatches, group_estimate, similar_patches

__all__ = [
    "Restored",
    "SimilarPatches",
    "deblur",
    "denoise",
    "denoise_poisson",
    "estimate_sigma",
    "group_estimate",
    "inpaint",
    "remove_impulses",
    "remove_random_impulses",
    "similar_patches",
    "super_resolve",
]
