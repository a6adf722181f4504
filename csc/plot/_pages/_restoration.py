"""The page of restorations: before and after with a movable divider, methods to choose, differences."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np

from csc._backend import to_host
from csc._typing import Array
from csc._validation import check_floats
from csc.plot._pages._document import Page, numbers

SCRIPTS = ("restoration.js",)
MAX_IMAGE_BYTES = 3_400_000  # of all pictures; in base64 a third more
SHRINK = 0.95  # pictures are cut a little smaller than the estimate, which is not exact
RGB = 3  # channels of a colour picture
DAMAGED, TRUTH = "damaged", "original"  # names of these two pictures on the page


@dataclass(frozen=True, eq=False, repr=False)
class Restoration:
    """A damaged picture, and what methods make of it, for `csc.plot.report`.

    Parameters
    ----------
    damaged : (H, W) or (3, H, W) array
        With values in [0, 1]; others are clipped. It may be smaller than the estimates, for
        super-resolution.
    estimates : dict of arrays (H, W) or (3, H, W)
        By the name of the method, all of one shape.
    truth : array, optional
        The picture before the damage, of the shape of the estimates: the page then has the PSNR of
        each estimate, 10 log10(1 / mean square error) of values clipped to [0, 1], and errors.
    title : str

    Raises
    ------
    TypeError, ValueError
        If a picture is no float array, or their shapes differ.

    Examples
    --------
    >>> import numpy as np, csc
    >>> truth = np.zeros((16, 16))
    >>> noisy = truth + 0.1
    >>> case = csc.plot.Restoration(noisy, {"half": noisy / 2}, truth=truth, title="an offset")
    >>> case.psnr()["half"].__round__(2)
    26.02
    """

    damaged: Array
    estimates: Mapping[str, Array]
    truth: Array | None = None
    title: str = "Restoration"

    def __post_init__(self):
        if not isinstance(self.estimates, Mapping) or not self.estimates:
            raise TypeError("estimates must be a dict of arrays by the name of the method")
        taken = {DAMAGED, TRUTH} & set(self.estimates)
        if taken:
            raise ValueError(f"estimates must not be named {', '.join(taken)}: call them otherwise")
        checked_picture("damaged", self.damaged)
        others = {f"estimates[{name!r}]": x for name, x in self.estimates.items()}
        if self.truth is not None:
            others["truth"] = self.truth
        shapes = {name: checked_picture(name, x).shape for name, x in others.items()}
        if len(set(shapes.values())) > 1:
            raise ValueError(f"estimates and truth must have one shape, got {shapes}")

    def __repr__(self):
        size = "x".join(map(str, next(iter(self.estimates.values())).shape))
        return f"Restoration({self.title!r}, {size}: {', '.join(self.estimates)})"

    def psnr(self) -> dict[str, float]:
        """PSNR in dB of every estimate, and of the damaged picture if it has the same shape."""
        if self.truth is None:
            return {}
        pictures = dict(self.estimates)
        if self.damaged.shape == self.truth.shape:
            pictures = {DAMAGED: self.damaged} | pictures
        truth = np.clip(to_host(self.truth), 0, 1).astype(np.float64)
        errors = {
            name: ((np.clip(to_host(x), 0, 1) - truth) ** 2).mean() for name, x in pictures.items()
        }
        with np.errstate(divide="ignore"):
            return {name: float(-10 * np.log10(error)) for name, error in errors.items()}


def checked_picture(name, picture):
    """A float picture (H, W) or (3, H, W), or an error."""
    picture = check_floats(name, picture)
    if picture.ndim == RGB and len(picture) != RGB or picture.ndim not in (2, RGB):
        raise ValueError(f"{name} must be a picture (H, W) or (3, H, W), got shape {picture.shape}")
    return picture


def restorations_of(subject):
    """The restorations if the subject is one or a list of them; else None."""
    found = list(subject) if isinstance(subject, list | tuple) else [subject]
    return found if found and all(isinstance(item, Restoration) for item in found) else None


def page_of_restorations(cases, title):
    """`Page` of restorations."""
    share = 1.0
    while True:
        data = [data_of(case, share) for case in cases]
        size = sum(len(image["uri"]) for one in data for image in one["images"]) * 3 / 4
        if size <= MAX_IMAGE_BYTES:
            break
        share *= SHRINK * (MAX_IMAGE_BYTES / size) ** 0.5
    if title is None:
        title = cases[0].title if len(cases) == 1 else f"{len(cases)} restorations"
    return Page(title, lead_of(cases, share), {"kind": "restoration", "cases": data}, SCRIPTS, {})


def data_of(case, share):
    """What the page holds of one case, pictures cut to a central share of their sides."""
    pictures = {DAMAGED: case.damaged} | dict(case.estimates)
    if case.truth is not None:
        pictures[TRUTH] = case.truth
    psnr = case.psnr()
    return {
        "title": case.title,
        "has_truth": case.truth is not None,
        "images": [
            {"name": name, "psnr": numbers(psnr[name]) if name in psnr else None, **image_of(x, share)}
            for name, x in pictures.items()
        ],
    }  # fmt: skip


def image_of(picture, share):
    """A picture without loss at 8 bits: its address, height and width."""
    from PIL import Image

    corners = [round(n * (1 - share) / 2) for n in picture.shape[-2:]]
    rows, columns = (slice(c, n - c) for c, n in zip(corners, picture.shape[-2:], strict=True))
    cut = np.clip(to_host(picture)[..., rows, columns].astype(np.float64), 0, 1)
    pixels = (255 * cut).round().astype(np.uint8)
    pixels = np.ascontiguousarray(np.moveaxis(pixels, 0, -1) if pixels.ndim == RGB else pixels)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, quality=50)
    uri = f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"
    return {"uri": uri, "height": pixels.shape[0], "width": pixels.shape[1]}


def lead_of(cases, share):
    """What to do, and the best method of a single case."""
    lead = "Move the divider to compare two pictures; choose them by name."
    psnr = {name: value for name, value in cases[0].psnr().items() if name != DAMAGED}
    if len(cases) == 1 and psnr:
        best = max(psnr, key=psnr.get)
        lead = f"{best} has the highest PSNR, {psnr[best]:.2f} dB. {lead}"
    if share < 1:
        lead += (
            f" Shown are the central {100 * share:.0f} % of the sides, so that the file stays small; "
            "the PSNR is that of the whole pictures."
        )
    return lead
