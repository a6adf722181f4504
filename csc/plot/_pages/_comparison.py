"""The page of comparisons of filter sets, such as learned atoms with the first layer of a CNN."""

from collections.abc import Mapping

import numpy as np

from csc._sprite import pictures_of, sprites
from csc.analysis import Comparison
from csc.analysis.receptive_fields import MACAQUE, MACAQUE_EDGES, unit_planes
from csc.plot._pages._document import Page, bytes_of, numbers
from csc.plot._pages._fits import columns_of, shapes_of, shown_atoms

SCRIPTS = ("sheet.js", "gabor.js", "plots.js", "comparison.js")


def comparisons_of(subject):
    """Pairs (name, comparison) if the subject is one, a list or a mapping of them; else None."""
    if isinstance(subject, Comparison):
        subject = [subject]
    if isinstance(subject, list | tuple):
        items = [(None, item) for item in subject]
    elif isinstance(subject, Mapping):
        items = list(subject.items())
    else:
        return None
    if not items or not all(isinstance(item, Comparison) for _, item in items):
        return None
    return [
        (f"{item.a.name} and {item.b.name}" if name is None else str(name), item)
        for name, item in items
    ]


def page_of_comparisons(comparisons, title):
    """`Page` of comparisons, pairs (name, comparison)."""
    sets = []
    for _, comparison in comparisons:
        for described in (comparison.a, comparison.b):
            if not any(described is known for known in sets):
                sets.append(described)
    sheets = {f"set{i}": sheet_of(described) for i, described in enumerate(sets)}
    place = {id(described): i for i, described in enumerate(sets)}
    data = {
        "kind": "comparison",
        "sets": [data_of(described) for described in sets],
        "macaque": {"counts": MACAQUE.tolist(), "edges": numbers(MACAQUE_EDGES)},
        "comparisons": [
            {
                "name": name,
                "a": place[id(comparison.a)],
                "b": place[id(comparison.b)],
                **pairs_of(comparison.pairs),
                "distances": distances_of(comparison.distances),
                "overlaps": overlaps_of(comparison),
            }
            for name, comparison in comparisons
        ],
    }
    _, first = comparisons[0]
    if title is None:
        title = f"{first.a.name} compared with {first.b.name}"
        if len(comparisons) > 1:
            title = f"{len(comparisons)} comparisons of filters"
    return Page(title, lead_of(comparisons), data, SCRIPTS, sheets)


def sheet_of(described):
    """The filters of a set as pictures, in the order of the set."""
    atoms = described.atoms[:, ::-1] if described.order == "BGR" else described.atoms
    return sprites(pictures_of(shown_atoms(atoms)))


def data_of(described):
    """What the page holds of one set of filters."""
    planes, norms, _ = unit_planes(described.atoms)
    return {
        "name": described.name,
        "title": described.title(),
        "caution": described.fit.caution,
        "n": len(described),
        "planes": {"size": planes.shape[1:], "bytes": bytes_of(planes)},
        "fit": columns_of(described.fit, planes, norms),
        "phase": shapes_of(described.fit_phase),
        "measures": {
            name: {kind: numbers(value) for kind, value in values._asdict().items()}
            for name, values in described.measures.items()
        },
    }


def pairs_of(match):
    """Partners with their signs, scores and shifts; of filters without a partner nothing."""
    paired = np.flatnonzero(match.indices >= 0)
    return {
        "pairs": {
            "a": paired.tolist(),
            "b": match.indices[paired].tolist(),
            "signs": match.signs[paired].astype(int).tolist(),
            "scores": numbers(match.scores[paired]),
            "shifts": match.shifts[paired].tolist(),
        }
    }


def distances_of(distances):
    """Distance, interval and interval by chance of each quantity."""
    return [
        {"name": name, "value": numbers(found.value), "interval": numbers([found.low, found.high]),
         "chance": numbers(chance)}
        for name, (found, chance) in distances.items()
    ]  # fmt: skip


def overlaps_of(comparison):
    """Mean score of the pairs and overlap of the spans, each with the null models of b."""
    m, n, space = comparison.overlap.dimensions
    rows = {
        "mean score of the best pairs": comparison.matching,
        f"overlap of the spans, {m} and {n} of {space} dimensions": comparison.overlap.overlap,
    }
    return [
        {"name": name, **{kind: numbers(value) for kind, value in values._asdict().items()}}
        for name, values in rows.items()
    ]


def lead_of(comparisons):
    """The mean score of the best pairs of each comparison, and that of its null models."""
    found = []
    for name, comparison in comparisons:
        score = comparison.matching
        chance = max(score.phase.value, score.noise.value)
        found.append(f"{name} {score.atoms.value:.2f} ({chance:.2f})")
    return (
        "Mean scores of the best pairs, in brackets the larger one of two null models: "
        f"{'; '.join(found)}. A score is the cosine of two filters at the best sign and shift."
    )
