"""The page of several layers: an atom opens into those of the layers before that make it."""

from math import prod
from typing import NamedTuple

import numpy as np

from csc._backend import to_host
from csc._montage import COLOURS, IMAGES_NDIM
from csc._sprite import pictures_of, sprites
from csc.plot._pages._document import Page, bytes_of, numbers
from csc.plot._pages._learning import history_of

SCRIPTS = ("sheet.js", "gabor.js", "learning.js", "layers.js")
MAX_PARTS = 40  # of an atom; those with the most energy


class Layers(NamedTuple):
    """A multi-layer dictionary, and the learner that it comes from, if any."""

    dictionary: object
    learner: object


def layers_of(subject):
    """`Layers` of a multi-layer dictionary or of a fitted learner of one; else None."""
    dictionary = getattr(subject, "dictionary_", subject)
    if not (hasattr(dictionary, "effective") and hasattr(dictionary, "layers")):
        return None
    return Layers(dictionary, subject if dictionary is not subject else None)


def page_of_layers(found, title):
    """`Page` of the layers of a dictionary."""
    dictionary, learner = found
    depth = len(dictionary.layers)
    seen = [pictured(dictionary.effective(i).atoms) for i in range(1, depth + 1)]
    shares = [None] * depth
    if learner is not None:
        shares = [numbers(of_layer.share) for of_layer in learner.diagnostics()]
    data = {
        "kind": "layers",
        "channels": seen[0].shape[1],
        "layers": [
            {
                "n": len(atoms),
                "size": atoms.shape[2:],
                "bytes": bytes_of(atoms),
                "top": numbers(np.abs(atoms).reshape(len(atoms), -1).max(axis=1)),
                "share": share,
                "parts": parts_of(dictionary.layers, seen, i) if i else None,
            }
            for i, (atoms, share) in enumerate(zip(seen, shares, strict=True))
        ],
        "history": history_of(learner),
    }
    sheets = {f"layer{i + 1}": sprites(pictures_of(atoms)) for i, atoms in enumerate(seen)}
    counts = ", ".join(str(len(atoms)) for atoms in seen)
    title = f"{depth} layers of {counts} atoms" if title is None else title
    lead = (
        f"Atoms of every depth as patterns in the picture. An atom of layer {depth} is a sum of atoms of "
        "the layer before, with its own entries as their codes: open it to see them."
    )
    return Page(title, lead, data, SCRIPTS, sheets)


def pictured(atoms):
    """Atoms with one or three channels; others are averaged over their channels, a linear map."""
    atoms = to_host(atoms).astype(np.float64)
    if atoms.ndim != IMAGES_NDIM:
        raise ValueError(
            f"a report shows atoms of pictures, (K, C, h, w), got shape {atoms.shape}; "
            "csc.plot.dictionary draws series and volumes"
        )
    return atoms if atoms.shape[1] in COLOURS else atoms.mean(axis=1, keepdims=True)


def parts_of(layers, seen, i):
    """For each atom of layer i (from 0) the atoms of the layer before that it consists of.

    Each part is (index, row, column, code): the effective atom ``index`` times ``code``, with its
    corner at this row and column of the effective atom of layer i.
    """
    strides = [prod(s) for s in zip(*(D.geometry.stride for D in layers[:i]), strict=True)]
    norms = np.linalg.norm(seen[i - 1].reshape(len(seen[i - 1]), -1), axis=1)
    atoms = to_host(layers[i].atoms)
    found = []
    for atom in atoms:
        places = np.argwhere(atom)
        codes = atom[tuple(places.T)].astype(np.float64)
        largest = np.argsort(-np.abs(codes) * norms[places[:, 0]], kind="stable")[:MAX_PARTS]
        places, codes = places[largest], codes[largest]
        found.append(
            {
                "of": int(np.count_nonzero(atom)),
                "index": places[:, 0].tolist(),
                "at": (places[:, 1:] * strides).tolist(),
                "code": numbers(codes),
            }
        )
    return found
