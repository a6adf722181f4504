"""Convolutional learning beside patches: the kinds of filters, counted.

Atoms learned from patches must say where a thing lies as well as what it is: the set spends itself
on copies of one edge at many places. Convolutional codes say where, so that atoms are free to be
different things [1]: centre-surround fields, corners and crossings, gratings, besides edges. Two
sets of equal size are learned from the same whitened photographs, one from each; every atom is
told by rules that are the same for both, and for noise.

1. K. Kavukcuoglu et al., "Learning convolutional feature hierarchies", NIPS 2010.

Writes ``learn_conv.png`` and ``learn_conv.json``.
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np

import csc
from csc.analysis.receptive_fields import band_pass_noise, fit_gabor, frequency_band
from demos._arguments import integer, number, output_folder, require_at_most, shortest_side
from demos._figures import new_figure, save_results

KINDS = ("edge", "grating", "centre-surround", "corner", "other")
N_PATCHES = 50_000
ORIENTED, CYCLES, ROUND, COMPACT, MEAN, TWINS = 0.5, 0.4, 0.5, 0.6, 0.2, 0.8  # see `sort_out`


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.learn_conv", description=__doc__)
    parser.add_argument("--atoms", type=integer(1), default=64, help="of each set (64)")
    parser.add_argument("--side", type=integer(3), default=9, help="of an atom in pixels (9)")
    parser.add_argument(
        "--window", type=integer(1), default=160, help="side, of each photograph (160)"
    )
    parser.add_argument("--passes", type=integer(1), default=40, help="over the photographs (40)")
    parser.add_argument(
        "--lmbda", type=number(0), default=0.7, help="strength of the penalty (0.7)"
    )
    parser.add_argument("--seed", type=integer(0, 2**32 - 1), default=0)
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    require_at_most(parser, args, "window", shortest_side(), "what all photographs hold")
    require_at_most(parser, args, "side", args.window, "the side of the window")
    return args


def learn(whitened, args):
    """One set from the middles of the photographs, one from patches of them."""
    shape = args.side, args.side
    common = {"lmbda": args.lmbda, "tol": 0, "random_state": args.seed}
    n = args.window
    corners = [(a, *((m - n) // 2 for m in a.shape)) for a in whitened]
    middles = [a[None, h : h + n, w : w + n] for a, h, w in corners]
    images = csc.DictionaryLearning(
        args.atoms, shape, max_iter=args.passes, recentre_every=5, **common
    )
    X = csc.images.extract_patches(whitened, shape, n=N_PATCHES, border=4, rng=args.seed)
    patches = csc.DictionaryLearning(args.atoms, shape, max_iter=8, **common)
    sets = {}
    for name, learner, data in (("images", images, middles), ("patches", patches, X)):
        start = perf_counter()
        sets[name] = learner.fit(data).atoms_
        print(f"{name}: {args.atoms} atoms in {perf_counter() - start:.0f} s")
    return sets


def orientedness(atoms):
    """How much of the gradients' energy has one orientation: 1 for bars, 0 for round spots."""
    power = abs(np.fft.rfft2(atoms[:, 0].astype("float64"), s=(64, 64))) ** 2
    power[..., 1:-1] *= 2  # the half-plane that rfft2 leaves out
    y, x = np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)[None]
    xx, yy, xy = ((power * w).sum(axis=(1, 2)) for w in (x * x, y * y, x * y * (x < 0.5)))
    return np.hypot(xx - yy, 2 * xy) / np.maximum(xx + yy, 1e-300)


def about_centre(atoms):
    """Parts of the energy: of means over circles about the centre, near it, and of the mean."""
    h, w = atoms.shape[2:]
    rows, columns = np.mgrid[:h, :w]
    parts = []
    for atom in atoms[:, 0].astype("float64"):
        energy = atom**2 / max((atom**2).sum(), 1e-300)
        distance = np.hypot(rows - (energy * rows).sum(), columns - (energy * columns).sum())
        ring = np.rint(distance).astype(int).ravel()
        means = np.bincount(ring, atom.ravel()) / np.maximum(np.bincount(ring), 1)
        round_part = (means[ring] ** 2).sum() / max((atom**2).sum(), 1e-300)
        mean_part = atom.sum() ** 2 / max(atom.size * (atom**2).sum(), 1e-300)
        parts.append((round_part, energy[distance <= min(h, w) / 3].sum(), mean_part))
    return np.array(parts).T


def sort_out(atoms):
    """Kind of each atom, and how well a Gabor function fits it.

    Edges and gratings fit, and have one orientation; a grating shows more cycles in its envelope.
    Centre and surround, of opposite signs, are means over circles. Corners, crossings and spots
    have several orientations, near their centre. The rest, curves and textures, is "other".
    """
    fit, oriented = fit_gabor(atoms), orientedness(atoms)
    circular, near, mean = about_centre(atoms)
    wave = fit.gabor_like & (oriented >= ORIENTED)
    spot = (circular >= ROUND) & (mean < MEAN)
    corner = (oriented < ORIENTED) & (near >= COMPACT) & (mean < MEAN)
    rules = [wave & (fit.n_x < CYCLES), wave, spot, corner]
    return np.select(rules, KINDS[:4], KINDS[4]), fit.r2


def twins(atoms):
    """Part of the atoms that have a shifted double among the others."""
    unit = csc.constraints.UnitSphere().project(atoms.astype("float64"))
    cosines = abs(csc.Dictionary(unit).gram()).max(axis=(2, 3))
    np.fill_diagonal(cosines, 0)
    return float((cosines.max(axis=1) > TWINS).mean())


def draw(sets, kinds):
    figure = new_figure(13, 5)
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


def main(argv=None):
    args = parse_arguments(argv)
    photographs = csc.images.natural()
    whitened = [csc.images.whiten(p.pixels, f0=0.4, variance=0.1) for p in photographs]
    sets = learn(whitened, args)
    low, high = frequency_band(sets["images"])
    shape = (1, args.side, args.side)
    sets["noise"] = band_pass_noise(args.atoms, shape, args.seed, low=low, high=high)
    found = {name: sort_out(atoms) for name, atoms in sets.items()}
    kinds = {name: kind for name, (kind, _) in found.items()}
    numbers = {
        name: {kind: int((kinds[name] == kind).sum()) for kind in KINDS}
        | {"median_r2": float(np.median(r2)), "with_a_shifted_double": twins(sets[name])}
        for name, (_, r2) in found.items()
    }
    print(*numbers.items(), sep="\n")
    save_results(draw(sets, kinds), numbers, args.out, "learn_conv")
    return numbers


if __name__ == "__main__":
    main()
