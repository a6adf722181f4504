"""What notebooks show of an object: its repr, and a thumbnail of its atoms."""

from base64 import b64encode
from html import escape

import numpy as np

from csc.sheet import tile

MOST = 64  # atoms in a thumbnail
WIDTH = 240  # of a thumbnail, pixels


class Shown:
    """Has atoms and a repr: notebooks show both."""

    def _repr_html_(self):
        return card(repr(self), self.atoms)


def card(text, atoms):
    """HTML of a repr with the first atoms beside it.

    Parameters
    ----------
    text : str
    atoms : array (K, C, *s)
        Shown as pictures if they have two spatial axes (of more than three channels the first),
        as curves if they have one.
    """
    own = np.asarray(atoms.get() if hasattr(atoms, "get") else atoms)[:MOST]
    draw = {3: _curves, 4: _sheet}.get(own.ndim, lambda _: "")
    return f"<div><pre>{escape(text)}</pre>{draw(own)}</div>"


def _sheet(atoms):
    """2-D atoms as one PNG."""
    import imageio.v3 as imageio

    shown = atoms if atoms.shape[1] in (1, 3) else atoms[:, :1]
    sheet = tile(np.ascontiguousarray(shown))
    grey = (sheet + 1) / 2 if sheet.ndim == 2 else sheet  # noqa: PLR2004  rows and columns
    png = imageio.imwrite("<bytes>", (255 * grey).round().astype("uint8"), extension=".png")
    data = b64encode(png).decode()
    style = f"width:{WIDTH}px;image-rendering:pixelated"
    return f'<img alt="atoms" style="{style}" src="data:image/png;base64,{data}">'


def _curves(atoms):
    """The first channel of 1-D atoms as one SVG, a row an atom."""
    height, lines = 14, []
    for i, atom in enumerate(atoms[:, 0]):
        top = max(float(abs(atom).max()), np.finfo(atom.dtype).tiny)
        x = np.linspace(1, WIDTH - 1, len(atom))
        y = height * (i + 0.5 - 0.45 * atom / top)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        lines.append(f'<polyline fill="none" stroke="#0072b2" points="{points}"/>')
    size = f'width="{WIDTH}" height="{height * len(atoms)}"'
    return f'<svg role="img" aria-label="atoms" {size}>{"".join(lines)}</svg>'
