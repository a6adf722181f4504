"""Photographs: those that other packages bring along, and those in a folder of the user's."""

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
_ON_ERROR = ("raise", "warn", "skip")


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

    Read are AVIF, BMP, GIF, JPEG, JPEG 2000, PBM, PGM, PNG, PPM, TIFF and WebP (of several frames
    or pages the first), and the ``.iml`` and ``.imc`` files of van Hateren & van der Schaaf [1]_:
    1024 rows of 1536 big-endian uint16. Hidden files and those with other endings are passed over.

    Parameters
    ----------
    path : str or path-like
        The folder, or one picture, of whatever name.
    colour : bool
        Return ``(3, H, W)`` red, green and blue instead of grey.
    longest : int, optional
        Pictures whose longer side has more pixels are reduced to so many (Lanczos filter). By
        default none is. Advised for photographs of cameras and phones: see Notes.
    recursive : bool
        Read pictures of subfolders, too; their names begin with the subfolder's.
    on_error : {"raise", "warn", "skip"}
        What to do about a picture that cannot be read: raise ValueError, or leave it out, with
        or without a warning that names it.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    list of Photograph
        ``pixels`` float32 in [0, 1]: integers are divided by the largest value of their type,
        so all 16-bit files, ``.iml`` and ``.imc`` included, by 65535, which keeps the relative
        intensities of a calibrated set; floats must lie in [0, 1] already. Transparent pictures
        are laid on white. Grey from colour as in `natural`. Colours are those of Pillow's
        conversion to RGB; colour profiles are not applied. Colour of 16 bits keeps all of them
        in TIFF files that are not compressed or by deflate, and the first 8 in others. What
        Pillow takes for a decompression bomb (`PIL.Image.MAX_IMAGE_PIXELS`, twice) is refused.

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
        With ``on_error="warn"``, for each picture that is left out.

    Notes
    -----
    Atoms of a few pixels see only the finest detail of a large photograph, which in those of
    cameras and phones is blur, noise and traces of compression; and random patches come mostly
    from the largest picture. Reduced to some 640 pixels, photographs look to atoms like the
    bundled ones, and more of the learned atoms are similar to Gabor functions.

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
    """Yield the pictures of a folder one by one, as signals: only one is in memory.

    For learning from more pictures than memory holds:
    ``learner.fit_stream(stream_folder(path))``.

    Parameters
    ----------
    path : str or path-like
        As `load_folder`.
    prepare : callable, optional
        Makes of the pixels ``(H, W)`` or ``(3, H, W)`` what is learned from, of the same axes: for
        example `whiten`.
    passes : int, optional
        How often every picture comes; None never ends.
    rng : numpy.random.Generator or int, optional
        Draws the order of each pass; by default pictures come by name.
    colour, longest, recursive, on_error
        As `load_folder`. A picture that was left out is not tried again in later passes.

    Yields
    ------
    x : array (1, C, H, W), float32

    Raises
    ------
    FileNotFoundError, ValueError
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
    """Files of all pictures of a folder, sorted by name, or the file itself; see `load_folder`."""
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
    """The folder that a path is, or that it lies in."""
    path = Path(path)
    return path if path.is_dir() else path.parent


def read_picture(file, *, colour=False):
    """Pixels ``(C, H, W)`` of one file, float32 in [0, 1]; see `load_folder`."""
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
    """How pictures are read: see `load_folder`."""

    def __init__(self, colour, longest=None, on_error="raise"):
        self.colour = colour
        self.longest = None if longest is None else check_count("longest", longest)
        self.on_error = check_choice("on_error", on_error, _ON_ERROR)

    def photograph(self, file, home):
        """`Photograph` of a user's file, or None if it is left out."""
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
        """Pixels of a file, float32 in [0, 1], and the digest of its bytes."""
        try:
            data = file.read_bytes()
            pixels = decoded(data, file.suffix)
            pixels = _rgb(pixels) if self.colour else _grey(pixels)
        except Exception as error:  # decoders raise whatever they like; the user needs the name
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
    """Pixels ``(..., H, W)`` with a longer side of at most ``longest``."""
    extents = pixels.shape[-2:]
    if longest is None or max(extents) <= longest:
        return pixels
    from PIL import Image

    H, W = (max(1, round(extent * longest / max(extents))) for extent in extents)
    planes = [
        np.asarray(Image.fromarray(plane).resize((W, H), Image.Resampling.LANCZOS))
        for plane in pixels.reshape(-1, *extents)
    ]
    # the filter overshoots at edges
    return np.clip(np.stack(planes), 0, 1).reshape(*pixels.shape[:-2], H, W)
