"""Boundaries: what each mode of the dictionary does at the border of a picture.

Crops of all bundled photographs are coded four times with the same atoms and the same lmbda. In mode
"full" atoms lie inside the crop, so few of them cover the outermost pixels; in "circular" they
continue at the opposite side, where the picture is different; in "same" they may extend over the
border by half their size, and in "valid" by all but one pixel; what lies outside is not compared
with data. The reference is a fifth run on a larger crop: its error inside the small crop is not
affected by the border.

Writes ``boundaries.png`` and ``boundaries.json``.
"""

import argparse
from pathlib import Path

import numpy as np

import csc
from csc.operators import MODES
from demos._arguments import integer, number, output_folder, require_at_most, shortest_side
from demos._figures import new_figure, save_results
from demos._photographs import crop, high_pass, learn_atoms

SHOWN = 1  # the photograph in the figure
HIGH_PASS_SIGMA = 3  # pixels


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.boundaries", description=__doc__)
    parser.add_argument(
        "--side", type=integer(16), default=96, help="side of the crop in pixels (96)"
    )
    parser.add_argument("--atoms", type=integer(1), default=64, help="number of atoms (64)")
    parser.add_argument(
        "--atom", type=integer(2), default=12, help="side of an atom in pixels (12)"
    )
    parser.add_argument(
        "--fraction",
        type=number(0, 1),
        default=0.05,
        help="lmbda as a fraction of lmbda_max (0.05)",
    )
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    require_at_most(parser, args, "atom", args.side // 2, "half the side of the crop")
    max_side = shortest_side() - 4 * args.atom  # the reference adds two atoms on each side
    require_at_most(
        parser, args, "side", max_side, "the shortest side of a photograph less four atoms"
    )
    return args


def distance_from_border(side):
    """Return the distance in pixels of each pixel from the border."""
    distance = np.minimum(np.arange(side), np.arange(side)[::-1])
    return np.minimum.outer(distance, distance)


def draw(x, errors, profiles, n_profile_pixels):
    figure = new_figure(15, 3.6)
    axes = figure.subplots(1, 6)
    axes[0].imshow(x, cmap="gray")
    axes[0].set_title("high-passed crop")
    brightest = max(np.quantile(e, 0.99) for e in errors.values())
    for ax, (mode, error) in zip(axes[1:5], errors.items(), strict=True):
        image = ax.imshow(error, cmap="cividis", vmin=0, vmax=brightest)
        ax.set_title(f"|x - D z|, {mode}")
    figure.colorbar(image, ax=axes[4], shrink=0.7)
    for ax in axes[:5]:
        ax.set_axis_off()
    for (mode, profile), style in zip(profiles.items(), ("-", "--", ":", "-."), strict=True):
        axes[5].plot(profile[:n_profile_pixels], style, label=mode)
    axes[5].set(xlabel="pixels from the border", ylabel="mean |error| / that of the reference")
    axes[5].legend()
    return figure


def code(x, atoms, lmbda, mode):
    """Return the solution, and ``|x - D z|`` of each picture."""
    solution = csc.sparse_code(x[:, None], atoms, lmbda, mode=mode, tol=1e-4)
    return solution, abs(x - solution.reconstruction()[:, 0])


def main(argv=None):
    args = parse_arguments(argv)
    side, margin = args.side, 2 * args.atom
    n_photographs = len(csc.images.natural())
    large = np.stack(
        [high_pass(crop(side + 2 * margin, i), HIGH_PASS_SIGMA) for i in range(n_photographs)]
    )
    x = np.ascontiguousarray(large[:, margin:-margin, margin:-margin])
    atoms = learn_atoms(args.atoms, args.atom, HIGH_PASS_SIGMA)
    lmbda = args.fraction * csc.lmbda_max(x[:, None], csc.Dictionary(atoms, "circular"))
    reference = code(large, atoms, lmbda, "valid")[1][:, margin:-margin, margin:-margin]
    errors, profiles, results = {}, {}, {}
    distance = distance_from_border(side)
    for mode in MODES:
        solution, all_errors = code(x, atoms, lmbda, mode)
        errors[mode] = all_errors[SHOWN]
        rings = [distance == d for d in range(side // 2)]
        profiles[mode] = [float(all_errors[:, r].mean() / reference[:, r].mean()) for r in rings]
        results[mode] = {
            "objective": solution.objective,
            "relative_gap": solution.relative_gap,
            "nonzero": len(solution.z.values),
            "error_profile": profiles[mode],
        }
        print(f"{mode:9} non-zero codes {len(solution.z.values):6}  error / that of the reference: "
              f"at the border {profiles[mode][0]:.2f}, in the middle "
              f"{profiles[mode][-1]:.2f}")  # fmt: skip
    save_results(draw(x[SHOWN], errors, profiles, margin), results, args.out, "boundaries")
    return results


if __name__ == "__main__":
    main()
