"""The page of one set of atoms: sheet, Gabor fits, shapes next to the macaque's, use, learning."""

import numpy as np

from csc._backend import to_host
from csc._montage import COLOURS, IMAGES_NDIM
from csc._sprite import pictures_of, sprites
from csc._validation import check_floats
from csc.analysis import receptive_fields, similar_atoms
from csc.analysis.receptive_fields import MACAQUE, MACAQUE_EDGES, unit_planes
from csc.plot._models import atoms_of
from csc.plot._pages._document import Page, bytes_of, numbers
from csc.plot._pages._fits import columns_of, shapes_of, shown_atoms
from csc.plot._pages._learning import checked_snapshots, history_of, passes_of
from csc.plot._pages._sizes import room_next_to
from csc.plot._pages._use import best_patches, checked_signals, share_of_energy

N_SIMILAR = 5
SCRIPTS = ("sheet.js", "gabor.js", "plots.js", "learning.js", "atoms.js")


def page_of_atoms(subject, title, analysis, signals, pictures, snapshots):
    """`Page` of atoms (K, C, h, w), of a dictionary or a learner, or of an analysis of its fields."""
    if isinstance(subject, receptive_fields.Report):
        subject, analysis = subject.fields, subject
    atoms = checked_atoms(subject)
    found = checked_analysis(analysis, atoms)
    share = share_of_energy(subject)
    patches = checked_signals(signals, pictures, atoms)
    shots = checked_snapshots(snapshots, atoms)
    if found is None:
        found = receptive_fields.analyse(atoms, rng=0)
    similar = similar_atoms(atoms, N_SIMILAR)
    planes, norms, _ = unit_planes(found.fields)
    seen = shots[-1] if shots and atoms.shape[1] not in COLOURS else shown_atoms(atoms)
    columns = max(1, round(len(atoms) ** 0.5))  # of all sheets: an atom has one place
    sheets = {"atoms": sprites(pictures_of(seen), columns)}
    if not same_pictures(seen, found.fields):
        sheets["fields"] = sprites(pictures_of(shown_atoms(found.fields)), columns)
    data = {
        "kind": "atoms",
        "n": len(atoms),
        "size": atoms.shape[2:],
        "channels": atoms.shape[1],
        "planes": {"size": planes.shape[1:], "bytes": bytes_of(planes)},
        "fit": columns_of(found.fit, planes, norms),
        "nulls": {"phase": shapes_of(found.null_phase), "noise": shapes_of(found.null_noise)},
        "macaque": macaque_of(found),
        "caution": found.fit.caution,
        "share": None if share is None else numbers(share),
        "similar": {"indices": similar.indices.tolist(), "cosines": numbers(similar.cosines)},
        "history": history_of(subject),
    }
    room = room_next_to(atoms, found.fields)
    if patches is not None:
        data["patches"], sheets["patches"] = best_patches(subject, atoms, patches, room.patches)
    if len(shots) > 1:
        data["passes"], sheets["passes"] = passes_of(shots, room.passes)
    h, w = atoms.shape[2:]
    title = f"{len(atoms)} atoms of {h} × {w} pixels" if title is None else title
    return Page(title, lead_of(found), data, SCRIPTS, sheets)


def checked_atoms(subject):
    """Atoms (K, C, h, w) that are not all zero, or an error that says what a report can show."""
    atoms = check_floats("subject", atoms_of(subject))
    atoms = to_host(atoms)
    if atoms.ndim != IMAGES_NDIM:
        raise ValueError(
            f"a report shows atoms of pictures, (K, C, h, w), got shape {atoms.shape}; "
            "csc.plot.dictionary draws series and volumes"
        )
    return receptive_fields.check_images(atoms)


def checked_analysis(analysis, atoms):
    """A report of `csc.analysis.receptive_fields.analyse` of these atoms, or None."""
    if analysis is None:
        return None
    if not isinstance(analysis, receptive_fields.Report):
        raise TypeError(
            "analysis must be what csc.analysis.receptive_fields.analyse returns, got "
            f"{type(analysis).__name__}"
        )
    if len(analysis.fit) != len(atoms):
        raise ValueError(
            f"analysis must be of these {len(atoms)} atoms, got one of {len(analysis.fit)}"
        )
    return analysis


def same_pictures(atoms, fields):
    """Whether the fields are the atoms themselves."""
    return atoms.shape == fields.shape and np.allclose(atoms, fields)


def macaque_of(found):
    """Counts of the macaque's cells, and the distances to them."""
    distance = found.macaque
    return {
        "counts": MACAQUE.tolist(),
        "edges": numbers(MACAQUE_EDGES),
        **{name: numbers(getattr(distance, name)) for name in ("emd", "null", "floor")},
        **{name: numbers(getattr(distance, name)) for name in ("interval", "floor_interval")},
    }


def lead_of(found):
    """One or two sentences: how many atoms are Gabor-like, by chance, and how far from macaque."""
    share, chance = found.fit.gabor_like.mean(), found.null_phase.gabor_like.mean()
    lead = (
        f"{100 * share:.0f} % are Gabor-like (R² ≥ 0.8), of the same atoms with scrambled phases "
        f"{100 * chance:.0f} %."
    )
    if np.isfinite(found.macaque.emd):
        low, high = found.macaque.interval
        lead += (
            f" Their shapes are {found.macaque.emd:.2f} [{low:.2f}, {high:.2f}] bins from those of "
            f"macaque cells; with scrambled phases {found.macaque.null:.2f}, and two samples of the "
            f"macaque’s own cells {found.macaque.floor:.2f}."
        )
    caution = found.fit.caution
    return f"{lead} {caution[:1].upper()}{caution[1:]}." if caution else lead
