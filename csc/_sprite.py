"""Sprite sheets: many small pictures in one PNG, from which a page cuts each."""

from base64 import b64encode
from io import BytesIO
from math import ceil, sqrt
from typing import NamedTuple

import numpy as np

from csc._montage import scaled

MARGIN = 1  # pixels around a picture, copies of its border: enlarged pictures do not bleed


class Sprites(NamedTuple):
    """Pictures in one sheet.

    Attributes
    ----------
    png : bytes
    columns : int
        Pictures in a row of the sheet.
    size : (int, int)
        Height and width of a picture in pixels, without the margin.
    sheet_shape : (int, int)
        Height and width of the sheet in pixels.
    """

    png: bytes
    columns: int
    size: tuple
    sheet_shape: tuple

    @property
    def uri(self):
        """The sheet as the address of an image that lies in the page itself."""
        return f"data:image/png;base64,{b64encode(self.png).decode()}"


def sprites(pictures, columns=None):
    """Lay pictures ``(n, h, w)`` or ``(n, h, w, 3)`` of uint8 row by row on one sheet."""
    n, h, w = pictures.shape[:3]
    columns = columns or max(1, round(sqrt(n * h / w)))
    sheet = laid_out(_framed(pictures, mode="edge"), columns)
    return Sprites(png_of(sheet), columns, (h, w), sheet.shape[:2])


def small_sheet(pictures):
    """`Sprites` of the pictures, to be shown as one image: the gaps between them are transparent."""
    n, h, w = pictures.shape[:3]
    colours = pictures if pictures.ndim > 3 else np.repeat(pictures[..., None], 3, axis=-1)
    opaque = np.concatenate([colours, np.full((n, h, w, 1), 255, np.uint8)], axis=-1)
    columns = max(1, round(sqrt(n * h / w)))
    sheet = laid_out(_framed(opaque, mode="constant"), columns)
    return Sprites(png_of(sheet), columns, (h, w), sheet.shape[:2])


def _framed(pictures, mode):
    around = [(0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), *[(0, 0)] * (pictures.ndim - 3)]
    return np.pad(pictures, around, mode=mode)


def laid_out(boxes, columns):
    """Boxes ``(n, h, w, ...)`` row by row in one array; empty places are zero."""
    n, h, w = boxes.shape[:3]
    rows = ceil(n / columns)
    grid = np.zeros((rows * columns, *boxes.shape[1:]), boxes.dtype)
    grid[:n] = boxes
    grid = np.moveaxis(grid.reshape(rows, columns, *boxes.shape[1:]), 2, 1)
    return grid.reshape(rows * h, columns * w, *boxes.shape[3:])


def png_of(pixels):
    """Bytes of a PNG of uint8 pixels ``(H, W)``, ``(H, W, 3)`` or, with opacity, ``(H, W, 4)``."""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pictures_of(atoms):
    """Atoms ``(K, 1 or 3, h, w)`` as uint8 pictures, each scaled to its modulus; zero is 128."""
    moved = np.moveaxis(scaled(np.asarray(atoms, np.float64)), 1, -1)
    pixels = (128 + 127 * moved).round().astype(np.uint8)
    return pixels[..., 0] if atoms.shape[1] == 1 else pixels
