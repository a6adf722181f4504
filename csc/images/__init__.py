"""Natural photographs, whitening, contrast normalisation and patches.

From images to the signals ``(N, C, *S)`` used by the rest of `csc`:

>>> from csc.images import extract_patches, natural, whiten
>>> photographs = natural(["camera", "grass"])
>>> whitened = [whiten(photograph.pixels, variance=0.1) for photograph in photographs]
>>> extract_patches(whitened, (12, 12), n=1000, border=4, rng=0).shape
(1000, 1, 12, 12)

Here: reading (``_files.py``, ``_photographs.py``), patches, whitening and contrast,
ON and OFF channels and an aperture (``_channels.py``).

May import: the modules of `csc` whose names begin with ``_``.

A new preprocessing step: a function on ``(N, C, H, W)`` in a file of its own.
"""

from csc.images._channels import (
    gaussian_aperture,
    on_minus_off,
    on_off,
    patch_contrast_normalise,
)
from csc.images._patches import extract_patches, reassemble
from csc.images._photographs import (
    Photograph,
    load_folder,
    natural,
    picture_files,
    read_picture,
    stream_folder,
)
from csc.images._whitening import ZCA, local_contrast_normalise, whiten

__all__ = [
    "ZCA",
    "Photograph",
    "extract_patches",
    "gaussian_aperture",
    "load_folder",
    "local_contrast_normalise",
    "natural",
    "on_minus_off",
    "on_off",
    "patch_contrast_normalise",
    "reassemble",
    "stream_folder",
    "whiten",
]
