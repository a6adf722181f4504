"""Convolutional learning beside patches: the kinds of filters, counted.

Atoms learned from patches must say where a thing lies as well as what it is: the set spends itself
on copies of one edge at many places. Convolutional codes say where, so that atoms are free to be
different things [1]: centre-surround fields, corners and crossings, gratings, besides edges. Two
sets of equal size are learned from the same whitened photographs, one from each; every atom is
told by rules that are the same for both, and for noise.

1. K. Kavukcuoglu and others, "Learning convolutional feature hierarchies for visual recognition",
   NIPS 2010.

Writes ``learn_conv.png`` and ``learn_conv.json``.
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np

import csc
from csc.receptive_fields import band_pass_noise, fit_gabor, frequency_band
from demos._common import write

KINDS = ("edge", "grating", "centre-surround", "corner", "other")
ORIENTED, CYCLES, ROUND, TWINS = 0.5, 0.4, 0.5, 0.8


def options(arguments):
    parser = argparse.ArgumentParser(prog="python -m demos.learn_conv", description=__doc__)
    parser.add_argument("--atoms", type=int, default=100, help="of each set (100)")
    parser.add_argument("--side", type=int, default=12, help="of an atom in pixels (12)")
    parser.add_argument("--window", type=int, default=96, help="side of what a step sees (96)")
    parser.add_argument("--passes", type=int, default=40, help="over the photographs (40)")
    parser.add_argument("--lmbda", type=float, default=0.5, help="strength of the penalty (0.5)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder to write to (out)")
    return parser.parse_args(arguments)


def learn(whitened, choices):
    """One set from windows of the photographs, one from as many pixels in patches."""
    shape, side = (choices.side, choices.side), choices.window
    common = {"lmbda": choices.lmbda, "tol": 0, "random_state": choices.seed}
    signals = [picture[None] for picture in whitened]
    convolutional = csc.DictionaryLearning(
        choices.atoms, shape, batch_size=1, crop=(side, side), max_iter=choices.passes,
        recentre_every=20, **common,
    )  # fmt: skip
    X = csc.images.extract_patches(whitened, shape, n=50_000, border=4, rng=choices.seed)
    patches = csc.DictionaryLearning(choices.atoms, shape, max_iter=8, **common)
    sets = {}
    for name, learner, data in (("images", convolutional, signals), ("patches", patches, X)):
        began = perf_counter()
        sets[name] = learner.fit(data).atoms_
        print(f"{name}: {choices.atoms} atoms in {perf_counter() - began:.0f} s")
    return sets


def orientedness(atoms):
    """How much of the gradients' energy has one orientation: 1 for bars, 0 for round spots."""
    power = abs(np.fft.rfft2(atoms[:, 0].astype("float64"), s=(64, 64))) ** 2
    power[..., 1:-1] *= 2  # the half-plane that rfft2 leaves out
    y, x = np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)[None]
    xx, yy, xy = ((power * w).sum(axis=(1, 2)) for w in (x * x, y * y, x * y * (x < 0.5)))
    return np.hypot(xx - yy, 2 * xy) / np.maximum(xx + yy, 1e-300)


def roundness(atoms):
    """Part of an atom's energy that its mean over circles about its centre explains."""
    h, w = atoms.shape[2:]
    energy = (atoms[:, 0].astype("float64")) ** 2
    rows, columns = np.mgrid[:h, :w]
    parts = np.empty(len(atoms))
    for k, (atom, e) in enumerate(zip(atoms[:, 0], energy, strict=True)):
        r, c = (float((e * axis).sum() / max(e.sum(), 1e-300)) for axis in (rows, columns))
        ring = np.rint(np.hypot(rows - r, columns - c)).astype(int).ravel()
        means = np.bincount(ring, atom.ravel()) / np.maximum(np.bincount(ring), 1)
        parts[k] = (means[ring] ** 2).sum() / max(e.sum(), 1e-300)
    return parts


def sort_out(atoms):
    """Kind of each atom, and how well a Gabor function fits it."""
    fit, oriented, circular = fit_gabor(atoms), orientedness(atoms), roundness(atoms)
    wave = fit.gabor_like & (oriented >= ORIENTED)
    rules = [wave & (fit.n_x < CYCLES), wave, circular >= ROUND, oriented < ORIENTED]
    return np.select(rules, KINDS[:4], KINDS[4]), fit.r2


def twins(atoms):
    """Part of the atoms that have a shifted double among the others."""
    unit = csc.UnitSphere().project(atoms.astype("float64"))
    cosines = abs(csc.Dictionary(unit).gram()).max(axis=(2, 3))
    np.fill_diagonal(cosines, 0)
    return float((cosines.max(axis=1) > TWINS).mean())


def draw(sets, kinds):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5), layout="constrained")
    axes = figure.subplots(1, 3)
    for ax, name in zip(axes, ("patches", "images"), strict=False):
        order = np.argsort([KINDS.index(kind) for kind in kinds[name]], kind="stable")
        csc.plot.dictionary(sets[name][order], ax)
        ax.set_title(f"from {name}, by kind")
    for i, (name, found) in enumerate(kinds.items()):
        shares = [np.mean(found == kind) for kind in KINDS]
        axes[2].barh(np.arange(len(KINDS)) + 0.27 * (i - 1), shares, 0.25, label=name)
    axes[2].set_yticks(range(len(KINDS)), KINDS)
    axes[2].invert_yaxis()
    axes[2].set(xlabel="part of the atoms")
    axes[2].legend()
    return figure


def main(arguments=None):
    choices = options(arguments)
    photographs = csc.images.natural()
    whitened = [csc.images.whiten(p.pixels, f0=0.4, variance=0.1) for p in photographs]
    sets = learn(whitened, choices)
    low, high = frequency_band(sets["images"])
    shape = (1, choices.side, choices.side)
    sets["noise"] = band_pass_noise(choices.atoms, shape, choices.seed, low=low, high=high)
    found = {name: sort_out(atoms) for name, atoms in sets.items()}
    kinds = {name: kind for name, (kind, _) in found.items()}
    numbers = {
        name: {kind: int((kinds[name] == kind).sum()) for kind in KINDS}
        | {"median_r2": float(np.median(r2)), "with_a_shifted_double": twins(sets[name])}
        for name, (_, r2) in found.items()
    }
    for name, row in numbers.items():
        print(name, row)
    write(draw(sets, kinds), numbers, choices.out, "learn_conv")
    return numbers


if __name__ == "__main__":
    main()
