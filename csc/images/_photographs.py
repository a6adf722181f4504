"""Photographs from installed packages and from folders of the user."""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from csc._progress import progress_iter
from csc._repr_html import WIDTH, card
from csc._typing import Array, File, Rng
from csc._validation import check_choice, check_count
from csc.images._files import SUFFIXES, decoded

_PACKAGES = {"scikit-image": "skimage", "scikit-learn": "sklearn"}
# name: (package, file inside the package, stated licence, in colour)
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
_ON_ERROR = ("raise", "warn", "skip")


class Photograph(NamedTuple):
    """An image with its provenance.

    Attributes
    ----------
    name : str
        Short name (`natural`) or file name (`load_folder`).
    pixels : (H, W) or (3, H, W) float32 array
        Intensities in [0, 1]: grey, or red, green and blue with ``colour=True``.
    licence : str
        Terms and owner; ``"not stated"`` for files of the user.
    source : str
        Package or folder that contains the file.
    sha256 : str
        SHA-256 digest of the file, to identify the data in reports.

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

    Nothing is downloaded or written: the files are part of the installed packages. The selection
    is every outdoor scene and every close-up of a texture with a stated licence:

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
    files (china, flower, rocket) have block artefacts with a period of 8 pixels.

    Parameters
    ----------
    names : sequence of str, optional
        Names of the photographs, in this order; by default all in alphabetical order.
    colour : bool
        Return ``(3, H, W)`` red, green and blue instead of grey; only for colour photographs.

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


def load_folder(
    path: File,
    *,
    colour: bool = False,
    longest: int | None = None,
    recursive: bool = False,
    on_error: Literal["raise", "warn", "skip"] = "raise",
    verbose: bool = False,
) -> list[Photograph]:
    """Return every picture of a folder, sorted by file name.

    Supported formats are AVIF, BMP, GIF, JPEG, JPEG 2000, PBM, PGM, PNG, PPM, TIFF and WebP (the
    first frame or page), and the ``.iml`` and ``.imc`` files of van Hateren & van der Schaaf [1]_:
    1024 rows of 1536 big-endian uint16. Hidden files and files with other suffixes are skipped.

    Parameters
    ----------
    path : str or path-like
        A folder, or one image file with any name.
    colour : bool
        Return ``(3, H, W)`` red, green and blue instead of grey.
    longest : int, optional
        Maximum length of the longer side in pixels; larger images are downsampled (Lanczos
        filter). By default none is. Recommended for photographs of cameras and phones: see Notes.
    recursive : bool
        Include subfolders; names then begin with the name of the subfolder.
    on_error : {"raise", "warn", "skip"}
        What to do if an image cannot be read: raise ValueError, or skip it with or without a
        warning that names it.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    list of Photograph
        ``pixels`` float32 in [0, 1]: integers are divided by the largest value of their type,
        so all 16-bit files, ``.iml`` and ``.imc`` included, by 65535, which keeps the relative
        intensities of a calibrated set; floats must lie in [0, 1] already. Transparent pictures
        are composited on white. Grey from colour as in `natural`. Colours are those of Pillow's
        conversion to RGB; colour profiles are not applied. Colours of 16 bits keep
        all bits in TIFF files without compression or with deflate, and the first 8 bits in other
        files. Images with more than twice `PIL.Image.MAX_IMAGE_PIXELS` pixels raise an error.

    Raises
    ------
    FileNotFoundError
        If ``path`` is missing.
    ValueError
        If the folder holds no picture, or none that can be read; if a picture (named in the
        message) cannot be read, has values outside [0, 1], or is grey while ``colour=True``.

    Warns
    -----
    UserWarning
        With ``on_error="warn"``, for each image that is skipped.

    Notes
    -----
    Atoms of a few pixels represent only the finest details of a large photograph. In photographs
    of cameras and phones these are blur, noise and compression artefacts. Random patches also come
    mostly from the largest image. Downsampled to about 640 pixels, photographs have details at the
    same scale as the bundled ones, and more of the learned atoms are similar to Gabor functions.

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
    reader = _Reader(colour, longest, on_error)
    files = progress_iter(picture_files(path, recursive=recursive), "picture", verbose=verbose)
    photographs = []
    for file in files:
        photograph = reader.photograph(file, folder_of(path))
        if photograph is not None:
            photographs.append(photograph)
    return _some(photographs, path)


def stream_folder(  # noqa: PLR0913  the last four are those of `load_folder`
    path: File,
    *,
    prepare: Callable[[Array], Array] | None = None,
    passes: int | None = 1,
    rng: Rng = None,
    colour: bool = False,
    longest: int | None = None,
    recursive: bool = False,
    on_error: Literal["raise", "warn", "skip"] = "raise",
) -> Iterator[Array]:
    """Yield the images of a folder one by one, as signals; only one is in memory at a time.

    For learning from more images than fit into memory:
    ``learner.fit_stream(stream_folder(path))``.

    Parameters
    ----------
    path : str or path-like
        As `load_folder`.
    prepare : callable, optional
        Applied to the pixels ``(H, W)`` or ``(3, H, W)``, for example `whiten`; the result must
        have the same axes.
    passes : int, optional
        Number of passes over all images; None repeats forever.
    rng : numpy.random.Generator or int, optional
        Generator or seed for the order of each pass; by default images are sorted by name.
    colour, longest, recursive, on_error
        As `load_folder`. An image that was skipped is not tried again in later passes.

    Yields
    ------
    x : array (1, C, H, W), float32

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_folder`: for the folder at once, for an image when it is read.

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
    reader = _Reader(colour, longest, on_error)
    files = picture_files(path, recursive=recursive)
    return _streamed(path, files, turns, (prepare, rng, reader))


def _streamed(path, files, turns, how):
    prepare, rng, reader = how
    for _ in turns:
        unreadable = set()
        for i in range(len(files)) if rng is None else rng.permutation(len(files)):
            photograph = reader.photograph(files[i], folder_of(path))
            if photograph is None:
                unreadable.add(files[i])
                continue
            pixels = photograph.pixels
            if prepare is not None:
                pixels = prepare(pixels)
            yield pixels[None] if reader.colour else pixels[None, None]
        files = _some([file for file in files if file not in unreadable], path)


def picture_files(path, *, recursive=False):
    """Return all image files of a folder, sorted by name, or the file itself; see `load_folder`."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"path {str(path)!r} does not exist; pass an existing folder")
    if not path.is_dir():
        return [path]
    files = sorted(
        file for file in path.glob("**/*" if recursive else "*") if _is_picture(file, path)
    )
    if not files:
        hint = "" if recursive else ", or pass recursive=True for its subfolders"
        raise ValueError(
            f"path {str(path)!r} holds no picture; put files ending in "
            f"{', '.join(SUFFIXES)} directly into it{hint}"
        )
    return files


def folder_of(path):
    """Return the path if it is a folder, else its parent folder."""
    path = Path(path)
    return path if path.is_dir() else path.parent


def read_picture(file, *, colour=False):
    """Return the pixels ``(C, H, W)`` of one file, float32 in [0, 1]; see `load_folder`."""
    pixels = _Reader(colour).photograph(Path(file), Path(file).parent).pixels
    return pixels if colour else pixels[None]


def _some(readable, path):
    if not readable:
        raise ValueError(
            f"path {str(path)!r} holds no picture that can be read; on_error='raise' says why"
        )
    return readable


def _bundled(name, colour):
    source, file, licence, _ = _BUNDLED[name]
    home = Path(find_spec(_PACKAGES[source]).origin).parent  # found without importing the package
    pixels, digest = _Reader(colour).read(home / file)
    return Photograph(name, pixels, licence, source, digest)


def _is_picture(file, folder):
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return not hidden and file.suffix.lower() in SUFFIXES and file.is_file()


class _Reader:
    """Reader of image files with the options of `load_folder`."""

    def __init__(self, colour, longest=None, on_error="raise"):
        self.colour = colour
        self.longest = None if longest is None else check_count("longest", longest)
        self.on_error = check_choice("on_error", on_error, _ON_ERROR)

    def photograph(self, file, home):
        """Return the `Photograph` of a file of the user, or None if it is skipped."""
        try:
            pixels, digest = self.read(file)
        except ValueError as error:
            if self.on_error == "raise":
                raise
            if self.on_error == "warn":
                warnings.warn(f"{error}; it is left out", stacklevel=3)
            return None
        name = file.relative_to(home).as_posix()
        return Photograph(name, pixels, "not stated", str(home), digest)

    def read(self, file):
        """Return the pixels of a file, float32 in [0, 1], and the digest of its bytes."""
        try:
            data = file.read_bytes()
            pixels = decoded(data, file.suffix)
            pixels = _rgb(pixels) if self.colour else _grey(pixels)
        except (
            Exception
        ) as error:  # decoders raise many kinds of errors; the message must name the file
            raise ValueError(f"cannot read image {str(file)!r}: {error}") from error
        pixels = _reduced(pixels.astype(np.float32, order="C"), self.longest)
        return pixels, hashlib.sha256(data).hexdigest()


def _rgb(pixels):
    if pixels.ndim == 2:
        raise ValueError("it is grey; take it out of the folder or use colour=False")
    return np.moveaxis(pixels, 2, 0)


def _grey(pixels):
    from skimage.color import rgb2gray

    return pixels if pixels.ndim == 2 else rgb2gray(pixels)


def _reduced(pixels, longest):
    """Downsample pixels ``(..., H, W)`` to a longer side of at most ``longest``."""
    spatial_shape = pixels.shape[-2:]
    if longest is None or max(spatial_shape) <= longest:
        return pixels
    from PIL import Image

    H, W = (max(1, round(extent * longest / max(spatial_shape))) for extent in spatial_shape)
    planes = [
        np.asarray(Image.fromarray(plane).resize((W, H), Image.Resampling.LANCZOS))
        for plane in pixels.reshape(-1, *spatial_shape)
    ]
    # the filter overshoots at edges
    return np.clip(np.stack(planes), 0, 1).reshape(*pixels.shape[:-2], H, W)
