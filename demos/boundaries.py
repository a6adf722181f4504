"""Boundaries: what each mode of the dictionary does at the border of a picture.

Crops of all bundled photographs are coded four times with the same atoms at the same lmbda. "full"
keeps atoms inside, so few of them can explain the outermost pixels; "circular" lets them go on at
the opposite side, where the picture is another; "same" cuts them at a border they may only half
leave; "valid" lets them leave as far as they like, and what is outside is simply not seen. The
yardstick is a fifth run that sees more than the crop: the error it leaves inside the crop is what
the border did not touch.

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


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.boundaries", description=__doc__)
    parser.add_argument("--side", type=integer(16), default=96, help="of the crop in pixels (96)")
    parser.add_argument("--atoms", type=integer(1), default=64, help="how many (64)")
    parser.add_argument(
        "--atom", type=integer(2), default=12, help="side of an atom in pixels (12)"
    )
    parser.add_argument("--fraction", type=number(0, 1), default=0.05, help="of lmbda_max (0.05)")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    require_at_most(parser, args, "atom", args.side // 2, "half the side of the crop")
    most = shortest_side() - 4 * args.atom  # margins that are seen, on both sides, of two atoms
    require_at_most(parser, args, "side", most, "what all photographs hold beside two atoms a side")
    return args


def distance(side):
    """Of each pixel from the border."""
    across = np.minimum(np.arange(side), np.arange(side)[::-1])
    return np.minimum.outer(across, across)


def draw(x, errors, profiles, reach):
    figure = new_figure(15, 3.6)
    axes = figure.subplots(1, 6)
    axes[0].imshow(x, cmap="gray")
    axes[0].set_title("high-passed crop")
    top = max(np.quantile(e, 0.99) for e in errors.values())
    for ax, (mode, error) in zip(axes[1:5], errors.items(), strict=True):
        image = ax.imshow(error, cmap="cividis", vmin=0, vmax=top)
        ax.set_title(f"|x - D z|, {mode}")
    figure.colorbar(image, ax=axes[4], shrink=0.7)
    for ax in axes[:5]:
        ax.set_axis_off()
    for (mode, profile), style in zip(profiles.items(), ("-", "--", ":", "-."), strict=True):
        axes[5].plot(profile[:reach], style, label=mode)
    axes[5].set(xlabel="pixels from the border", ylabel="mean |error| over the untouched")
    axes[5].legend()
    return figure


def error(x, atoms, lmbda, mode):
    """The solution, and ``|x - D z|`` of each picture."""
    solution = csc.sparse_code(x[:, None], atoms, lmbda, mode=mode, tol=1e-4)
    return solution, abs(x - solution.reconstruction()[:, 0])


def main(argv=None):
    args = parse_arguments(argv)
    side, margin = args.side, 2 * args.atom
    n_photographs = len(csc.images.natural())
    wide = np.stack([high_pass(crop(side + 2 * margin, i), 3) for i in range(n_photographs)])
    x = np.ascontiguousarray(wide[:, margin:-margin, margin:-margin])
    atoms = learn_atoms(args.atoms, args.atom, 3)
    lmbda = args.fraction * csc.lmbda_max(x[:, None], csc.Dictionary(atoms, "circular"))
    untouched = error(wide, atoms, lmbda, "valid")[1][:, margin:-margin, margin:-margin]
    errors, profiles, numbers, away = {}, {}, {}, distance(side)
    for mode in MODES:
        solution, all_errors = error(x, atoms, lmbda, mode)
        errors[mode] = all_errors[1]
        rings = [away == d for d in range(side // 2)]
        profiles[mode] = [float(all_errors[:, r].mean() / untouched[:, r].mean()) for r in rings]
        numbers[mode] = {
            "objective": solution.objective,
            "relative_gap": solution.relative_gap,
            "nonzero": len(solution.z.values),
            "error_profile": profiles[mode],
        }
        print(f"{mode:9} non-zero codes {len(solution.z.values):6}  error over the untouched one: "
              f"at the border {profiles[mode][0]:.2f}, in the middle "
              f"{profiles[mode][-1]:.2f}")  # fmt: skip
    save_results(draw(x[1], errors, profiles, margin), numbers, args.out, "boundaries")
    return numbers


if __name__ == "__main__":
    main()
