"""What `demos.cnn_first_layer` says of its numbers: one table, and sentences."""

MEASURES = {  # of each set, in the table
    "Gabor-like": "Gabor-like",
    "mostly chromatic": "chromatic",
    "low-pass": "low-pass",
    "cut by the border": "cut off",
    "orientation coverage": "orient.",
    "phase coverage": "phases",
    "n_x, median": "n_x",
    "n_y, median": "n_y",
}


def tabled(described, beside, cnn):
    """One line a set; in brackets what its phase-scrambled null gives."""
    head = ["", *MEASURES.values(), f"pairs with {cnn.name}", "overlap of spans"]
    rows = [head, ["", *(["(null)"] + [""] * (len(MEASURES) - 1)), "(null)", "(null)"]]
    for one in described:
        cells = [one.measures[name] for name in MEASURES]
        row = [one.name, f"{cells[0].atoms.value:.2f} ({cells[0].phase.value:.2f})"]
        row += [_number(cell.atoms.value) for cell in cells[1:]]
        found = beside.get(one.name)
        for pair in () if found is None else (found.matching, found.overlap.overlap):
            row.append(f"{pair.atoms.value:.2f} ({pair.phase.value:.2f})")
        rows.append(row + [""] * (len(head) - len(row)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def said(described, beside, cnn):
    """What is alike and what is not, as far as the intervals carry."""
    sentences = [f"{one.name}: {one.fit.caution}." for one in described if one.fit.caution]
    for name, found in beside.items():
        alike, unlike = [], []
        for quantity, (value, (_, high)) in found.distances.items():
            if value.value == value.value:  # not NaN: both have Gabor-like filters
                (unlike if value.value > high else alike).append(quantity)
        sentences.append(
            f"{name} beside {cnn.name}: no further apart than chance in {_listed(alike)}; "
            f"further in {_listed(unlike)}."
        )
    sentences.append(
        _of_all(described, "mostly chromatic", "Colour filters (most energy in chroma)")
    )
    sentences.append(_of_all(described, "low-pass", "Low-pass among Gabor-like"))
    sentences.append(_of_all(described, "cut by the border", "Cut by their border"))
    sentences.append(_of_all(described, "blobs (n_x, n_y < 0.3)", "Blobs"))
    return sentences


def _of_all(described, name, title):
    parts = []
    for one in described:
        value, low, high = one.measures[name].atoms
        if value == value:  # not NaN
            parts.append(f"{one.name} {value:.0%} [{low:.0%}, {high:.0%}]")
    return f"{title}: {'; '.join(parts)}."


def _number(value):
    return "-" if value != value else f"{value:.2f}"


def _listed(names):
    return ", ".join(names) or "nothing"
