"""The numbers of a set of learned fields in the demos that compare sets, as JSON and as a table."""

import numpy as np

COLUMNS = "EMD to macaque | null | Gabor-like | null | of atoms | blobs | cut"
SHARES = ("gabor_share", "null_gabor_share", "gabor_share_of_atoms", "blob_share", "cut_share")


def shares(report):
    """Numbers of a report of `csc.analysis.receptive_fields.analyse`, with their nulls and floor."""
    macaque, summary = report.macaque, report.summary
    return {
        "n_atoms": summary.n_atoms,
        "emd_macaque": macaque.emd,
        "interval": list(macaque.interval),
        "emd_null": macaque.null,
        "emd_floor": macaque.floor,
        "gabor_share": summary.n_gabor_like / summary.n_atoms,
        "null_gabor_share": float(np.mean(report.null_phase.gabor_like)),
        "gabor_share_of_atoms": float(np.mean(report.learned.gabor_like)),
        "blob_share": summary.blob_corner,
        "cut_share": report.cut_share,
        "orientation_coverage": summary.orientation_coverage,
        "frequency_coverage": summary.frequency_coverage,
    }


def cells(found):
    """Cells of a Markdown table, in the order of `COLUMNS`."""
    low, high = found["interval"]
    return [
        f"{found['emd_macaque']:.2f} [{low:.2f}, {high:.2f}]",
        f"{found['emd_null']:.2f}",
        *(f"{found[name]:.0%}" for name in SHARES),
    ]
