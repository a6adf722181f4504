"""Coding an image: few codes explain a photograph, and a certificate bounds the error.

A high-passed photograph is coded by atoms learned from patches. The working-set solver reaches a
small certified relative duality gap in about a second; it is compared with FISTA, the standard
method. As lmbda decreases (`csc.lmbda_path`, each solve started from the last solution), there are
more non-zero codes and the residual is smaller.

Writes ``coding_image.png`` and ``coding_image.json``.
"""

import argparse
from pathlib import Path

import numpy as np

import csc
from demos._arguments import integer, number, output_folder, require_at_most, shortest_side
from demos._figures import new_figure, save_results
from demos._photographs import crop, high_pass, learn_atoms

PHOTOGRAPH = 1  # index of the bundled photograph
HIGH_PASS_SIGMA = 3  # pixels


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.coding_image", description=__doc__)
    parser.add_argument(
        "--side", type=integer(16), default=256, help="side of the crop in pixels (256)"
    )
    parser.add_argument("--atoms", type=integer(1), default=64, help="number of atoms (64)")
    parser.add_argument("--atom", type=integer(2), default=8, help="side of an atom in pixels (8)")
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
    require_at_most(
        parser, args, "side", shortest_side(PHOTOGRAPH), "the shortest side of the photograph"
    )
    require_at_most(parser, args, "atom", args.side // 2, "half the side of the crop")
    return args


def gap_curve(problem, solver, tol, max_iter=200):
    """Return seconds and relative gap at each check of a solve, and the solution."""
    csc.solve(problem, solver, tol=1, max_iter=1)  # compiles the kernels
    solution = csc.solve(problem, solver, tol=tol, max_iter=max_iter)
    return [(p.seconds, p.gap / p.objective) for p in solution.history], solution


def draw(x, solution, atoms, curves, path):
    figure = new_figure(14, 7.5)
    axes = figure.subplots(2, 3)
    max_abs_code = abs(solution.codes[0]).max(axis=0)
    pictures = {"high-passed photograph": x, "D z": solution.reconstruction()[0, 0]}
    for ax, (title, picture) in zip(axes[0], pictures.items(), strict=False):
        ax.imshow(picture, cmap="gray", vmin=x.min(), vmax=x.max())
        ax.set_title(title)
        ax.set_axis_off()
    axes[0, 2].imshow(max_abs_code > 0, cmap="gray_r", interpolation="nearest")
    axes[0, 2].set_title(f"positions of the {len(solution.z.values)} non-zero codes")
    axes[0, 2].set_axis_off()
    csc.plot.dictionary(atoms, axes[1, 0])
    for (name, curve), style in zip(curves.items(), ("o-", "s--"), strict=True):
        axes[1, 1].loglog(*zip(*curve, strict=True), style, label=name, markersize=4)
    axes[1, 1].set(xlabel="seconds", ylabel="certified relative gap")
    axes[1, 1].legend()
    axes[1, 2].loglog([p["nonzero"] for p in path], [p["relative_residual"] for p in path], "o-")
    axes[1, 2].set(xlabel="non-zero codes, for decreasing lmbda", ylabel="||x - D z|| / ||x||")
    return figure


def main(argv=None):
    args = parse_arguments(argv)
    x = high_pass(crop(args.side, PHOTOGRAPH), HIGH_PASS_SIGMA)
    atoms = learn_atoms(args.atoms, args.atom, HIGH_PASS_SIGMA)
    D = csc.Dictionary(atoms)
    problem = csc.Problem(x[None, None], D, csc.L1(csc.Relative(args.fraction)))
    curves, solutions = {}, {}
    solvers = {"working set": csc.solvers.WorkingSet(0.1), "FISTA": csc.solvers.FISTA()}
    for name, solver in solvers.items():
        curves[name], solutions[name] = gap_curve(problem, solver, 1e-5)
        seconds, gap = curves[name][-1]
        print(f"{name:12} relative gap {gap:.1e} after {seconds:.2f} s")
    ratio, path = args.fraction, []
    for s in csc.lmbda_path(x[None, None], D, 8, ratio=ratio, tol=1e-3)[1:]:
        residual = np.linalg.norm(s.problem.residual(s.z)) / np.linalg.norm(x)
        path.append({"lmbda": s.problem.penalty.lmbda, "nonzero": len(s.z.values),
                     "relative_residual": float(residual)})  # fmt: skip
    best = solutions["working set"]
    print(f"{len(best.z.values)} of {best.codes.size} codes are non-zero; "
          f"{x.size} pixels")  # fmt: skip
    results = {"curves": curves, "path": path, "nonzero": len(best.z.values), "pixels": x.size,
               "relative_gap": best.relative_gap}  # fmt: skip
    save_results(draw(x, best, atoms, curves, path), results, args.out, "coding_image")
    return results


if __name__ == "__main__":
    main()
