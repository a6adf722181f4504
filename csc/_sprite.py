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

    def corner(self, i):
        """Left and top of picture ``i`` in the sheet."""
        row, column = divmod(i, self.columns)
        height, width = (n + 2 * MARGIN for n in self.size)
        return column * width + MARGIN, row * height + MARGIN


def sprites(pictures, columns=None):
    """Lay pictures ``(n, h, w)`` or ``(n, h, w, 3)`` of uint8 row by row on one sheet."""
    n, h, w = pictures.shape[:3]
    columns = columns or max(1, round(sqrt(n * h / w)))
    around = [(0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), *[(0, 0)] * (pictures.ndim - 3)]
    framed = np.pad(pictures, around, mode="edge")
    rows = ceil(n / columns)
    blank = np.full((rows * columns, *framed.shape[1:]), 128, np.uint8)
    blank[:n] = framed
    grid = blank.reshape(rows, columns, *framed.shape[1:])
    sheet = np.moveaxis(grid, 2, 1)
    sheet = sheet.reshape(rows * framed.shape[1], columns * framed.shape[2], *framed.shape[3:])
    return Sprites(png_of(sheet), columns, (h, w), sheet.shape[:2])


def png_of(pixels):
    """Bytes of a PNG of uint8 pixels ``(H, W)`` or ``(H, W, 3)``."""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pictures_of(atoms):
    """Atoms ``(K, 1 or 3, h, w)`` as uint8 pictures, each scaled to its modulus; zero is 128."""
    moved = np.moveaxis(scaled(np.asarray(atoms, np.float64)), 1, -1)
    pixels = (128 + 127 * moved).round().astype(np.uint8)
    return pixels[..., 0] if atoms.shape[1] == 1 else pixels
