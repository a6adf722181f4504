"""`report`: a page in one file, for the kind of result that it is given."""

from pathlib import Path
from typing import Any

from csc._typing import Array, File
from csc.plot._pages._atoms import page_of_atoms
from csc.plot._pages._comparison import comparisons_of, page_of_comparisons
from csc.plot._pages._document import check_target, write
from csc.plot._pages._layers import layers_of, page_of_layers
from csc.plot._pages._restoration import page_of_restorations, restorations_of

OTHERS = (  # kinds of subjects but atoms: how they are recognised, and their page
    (comparisons_of, page_of_comparisons),
    (restorations_of, page_of_restorations),
    (layers_of, page_of_layers),
)


def report(
    subject: Any,
    path: File,
    *,
    title: str | None = None,
    analysis: Any = None,
    signals: Array | None = None,
    pictures: Array | None = None,
    snapshots: Any = None,
) -> Path:
    """Write a report that opens in a browser: one HTML file, which needs no network.

    Of atoms, the page shows a sheet that can be sorted and filtered; for each atom its Gabor fit,
    the residual, the spectrum, the most similar atoms and the patches that use it most; and the
    shapes of the receptive fields over those of macaque cells, with the null model and the distance
    between two samples of the macaque. Dragging in a plot selects atoms in all of them. For a
    learner there is the course of learning.

    Of comparisons (`csc.analysis.compare_filters`), the page shows the best pairs next to each other
    with their scores, and what the two sets share next to what they would share by chance.

    Of restorations (`Restoration`), it shows two pictures with a divider between them that can be
    moved, the PSNR of every method, and difference images.

    Of several layers, it shows the atoms of every depth as patterns in the picture. An atom opens
    into those of the layer before that make it, with their codes, and these open in turn.

    Parameters
    ----------
    subject : atoms, Comparison, Restoration, or layers
        Atoms of pictures: an array (K, C, h, w), a `Dictionary`, a fitted `DictionaryLearning` or
        `csc.learning.KSVD`, or what `csc.analysis.receptive_fields.analyse` returned;
        one comparison of filter sets, a list of them, or a dict of them by name; one restoration or
        a list of them; a `MultiLayerDictionary` or a fitted `MultiLayerDictionaryLearning`.
    path : str or path
        File to write. An existing file is replaced, as by other functions that save figures, and
        only when the new one is complete. The folder must exist.
    title : str, optional
        Title of the page.
    analysis : csc.analysis.receptive_fields.Report, optional
        What `csc.analysis.receptive_fields.analyse` returned for these atoms. By default it is
        called with ``rng=0``, which takes most of the time.
    signals : array (N, C, h, w), or list of arrays (C, H, W), optional
        Patches of the size of the atoms, or larger pictures, as a learner takes them: the ten
        patches with the largest codes are shown for each atom (fewer of many atoms, so that the
        file stays small), none of a picture within half an atom of another. Without a learner, the
        inner products with the atoms, scaled to unit norm, stand for the codes.
    pictures : array or list of arrays (1 or 3, H, W), optional
        What to show of each signal, for example the picture before whitening.
    snapshots : sequence of arrays (K, 1 or 3, h, w), optional
        The atoms as pictures after each pass of learning, for a slider over the passes. With
        ``learner.set_params(max_iter=n, warm_start=n > 1).fit(X)`` for n = 1, 2, ..., the atoms
        after every pass are those of one uninterrupted fit. Atoms that do not have one or three
        channels are shown as the last of the snapshots, for example by `csc.images.on_minus_off`,
        or without any as their first singular component over the channels.

    Returns
    -------
    path : pathlib.Path
        Of the file.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit the atoms, or if the file would exceed 5 MB.
    FileNotFoundError, IsADirectoryError, PermissionError
        If ``path`` cannot be written. All are checked before any work starts.

    Notes
    -----
    Text is escaped, and the page forbids the browser to fetch anything or to run any script but its
    own. Pixels of atoms have 8 bits in the page; the residual and the spectrum that it shows are
    computed from them.

    Examples
    --------
    >>> import tempfile, numpy as np, csc
    >>> atoms = np.random.default_rng(0).standard_normal((4, 1, 7, 7))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     csc.plot.report(atoms, f"{folder}/atoms.html").name
    'atoms.html'
    """
    path = check_target(path)
    if title is not None and not isinstance(title, str):
        raise TypeError(f"title must be a str, got {type(title).__name__}")
    of_atoms = {
        "analysis": analysis, "signals": signals, "pictures": pictures, "snapshots": snapshots,
    }  # fmt: skip
    for recognised, page_of in OTHERS:
        found = recognised(subject)
        if found is not None:
            given = [name for name, value in of_atoms.items() if value is not None]
            if given:
                raise TypeError(f"{', '.join(given)}: only for reports of one layer of atoms")
            return write(page_of(found, title), path)
    return write(page_of_atoms(subject, title, **of_atoms), path)
