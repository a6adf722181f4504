"""V1 in depth: size tuning, complex cells, a topographic map, motion, sparseness, with controls.

Writes ``v1_in_depth.png`` and ``v1_in_depth.json``.
"""

import argparse
import sys
from pathlib import Path
from time import process_time

import numpy as np

import csc
from demos._arguments import integer, output_folder
from demos._figures import new_figure, save_results
from demos.v1_in_depth import complex_cells, size, space_time, sparseness, topography

PARTS = ("size", "complex", "topography", "motion", "sparseness")


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.v1_in_depth", description=__doc__)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="parts (all)")
    parser.add_argument("--frames", metavar="FOLDER", help="pictures of a video, by name")
    parser.add_argument("--seed", type=integer(0, 2**32 - 1), default=0, help="random seed (0)")
    parser.add_argument("--quick", action="store_true", help="few patches: only to try the demo")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    return parser.parse_args(argv)


def run_part(name, args):
    """Results of one part and what to draw, or None if it has no input."""
    if name == "size":
        return size.run(args.seed, args.quick)
    if name == "complex":
        return complex_cells.run(args.seed, args.quick)
    if name == "topography":
        return topography.run(args.seed, args.quick)
    if name == "sparseness":
        atoms = size.learn(args.seed, *((2_000, 1) if args.quick else ()))
        return sparseness.run(atoms, size.LMBDA, args.seed), None
    try:
        frames = space_time.read_frames(args.frames)
    except (OSError, ValueError) as error:  # the message says what is wrong and how to fix it
        sys.exit(str(error))
    if frames is None:
        print("motion: give --frames FOLDER, or pip install 'mlcsc[video]'")
        return None
    return space_time.run(args.seed, frames, args.quick)


def draw_tuning(ax, curves, title):
    """Mean tuning curves of codes and of linear responses, each relative to its maximum."""
    for responses, label in zip(curves, ("codes", "linear"), strict=True):
        top = responses.max(axis=1, keepdims=True)
        ax.plot(size.RADII, (responses / np.where(top > 0, top, 1)).mean(axis=0), label=label)
    ax.set(
        title=title, xlabel="radius or half length (pixels)", ylabel="mean response", ylim=(0, 1)
    )
    ax.legend()


def draw(drawn):
    """One row of pictures: tuning curves, groups, the map, space-time fields at their middle row."""
    figure = new_figure(13, 8)
    axes = iter(figure.subplots(2, 3).ravel())
    for name, title in (("size", "discs"), ("length", "bars")):
        curves = (drawn.get("size") or {}).get(name)
        if curves is not None:
            draw_tuning(next(axes), curves, f"gratings in {title}")
    atoms = drawn.get("complex")
    if atoms is not None:
        csc.plot.dictionary(atoms[: 16 * complex_cells.GROUP_SIZE], next(axes), n_columns=8)
    if drawn.get("topography") is not None:
        ax = next(axes)
        csc.plot.dictionary(drawn["topography"], ax, n_columns=topography.GRID[1])
        ax.set_title("topographic map")
    if drawn.get("motion") is not None:
        ax, fields = next(axes), drawn["motion"]
        csc.plot.dictionary(fields[:64, :, :, fields.shape[3] // 2], ax)
        ax.set_title("space-time fields: time runs down, space to the right")
    for ax in axes:
        ax.set_axis_off()
    return figure


def main(argv=None):
    args = parse_arguments(argv)
    results, drawn = {"seed": args.seed, "cpu_seconds": {}}, {}
    for name in args.only:
        start = process_time()
        found = run_part(name, args)
        if found is not None:
            results[name], drawn[name] = found
            results["cpu_seconds"][name] = process_time() - start
            print(name, results[name])
    save_results(draw(drawn), results, args.out, "v1_in_depth")
    return results


if __name__ == "__main__":
    main()
