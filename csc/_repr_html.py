"""HTML representations for notebooks: the repr, and a thumbnail of atoms or of a prox."""

from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html import escape
from io import BytesIO
from numbers import Real

import numpy as np

from csc._montage import COLOURS, montage
from csc._sprite import MARGIN, pictures_of, small_sheet

MAX_ATOMS = 64  # in a thumbnail
WIDTH = 240  # pixels, of a thumbnail
ROW_HEIGHT = 14  # pixels, of the curve of one atom
PROX_SIDE = 80  # pixels, of the plot of a proximal operator


class AtomsReprMixin:
    """Mixin for objects with ``atoms``: notebooks show the repr and the atoms."""

    def _repr_html_(self):
        return card(repr(self), self.atoms)


class PenaltyReprMixin:
    """Mixin for penalties: notebooks show the repr and a plot of the proximal operator."""

    def _repr_html_(self):
        is_resolved = isinstance(self.lmbda, Real)
        drawn = _prox_curve(self) if is_resolved else ""
        return f"<div><pre>{escape(repr(self))}</pre>{drawn}</div>"


def card(text, atoms):
    """HTML of a repr and the first atoms.

    Parameters
    ----------
    text : str
    atoms : array (K, C, *s)
        Shown as curves for one spatial axis, as the sheet of a report (`csc.plot.report`) for two,
        as rows of slices for three. Of more than three channels only the first is shown.
    """
    first = np.asarray(atoms.get() if hasattr(atoms, "get") else atoms)[:MAX_ATOMS]
    draw = {3: _curves, 4: _sheet}.get(first.ndim, _image)
    left = f"<div>the first {MAX_ATOMS} of {len(atoms)}</div>" if len(atoms) > MAX_ATOMS else ""
    drawn = draw(first) if len(first) else ""
    return f"<div><pre>{escape(text)}</pre>{drawn}{left}</div>"


def _sheet(atoms):
    """The sheet of 2-D atoms as one PNG; the number of an atom appears under the pointer."""
    shown = atoms if atoms.shape[1] <= max(COLOURS) else atoms[:, :1]
    if shown.shape[1] not in COLOURS:
        return _image(shown)
    sheet = small_sheet(pictures_of(shown))
    zoom = WIDTH / sheet.sheet_shape[1]
    h, w = (n + 2 * MARGIN for n in sheet.size)
    areas = []
    for i in range(len(shown)):
        top, left = (zoom * k for k in (i // sheet.columns * h, i % sheet.columns * w))
        corners = f"{left:.0f},{top:.0f},{left + zoom * w:.0f},{top + zoom * h:.0f}"
        areas.append(f'<area shape="rect" coords="{corners}" title="{i}" alt="{i}">')
    name = f"atoms-{sha256(sheet.png).hexdigest()[:12]}"
    size = "x".join(map(str, sheet.size))
    return (
        f'<img alt="sheet of {len(shown)} pictures {size}" usemap="#{name}" style="width:{WIDTH}px;'
        f'image-rendering:pixelated" src="{sheet.uri}"><map name="{name}">{"".join(areas)}</map>'
    )


def _image(atoms):
    """A montage of volumes, or of atoms of two channels, as one PNG."""
    from PIL import Image

    shown = atoms if atoms.shape[1] <= max(COLOURS) else atoms[:, :1]
    sheet = montage(np.ascontiguousarray(shown))
    grey = (sheet + 1) / 2 if sheet.ndim == 2 else sheet
    png = BytesIO()
    Image.fromarray((255 * grey).round().astype("uint8")).save(png, "PNG")
    data = b64encode(png.getvalue()).decode()
    style = f"width:{WIDTH}px;image-rendering:pixelated"
    return f'<img alt="atoms" style="{style}" src="data:image/png;base64,{data}">'


def _curves(atoms):
    """The first channel of 1-D atoms as one SVG, one row per atom."""
    height, lines = ROW_HEIGHT, []
    for i, atom in enumerate(atoms[:, 0]):
        top = max(float(abs(atom).max()), np.finfo(atom.dtype).tiny)
        x = np.linspace(1, WIDTH - 1, len(atom))
        y = height * (i + 0.5 - 0.45 * atom / top)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        lines.append(f'<polyline fill="none" stroke="#0072b2" points="{points}"/>')
    size = f'width="{WIDTH}" height="{height * len(atoms)}"'
    return f'<svg role="img" aria-label="atoms" {size}>{"".join(lines)}</svg>'


def _prox_curve(penalty):
    """A plot of the prox as SVG, for step 1, weights 1 and equal entries within a group."""
    side, lmbda = PROX_SIDE, float(penalty.lmbda)
    if getattr(penalty, "weights", None) is not None:
        penalty = replace(penalty, weights=None)
    reach = 3 * max(lmbda, (2 * lmbda) ** 0.5) or 1.0
    z = np.linspace(-reach, reach, 161)
    overlapping = getattr(penalty, "groups", None)
    n_atoms = (
        getattr(penalty, "group_size", 1) if overlapping is None else 1 + max(map(max, overlapping))
    )
    groups = np.repeat(z[:, None, None], n_atoms, axis=1)
    shrunk = penalty.prox(groups, 1.0)[:, 0, 0]
    points = " ".join(
        f"{side * (a / reach + 1) / 2:.1f},{side * (1 - b / reach) / 2:.1f}"
        for a, b in zip(z, shrunk, strict=True)
    )
    cross = f'<path stroke="#888" d="M0 {side / 2}H{side}M{side / 2} 0V{side}"/>'
    curve = f'<polyline fill="none" stroke="#0072b2" stroke-width="2" points="{points}"/>'
    size = f'width="{side}" height="{side}"'
    return f'<svg role="img" aria-label="prox" {size}>{cross}{curve}</svg>'
