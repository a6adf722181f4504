"""Convolutional learning compared with patches: counts of the kinds of filters.

Atoms learned from patches represent the position of a structure as well as its shape: many atoms
are shifted copies of one edge. Convolutional codes represent the position, so that the atoms can have
different shapes [1]: centre-surround fields, corners and crossings, gratings, and edges. Two
sets of equal size are learned from the same whitened photographs; all atoms, and those of
band-pass noise, are classified by the same rules.

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
# Rules of `classify`; all but the cycles are fractions.
MIN_ORIENTEDNESS = 0.5
MIN_GRATING_CYCLES = 0.4  # per standard deviation of the envelope
MIN_ROTATIONAL_ENERGY = 0.5
MIN_CENTRAL_ENERGY = 0.6
MAX_MEAN_ENERGY = 0.2
MIN_DUPLICATE_COSINE = 0.8


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.learn_conv", description=__doc__)
    parser.add_argument(
        "--atoms", type=integer(1), default=64, help="number of atoms of each set (64)"
    )
    parser.add_argument("--side", type=integer(3), default=9, help="side of an atom in pixels (9)")
    parser.add_argument(
        "--window",
        type=integer(1),
        default=160,
        help="side of the training windows in pixels (160)",
    )
    parser.add_argument(
        "--passes", type=integer(1), default=40, help="passes over the windows (40)"
    )
    parser.add_argument(
        "--lmbda", type=number(0), default=0.7, help="lambda, weight of the penalty (0.7)"
    )
    parser.add_argument("--seed", type=integer(0, 2**32 - 1), default=0, help="random seed (0)")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    require_at_most(parser, args, "window", shortest_side(), "the shortest side of a photograph")
    require_at_most(parser, args, "side", args.window, "the side of the window")
    return args


def learn(whitened, args):
    """Learn a convolutional set from the centres of the photographs, and a set from patches."""
    shape = args.side, args.side
    options = {"lmbda": args.lmbda, "tol": 0, "random_state": args.seed}
    n, windows = args.window, []
    for picture in whitened:
        top, left = ((m - n) // 2 for m in picture.shape)
        windows.append(picture[None, top : top + n, left : left + n])
    images = csc.DictionaryLearning(
        args.atoms, shape, max_iter=args.passes, recentre_every=5, **options
    )
    X = csc.images.extract_patches(whitened, shape, n=N_PATCHES, border=4, rng=args.seed)
    patches = csc.DictionaryLearning(args.atoms, shape, max_iter=8, **options)
    sets = {}
    for name, learner, data in (("images", images, windows), ("patches", patches, X)):
        start = perf_counter()
        sets[name] = learner.fit(data).atoms_
        print(f"{name}: {args.atoms} atoms in {perf_counter() - start:.0f} s")
    return sets


def orientedness(atoms):
    """Return the anisotropy of the gradient energy: 1 for bars, 0 for round spots."""
    power = abs(np.fft.rfft2(atoms[:, 0].astype("float64"), s=(64, 64))) ** 2
    power[..., 1:-1] *= 2  # the half-plane that rfft2 leaves out
    y, x = np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)[None]
    xx, yy, xy = ((power * w).sum(axis=(1, 2)) for w in (x * x, y * y, x * y * (x < 0.5)))
    return np.hypot(xx - yy, 2 * xy) / np.maximum(xx + yy, 1e-300)


def energy_fractions(atoms):
    """Return the energy of the means over circles, near the centre, and of the mean of each atom.

    All as fractions of the energy of the atom; the centre is the centroid of the energy.
    """
    h, w = atoms.shape[2:]
    rows, columns = np.mgrid[:h, :w]
    fractions = []
    for atom in atoms[:, 0].astype("float64"):
        energy = atom**2 / max((atom**2).sum(), 1e-300)
        distance = np.hypot(rows - (energy * rows).sum(), columns - (energy * columns).sum())
        ring = np.rint(distance).astype(int).ravel()
        means = np.bincount(ring, atom.ravel()) / np.maximum(np.bincount(ring), 1)
        rotational = (means[ring] ** 2).sum() / max((atom**2).sum(), 1e-300)
        mean = atom.sum() ** 2 / max(atom.size * (atom**2).sum(), 1e-300)
        fractions.append((rotational, energy[distance <= min(h, w) / 3].sum(), mean))
    return np.array(fractions).T


def classify(atoms):
    """Return the kind of each atom, and the R2 of its Gabor fit.

    Edges and gratings are fitted by a Gabor function and have one orientation; a grating has more
    cycles in its envelope. Centre-surround fields are constant on circles, with mean near zero.
    Corners, crossings and spots have several orientations, near their centre. The rest, curves and
    textures, is "other".
    """
    fit, oriented = fit_gabor(atoms), orientedness(atoms)
    rotational, central, mean = energy_fractions(atoms)
    wave = fit.gabor_like & (oriented >= MIN_ORIENTEDNESS)
    spot = (rotational >= MIN_ROTATIONAL_ENERGY) & (mean < MAX_MEAN_ENERGY)
    several = (oriented < MIN_ORIENTEDNESS) & (central >= MIN_CENTRAL_ENERGY)
    corner = several & (mean < MAX_MEAN_ENERGY)
    rules = [wave & (fit.n_x < MIN_GRATING_CYCLES), wave, spot, corner]
    return np.select(rules, KINDS[:4], KINDS[4]), fit.r2


def duplicate_fraction(atoms):
    """Return the fraction of atoms that another atom matches, up to a shift and the sign."""
    unit = csc.constraints.UnitSphere().project(atoms.astype("float64"))
    cosines = abs(csc.Dictionary(unit).gram()).max(axis=(2, 3))
    np.fill_diagonal(cosines, 0)
    return float((cosines.max(axis=1) > MIN_DUPLICATE_COSINE).mean())


def draw(sets, kinds):
    figure = new_figure(13, 5)
    axes = figure.subplots(1, 3)
    for ax, name in zip(axes, ("patches", "images"), strict=False):
        order = np.argsort([KINDS.index(kind) for kind in kinds[name]], kind="stable")
        csc.plot.dictionary(sets[name][order], ax)
        ax.set_title(f"from {name}, by kind")
    for i, (name, found) in enumerate(kinds.items()):
        fractions = [np.mean(found == kind) for kind in KINDS]
        axes[2].barh(np.arange(len(KINDS)) + 0.27 * (i - 1), fractions, 0.25, label=name)
    axes[2].set_yticks(range(len(KINDS)), KINDS)
    axes[2].invert_yaxis()
    axes[2].set(xlabel="fraction of the atoms")
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
    found = {name: classify(atoms) for name, atoms in sets.items()}
    kinds = {name: kind for name, (kind, _) in found.items()}
    results = {
        name: {kind: int((kinds[name] == kind).sum()) for kind in KINDS}
        | {"median_r2": float(np.median(r2)), "fraction_duplicate": duplicate_fraction(sets[name])}
        for name, (_, r2) in found.items()
    }
    print(*results.items(), sep="\n")
    save_results(draw(sets, kinds), results, args.out, "learn_conv")
    return results


if __name__ == "__main__":
    main()
