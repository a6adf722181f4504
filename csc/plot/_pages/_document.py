"""One HTML file: data, styles and scripts of a page, escaped, and written completely or not at all."""

import json
import os
import secrets
from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np

MAX_BYTES = 5_000_000  # of a page
PARTIAL_SUFFIX = ".part"  # of the name of a file while it is written
DIGITS = 4  # significant digits of numbers in a page
STYLES = ("page.css",)
COMMON = ("page.js", "sprites.js")  # scripts of every page


class Page(NamedTuple):
    """What a page shows.

    Attributes
    ----------
    title : str
    lead : str
        A sentence or two under the title: what a reader should know without any script.
    data : dict
        JSON types; the scripts find it as ``page.data``.
    scripts : tuple of str
        Names of the page's own scripts in ``csc/plot/assets``, in order.
    sheets : dict of Sprites
        By name; pictures of class ``sheet-NAME`` are cut from them.
    """

    title: str
    lead: str
    data: dict
    scripts: tuple
    sheets: dict


TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{styles}</style>
</head>
<body>
<header class="masthead">
<h1>{title}</h1>
<p class="lead">{lead}</p>
</header>
<main id="main"></main>
<noscript><p>This page draws with JavaScript, which is switched off.</p>
{pictures}</noscript>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def html_of(page):
    """The text of a page.

    Nothing in it is loaded from elsewhere, and its Content-Security-Policy makes the browser refuse
    to: only the one script of the page runs, by its hash, and no address is fetched.
    """
    script = f'"use strict";\n(() => {{\n{"".join(map(_asset, (*COMMON, *page.scripts)))}}})();\n'
    digest = b64encode(sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    sheets = {
        name: {"columns": s.columns, "size": s.size, "sheet_shape": s.sheet_shape}
        for name, s in page.sheets.items()
    }
    return TEMPLATE.format(
        policy=policy,
        title=escape(page.title),
        lead=escape(page.lead),
        styles="".join(map(_asset, STYLES)) + "".join(map(_rule, page.sheets.items())),
        pictures="".join(map(_picture, page.sheets.items())),
        data=json_of(page.data | {"sheets": sheets}),
        script=script,
    )


def json_of(data):
    """JSON that may stand in a script element: it cannot close it nor open a comment."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def numbers(values):
    """Numbers with four significant digits as lists, None for NaN and inf."""
    values = np.asarray(values)
    if values.dtype.kind in "biu":
        return values.tolist()
    size = np.abs(np.where(np.isfinite(values) & (values != 0), values, 1.0)).astype(np.float64)
    step = 10.0 ** (DIGITS - 1 - np.floor(np.log10(size)))
    return _finite((np.round(values.astype(np.float64) * step) / step).tolist())


def _finite(value):
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None


def bytes_of(values):
    """Signed pictures ``(K, h, w)`` in base64, one byte per pixel, 127 for the largest modulus of each."""
    flat = np.asarray(values, np.float64).reshape(len(values), -1)
    top = np.abs(flat).max(axis=1, keepdims=True)
    steps = np.round(127 * flat / np.where(top > 0, top, 1)).astype(np.int8)
    return b64encode(steps.tobytes()).decode()


def check_target(path):
    """Return the path of a file that can be written, or raise before any work starts."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be the name of a file, got {type(path).__name__}")
    path = Path(path)
    folder = path.parent
    if path.is_dir():
        raise IsADirectoryError(f"path must be the name of a file, but {str(path)!r} is a folder")
    if not folder.is_dir():
        raise FileNotFoundError(
            f"path is in {str(folder)!r}, which is not a folder; create it first"
        )
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"path is in {str(folder)!r}, where you may not write")
    return path


def write(page, path):
    """Write a page; another file of that name is replaced when the new one is complete."""
    text = html_of(page).encode("utf-8")
    if len(text) > MAX_BYTES:
        raise ValueError(
            f"the report would have {len(text) / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.0f}; "
            "report on fewer atoms, for example on atoms[:1000]"
        )
    partial = path.with_name(f"{path.name}{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    try:
        partial.write_bytes(text)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _asset(name):
    """Text of a file in ``csc/plot/assets``."""
    return files("csc.plot").joinpath("assets", name).read_text(encoding="utf-8")


def _rule(named):
    """The style that cuts pictures from a sheet."""
    name, sheet = named
    (h, w), (_, width) = sheet.size, sheet.sheet_shape
    return (
        f".sheet-{name}{{--h:{h};--w:{w};--sheet-width:{width};"
        f'background-image:url("{sheet.uri}")}}\n'
    )


def _picture(named):
    """All pictures of a sheet at their own size, for browsers without scripts."""
    name, sheet = named
    height, width = sheet.sheet_shape
    label = f'role="img" aria-label="all pictures of {name}"'
    return f'<div class="sheet-{name}" {label} style="width:{width}px;height:{height}px"></div>\n'
