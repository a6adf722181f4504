"""Photographs: those that other packages bring along, and those in a folder of the user's."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np

from csc._validate import check_choice, check_count
from csc.html import WIDTH, card
from csc.progress import counted
from csc.types import Array, File, Rng

_PACKAGES = {"scikit-image": "skimage", "scikit-learn": "sklearn"}
# name: (shipped by, file inside that package, licence it states, is in colour)
_BUNDLED = {
    "brick": ("scikit-image", "data/brick.png", "CC0 (CC0Textures)", False),
    "camera": ("scikit-image", "data/camera.png", "CC0 (Lav Varshney)", False),
    "chelsea": ("scikit-image", "data/chelsea.png", "CC0 (Stefan van der Walt)", True),
    "china": ("scikit-learn", "datasets/images/china.jpg", "CC BY 2.0 (danielbuechele)", True),
    "coffee": ("scikit-image", "data/coffee.png", "CC0 (Rachel Michetti)", True),
    "flower": ("scikit-learn", "datasets/images/flower.jpg", "CC BY 2.0 (vultilion)", True),
    "grass": ("scikit-image", "data/grass.png", "CC0 (linolafett)", False),
    "gravel": ("scikit-image", "data/gravel.png", "CC0 (CC0Textures)", False),
    "rocket": ("scikit-image", "data/rocket.jpg", "public domain (SpaceX)", True),
}
_VAN_HATEREN = (".iml", ".imc")
_TIFF = (".tif", ".tiff")
_SUFFIXES = (
    *(".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp"),
    *_TIFF,
    *_VAN_HATEREN,
)


class Photograph(NamedTuple):
    """A picture with its provenance.

    Attributes
    ----------
    name : str
        Short name (`natural`) or file name (`load_folder`).
    pixels : (H, W) or (3, H, W) float32 array
        Intensities in [0, 1]: grey, or red, green and blue where colour was asked for.
    licence : str
        Terms and owner; ``"not stated"`` for the user's own files.
    source : str
        The package that ships the file, or the folder it lies in.
    sha256 : str
        Digest of the file's bytes, to say in a report which data was used.

    Examples
    --------
    >>> import csc
    >>> photograph = csc.images.natural(["camera"])[0]
    >>> photograph.pixels.shape, photograph.name
    ((512, 512), 'camera')
    """

    name: str
    pixels: np.ndarray
    licence: str
    source: str
    sha256: str

    def __repr__(self):
        size = "x".join(map(str, self.pixels.shape))
        return f"Photograph({self.name!r}, {size}, {self.licence}, from {self.source})"

    def _repr_html_(self):
        small = self.pixels[..., :: max(1, self.pixels.shape[-1] // WIDTH)]
        small = small[..., :: max(1, self.pixels.shape[-1] // WIDTH), :]
        return card(repr(self), 2 * small.reshape(1, -1, *small.shape[-2:]) - 1)


def natural(names: Sequence[str] | None = None, *, colour: bool = False) -> list[Photograph]:
    """Return the natural photographs that ship inside scikit-image and scikit-learn.

    Nothing is downloaded and nothing written: the files lie in the installed packages.
    The choice is every outdoor scene and close-up of a texture there whose licence is stated:

    ========= ======== ======= ============ ==============================================
    name      H x W    colour  package      licence, owner
    ========= ======== ======= ============ ==============================================
    brick     512x512  no      scikit-image CC0, CC0Textures (Bricks25)
    camera    512x512  no      scikit-image CC0, Lav Varshney
    chelsea   300x451  yes     scikit-image CC0, Stefan van der Walt (a cat's fur)
    china     427x640  yes     scikit-learn CC BY 2.0, danielbuechele on Flickr
    coffee    400x600  yes     scikit-image CC0, Rachel Michetti (wood grain)
    flower    427x640  yes     scikit-learn CC BY 2.0, vultilion on Flickr
    grass     512x512  no      scikit-image CC0, linolafett on DeviantArt
    gravel    512x512  no      scikit-image CC0, CC0Textures (Gravel04)
    rocket    427x640  yes     scikit-image public domain, SpaceX
    ========= ======== ======= ============ ==============================================

    Left out: drawings, text, microscopy and sky surveys; *astronaut*, *coins* and *clock*
    (studio shots); *moon* and *motorcycle* (their packages state no licence). The three JPEG
    files (china, flower, rocket) carry block artefacts with a period of 8 pixels.

    Parameters
    ----------
    names : sequence of str, optional
        Which ones, in this order; by default all in alphabetical order.
    colour : bool
        Return ``(3, H, W)`` red, green and blue instead of grey, of those taken in colour.

    Returns
    -------
    list of Photograph
        ``pixels`` float32 in [0, 1], gamma-encoded as stored (not linear in luminance); grey is
        the luma 0.2125 R + 0.7154 G + 0.0721 B (`skimage.color.rgb2gray`).

    Raises
    ------
    TypeError
        If ``names`` is a single string.
    ValueError
        If a name is unknown, or names a grey photograph while ``colour=True``.

    Examples
    --------
    >>> [photograph.name for photograph in natural(colour=True)]
    ['chelsea', 'china', 'coffee', 'flower', 'rocket']
    >>> camera, = natural(["camera"])
    >>> camera.pixels.shape, camera.licence
    ((512, 512), 'CC0 (Lav Varshney)')
    """
    if isinstance(names, str):
        raise TypeError(f"names must be a sequence of names, got {names!r}; use [{names!r}]")
    choices = [name for name, (*_, in_colour) in _BUNDLED.items() if in_colour or not colour]
    names = choices if names is None else list(names)
    for name in names:
        check_choice("names", name, choices)
    return [_bundled(name, colour) for name in names]


def load_folder(path: File, *, colour: bool = False, verbose: bool = False) -> list[Photograph]:
    """Return every picture that lies directly in a folder, sorted by file name.

    Read are BMP, GIF, JPEG, JPEG 2000, PGM, PNG, PPM, TIFF and WebP (of several frames or pages
    the first), and the ``.iml`` and ``.imc`` files of van Hateren & van der Schaaf [1]_: 1024 rows
    of 1536 big-endian uint16. Hidden files and those with other endings are passed over.

    Parameters
    ----------
    path : str or path-like
        The folder; subfolders are not entered.
    colour : bool
        Return ``(3, H, W)`` red, green and blue instead of grey.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    list of Photograph
        ``pixels`` float32 in [0, 1]: integers are divided by the largest value of their type,
        so all 16-bit files, ``.iml`` and ``.imc`` included, by 65535, which keeps the relative
        intensities of a calibrated set; floats must lie in [0, 1] already. Transparent pictures
        are laid on white. Grey from colour as in `natural`.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If ``path`` is missing or no folder.
    ValueError
        If the folder holds no picture, or a picture (named in the message) cannot be read, has
        values outside [0, 1], or is grey while ``colour=True``.

    References
    ----------
    .. [1] J. H. van Hateren, A. van der Schaaf, "Independent component filters of natural images
       compared with simple cells in primary visual cortex", Proc. R. Soc. Lond. B 265, 1998.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "dots.pgm").write_bytes(b"P5 3 2 255 abcdef")
    ...     [dots] = load_folder(folder)
    >>> dots.name, dots.pixels.shape, float(dots.pixels[0, 0] * 255)
    ('dots.pgm', (2, 3), 97.0)
    """
    files = counted(picture_files(path), "picture", verbose=verbose)
    return [_photograph(file.name, file, "not stated", str(path), colour) for file in files]


def stream_folder(
    path: File,
    *,
    prepare: Callable[[Array], Array] | None = None,
    passes: int | None = 1,
    colour: bool = False,
    rng: Rng = None,
) -> Iterator[Array]:
    """Yield the pictures of a folder one by one, as signals: only one is in memory.

    For learning from more pictures than memory holds:
    ``learner.fit_stream(stream_folder(path))``.

    Parameters
    ----------
    path, colour
        As `load_folder`.
    prepare : callable, optional
        Makes of the pixels ``(H, W)`` or ``(3, H, W)`` what is learned from, of the same axes: for
        example `whiten`.
    passes : int, optional
        How often every picture comes; None never ends.
    rng : numpy.random.Generator or int, optional
        Draws the order of each pass; by default pictures come by name.

    Yields
    ------
    x : array (1, C, H, W), float32

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ValueError
        As `load_folder`: of the folder at once, of a picture when its turn comes.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "dots.pgm").write_bytes(b"P5 3 2 255 abcdef")
    ...     [x.shape for x in stream_folder(folder, passes=2)]
    [(1, 1, 2, 3), (1, 1, 2, 3)]
    """
    if passes is not None:
        check_count("passes", passes)
    turns = count() if passes is None else range(passes)
    rng = None if rng is None else np.random.default_rng(rng)
    return _streamed(picture_files(path), turns, (prepare, colour, rng))


def _streamed(files, turns, how):
    prepare, colour, rng = how
    for _ in turns:
        order = range(len(files)) if rng is None else rng.permutation(len(files))
        for i in order:
            pixels = read_picture(files[i], colour=colour)
            if prepare is not None:
                pixels = prepare(pixels) if colour else prepare(pixels[0])[None]
            yield pixels[None]


def picture_files(path):
    """Files of all pictures that lie directly in a folder, sorted by name; see `load_folder`."""
    folder = Path(path)
    if not folder.exists():
        raise FileNotFoundError(f"path {str(folder)!r} does not exist; pass an existing folder")
    if not folder.is_dir():
        raise NotADirectoryError(f"path {str(folder)!r} is a file; pass the folder it lies in")
    files = sorted(file for file in folder.iterdir() if _is_picture(file))
    if not files:
        raise ValueError(
            f"path {str(folder)!r} holds no picture; put files ending in "
            f"{', '.join(_SUFFIXES)} directly into it"
        )
    return files


def read_picture(file, *, colour=False):
    """Pixels ``(C, H, W)`` of one file, float32 in [0, 1]; see `load_folder`."""
    pixels = _photograph(Path(file).name, Path(file), "not stated", str(file), colour).pixels
    return pixels if colour else pixels[None]


def _bundled(name, colour):
    source, file, licence, _ = _BUNDLED[name]
    home = Path(find_spec(_PACKAGES[source]).origin).parent  # found without importing the package
    return _photograph(name, home / file, licence, source, colour)


def _is_picture(file):
    return file.is_file() and file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")


def _photograph(name, file, licence, source, colour):
    try:
        pixels = _unit_interval(_read(file))
        pixels = _rgb(pixels) if colour else _grey(pixels)
    except Exception as error:  # decoders raise whatever they like; the user needs the file's name
        raise ValueError(f"cannot read image {str(file)!r}: {error}") from error
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Photograph(name, pixels.astype(np.float32, order="C"), licence, source, digest)


def _read(file):
    """Return the picture as stored, ``(H, W)`` or ``(H, W, channels)``."""
    import imageio.v3 as imageio

    suffix = file.suffix.lower()
    if suffix in _VAN_HATEREN:
        return np.fromfile(file, dtype=">u2").reshape(1024, 1536).astype(np.uint16)
    # A named plugin: left to guess, imageio tries all of them on a broken file and leaks handles.
    if suffix in _TIFF:
        return imageio.imread(file, plugin="tifffile", page=0)
    return imageio.imread(file, plugin="pillow", index=0, rotate=True)  # as EXIF says


def _unit_interval(raw):
    """Return float64 in [0, 1], ``(H, W)`` or ``(H, W, 3)``, transparency laid on white."""
    from skimage.util import img_as_float64

    pixels = np.atleast_3d(img_as_float64(raw))
    if pixels.ndim != 3 or pixels.shape[2] > 4:
        raise ValueError(f"shape {raw.shape} is no single picture (H, W[, channels]); split it")
    if not (pixels.min() >= 0 and pixels.max() <= 1):  # NaN fails this, too
        raise ValueError("values outside [0, 1], or NaN; rescale them")
    if pixels.shape[2] in (2, 4):
        pixels, alpha = pixels[..., :-1], pixels[..., -1:]
        pixels = alpha * pixels + (1 - alpha)
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def _rgb(pixels):
    if pixels.ndim == 2:
        raise ValueError("it is grey; take it out of the folder or use colour=False")
    return np.moveaxis(pixels, 2, 0)


def _grey(pixels):
    from skimage.color import rgb2gray

    return pixels if pixels.ndim == 2 else rgb2gray(pixels)
