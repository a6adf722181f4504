"""Guarantees: for which dictionaries the theorems of sparse coding apply, and for which they do not.

For random dictionaries and for atoms learned from photographs, convolutional and as patches: the
mutual coherence, its smallest possible value for such a dictionary (Welch bound), and the number of
non-zero codes in a stripe below which the theorems of `csc.theory` hold. A bound of 2 or less only
admits isolated atoms. Then the stripe norm of the codes of a photograph with the learned atoms.

Writes ``guarantees.png`` and ``guarantees.json``.
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
    """Return dictionaries by name, in the order of their coherence."""

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


def bounds(D):
    """Return the coherence, and the bounds that follow from it."""
    mu = theory.mutual_coherence(D)
    welch_bound = theory.welch_bound(D.n_atoms, D.atom_shape, D.atoms.shape[1], D.stride)
    return {
        "coherence": mu, "welch_bound": welch_bound,
        "uniqueness": theory.uniqueness(mu, 1).limit,
        "basis_pursuit": theory.basis_pursuit_stability(mu, 1, 0.0).limit,
    }  # fmt: skip


def draw(rows):
    figure = new_figure(8, 4)
    axes, names = figure.subplots(), list(rows)
    for shift, kind in ((-0.2, "uniqueness"), (0.2, "basis_pursuit")):
        values = [rows[name][kind] for name in names]
        axes.barh(np.arange(len(names)) + shift, values, 0.4, label=kind.replace("_", " "))
    axes.axvline(2, color="0.4", ls="--", label="below: isolated atoms only")
    axes.set(xlabel="upper bound on the non-zero codes in a stripe", yticks=range(len(names)))
    axes.set_yticklabels([f"{name}  ({rows[name]['coherence']:.2f})" for name in names])
    axes.invert_yaxis()
    axes.legend()
    return figure


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m demos.guarantees", description=__doc__)
    parser.add_argument(
        "--side", type=integer(8), default=128, help="side of the photograph in pixels (128)"
    )
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    require_at_most(parser, args, "side", shortest_side(0), "the shortest side of the photograph")
    named = dictionaries(np.random.default_rng(0))
    rows = {name: bounds(D) for name, D in named.items()}
    for name, row in rows.items():
        print(name.ljust(30), "  ".join(f"{key} {value:.3f}" for key, value in row.items()))
    D, stripe_norms = named["learned, 64 of 8x8"], {}
    x = high_pass(crop(args.side).astype("float64"), 3.0)[None, None]
    for fraction in (0.5, 0.3, 0.1):
        z = csc.solve(csc.Problem(x, D, csc.L1(csc.Relative(fraction)))).codes
        stripe_norms[fraction] = int(theory.stripe_norm(z, D)[0])
        print(
            f"a photograph at {fraction} lmbda_max: {stripe_norms[fraction]} non-zero codes in a stripe"
        )
    results = {"dictionaries": rows, "stripe_norm_of_a_photograph": stripe_norms}
    save_results(draw(rows), results, args.out, "guarantees")
    return results


if __name__ == "__main__":
    main()
