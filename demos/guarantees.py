"""Where the theory of sparse coding bites, and where it says nothing.

For random dictionaries, and for atoms learned from photographs, in convolution and as patches: the
mutual coherence, the least one that such a dictionary can have (Welch), and below how many codes
that meet in a stripe the theorems of `csc.theory` hold. A limit of 2 or less allows single
atoms without a neighbour. Then the codes of a photograph on the learned atoms: their stripe norm.

Writes ``theory.png`` and ``theory.json``.
"""

import argparse
from pathlib import Path

import numpy as np

import csc
from csc import theory
from demos._arguments import integer, output_folder, require_at_most, shortest_side
from demos._figures import new_figure, save_results
from demos._photographs import crop, high_pass, learn_atoms


def dictionaries(rng):
    """Names and dictionaries, those of least coherence first."""

    def random(*shape, stride=1):
        atoms = csc.constraints.UnitSphere().project(rng.standard_normal(shape))
        return csc.Dictionary(atoms, stride=stride)

    learned = learn_atoms(64, 8, 3.0).astype("float64")
    return {
        "random, 5 of 256 channels x 4": random(5, 256, 4),
        "random, 2 of 1024 samples": random(2, 1, 1024),
        "random, 2 of 64 samples": random(2, 1, 64),
        "random, 64 of 8x8, stride 4": random(64, 1, 8, 8, stride=4),
        "random, 64 of 8x8": random(64, 1, 8, 8),
        "learned, 64 of 8x8, patches": csc.Dictionary(learned, stride=8),
        "learned, 64 of 8x8": csc.Dictionary(learned),
    }


def limits(D):
    """Coherence, and what it allows."""
    mu = theory.mutual_coherence(D)
    least = theory.welch_bound(D.n_atoms, D.extents, D.atoms.shape[1], D.stride)
    return {
        "coherence": mu, "welch_bound": least,
        "uniqueness": theory.uniqueness(mu, 1).limit,
        "basis_pursuit": theory.basis_pursuit_stability(mu, 1, 0.0).limit,
    }  # fmt: skip


def draw(rows):
    figure = new_figure(8, 4)
    axes, names = figure.subplots(), list(rows)
    for shift, kind in ((-0.2, "uniqueness"), (0.2, "basis_pursuit")):
        values = [rows[name][kind] for name in names]
        axes.barh(np.arange(len(names)) + shift, values, 0.4, label=kind.replace("_", " "))
    axes.axvline(2, color="0.4", ls="--", label="below: single atoms only")
    axes.set(xlabel="codes in a stripe must be fewer than", yticks=range(len(names)))
    axes.set_yticklabels([f"{name}  ({rows[name]['coherence']:.2f})" for name in names])
    axes.invert_yaxis()
    axes.legend()
    return figure


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m demos.guarantees", description=__doc__)
    parser.add_argument("--side", type=integer(8), default=128, help="of the photograph (128)")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    require_at_most(parser, args, "side", shortest_side(0), "what the photograph holds")
    found = dictionaries(np.random.default_rng(0))
    rows = {name: limits(D) for name, D in found.items()}
    for name, row in rows.items():
        print(name.ljust(30), "  ".join(f"{key} {value:.3f}" for key, value in row.items()))
    D, stripes = found["learned, 64 of 8x8"], {}
    x = high_pass(crop(args.side).astype("float64"), 3.0)[None, None]
    for fraction in (0.5, 0.3, 0.1):
        z = csc.solve(csc.Problem(x, D, csc.L1(csc.Relative(fraction)))).codes
        stripes[fraction] = int(theory.stripe_norm(z, D)[0])
        print(f"a photograph at {fraction} lmbda_max: {stripes[fraction]} codes in a stripe")
    numbers = {"dictionaries": rows, "stripe_norm_of_a_photograph": stripes}
    save_results(draw(rows), numbers, args.out, "guarantees")
    return numbers


if __name__ == "__main__":
    main()
