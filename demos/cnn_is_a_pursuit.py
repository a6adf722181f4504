"""A CNN's forward pass is one step of a pursuit: its weights as a multi-layer dictionary.

A small network (three convolutions with ReLU, a linear head) learns to tell handwritten digits.
Its weights, read by `csc.interop.from_torch`, are a multi-layer dictionary D and thresholds beta, and its
forward pass is layered thresholding ``z = max(D^T x - beta, 0)`` [1]: one proximal-gradient step
from zero, of length 1, on the lasso of each layer

    minimise over z >= 0   1/2 ||x - D z||^2 + <beta, z>.

What if the pursuit goes on, with the same weights? Codes of t steps, and of the minimum with its
certificate, layer by layer (layered basis pursuit): how much of the layer below they explain, how
many are not zero, and how well they still tell the digits.

What the equality needs: no bias is above -0.01 (prices of codes must not be negative), and no
pooling, normalisation or skips. What does not hold: the weights were trained to classify after one
step, not to explain the picture. The more the pursuit explains, the less its codes are what the
head was trained on.

Writes ``cnn_is_a_pursuit.png`` and ``cnn_is_a_pursuit.json``.

[1] V. Papyan, Y. Romano, M. Elad, JMLR 18, 2017.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import csc
from demos._arguments import integer, output_folder, require_at_most
from demos._figures import new_figure, save_results
from demos._small_cnn import accuracy, balanced, digits, measure, refitted, trained

EXACT, TOL = "minimum", 1e-3  # relative gap


def parse_arguments(argv):
    parser = argparse.ArgumentParser("python -m demos.cnn_is_a_pursuit", description=__doc__)
    parser.add_argument("--epochs", type=integer(1), default=15, help="of the training (15)")
    parser.add_argument(
        "--steps", type=integer(1), nargs="+", default=[1, 2, 5, 20, 100], help="of ISTA"
    )
    parser.add_argument(
        "--digits", type=integer(100, 1797), default=1797, help="of the bundled (1797, all)"
    )
    parser.add_argument("--test", type=integer(1), default=397, help="of these held out (397)")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    left = args.digits - 50
    require_at_most(parser, args, "test", left, "to leave 50 digits to learn from")
    return args


def pursue(x, D, thresholds, steps):
    """Codes of all layers by ``steps`` steps of ISTA of length 1, or at the minimum."""
    codes, gaps = [], []
    for layer, beta in zip(D.layers, thresholds, strict=True):
        weights = beta.reshape(-1, *(1,) * (x.ndim - 2))
        lasso = csc.Problem(x, layer, csc.L1(1.0, weights=weights, positive=True))
        if steps == EXACT:
            solution = csc.solve(lasso, tol=TOL)
            x = solution.codes
            gaps.append(solution.relative_gap)
        else:
            x = lasso.zeros()
            for _ in range(steps):
                x = lasso.prox_grad(x, 1.0)
        codes.append(x)
    return codes, gaps


def draw(x, found, D, rows):
    """Codes of one digit after one step and at the minimum, effective atoms, and curves."""
    figure = new_figure(13, 9)
    axes = figure.subplots(3, 4)
    axes[0, 0].imshow(x[0, 0], cmap="gray")
    axes[0, 0].set(title="picture", xticks=[], yticks=[])
    for row, steps in zip(axes, (1, EXACT), strict=False):
        for i, (ax, z) in enumerate(zip(row[1:], found[steps], strict=True), 1):
            sheet = z[0][:, None] if z[0].size > len(z[0]) else z[0].reshape(1, 1, 8, -1)
            ax.imshow(csc.plot.montage(sheet, scale=np.full(len(sheet), z[0].max())), cmap="gray")
            title = f"codes of layer {i}, {'one step' if steps == 1 else EXACT}"
            ax.set(title=title, xticks=[], yticks=[])
    for i, ax in enumerate(axes[2, 1:], 1):
        csc.plot.dictionary(D.effective(i).atoms, ax)
        ax.set_title(f"atoms of depth {i}: {'x'.join(map(str, D.effective(i).extents))}")
    ticks = [str(row["steps"]) for row in rows]
    for i in range(len(D)):
        part = [row["layers"][i]["unexplained_below"] for row in rows]
        axes[1, 0].plot(ticks, part, "o-", label=f"layer {i + 1}")
    axes[1, 0].set(ylabel="unexplained part of the layer below", ylim=(0, 1))
    for name in ("accuracy", "accuracy_refitted"):
        axes[2, 0].plot(ticks, [row[name] for row in rows], "o-", label=name.replace("_", ", "))
    axes[2, 0].set(xlabel="steps", ylim=(0, 1))
    for ax in axes[1:, 0]:
        ax.legend(fontsize=8)
    return figure


def say(row):
    layers = "  ".join(f"{m['unexplained_below']:.3f}/{m['nonzero']:.2f}" for m in row["layers"])
    print(f"steps {row['steps']:>7}: unexplained/nonzero by layer {layers}, accuracy "
          f"{row['accuracy']:.3f}, head refitted {row['accuracy_refitted']:.3f}")  # fmt: skip


def study(D, thresholds, factor, head, data):
    """Codes of the test digits by number of steps, and what is measured of them."""
    (x, labels), (x_test, test_labels), steps = data
    found, rows = {}, []
    for t in [*steps, EXACT]:
        codes, gaps = pursue(x_test, D, thresholds, t)
        deepest = pursue(x, D, thresholds, t)[0][-1]
        found[t] = codes
        rows.append({
            "steps": t, "layers": measure(x_test, D, codes), "relative_gaps": gaps,
            "accuracy": accuracy(factor * codes[-1], test_labels, head),
            "accuracy_refitted": refitted(deepest, labels, codes[-1], test_labels),
        })  # fmt: skip
        say(rows[-1])
    return found, rows


def main(argv=None):
    args = parse_arguments(argv)
    try:
        import torch
    except ImportError:
        sys.exit("this demo trains a network and needs PyTorch: pip install 'mlcsc[torch]'")
    (x, labels), (x_test, test_labels) = digits(args.digits, args.test)
    body, head = trained(x, labels, args.epochs)
    free = trained(x, labels, args.epochs, bounded=False)
    with torch.inference_mode():
        theirs, of_free = (net(torch.tensor(x_test)).numpy() for net in (body, free[0]))
    D, thresholds = csc.interop.from_torch(body)
    ours = D.forward(x_test, thresholds, rule="relu")[-1]
    D, thresholds, factors = balanced(D, thresholds, x.shape[2:])
    codes = D.forward(x_test, thresholds, rule="relu")
    one = pursue(x_test, D, thresholds, 1)[0]
    numbers = {
        "forward_minus_network": float(abs(ours - theirs).max()), "largest": float(theirs.max()),
        "balanced_minus_network": float(abs(factors[-1] * codes[-1] - theirs).max()),
        "step_minus_forward": float(max(abs(a - b).max() for a, b in zip(one, codes, strict=True))),
        "factors": factors, "accuracy_free_biases": accuracy(of_free, test_labels, free[1]),
    }  # fmt: skip
    for name, value in numbers.items():
        print(name.replace("_", " "), value)
    data = (x, labels), (x_test, test_labels), sorted({1, *args.steps})
    found, numbers["rows"] = study(D, thresholds, factors[-1], head, data)
    save_results(draw(x_test, found, D, numbers["rows"]), numbers, args.out, "cnn_is_a_pursuit")
    return numbers


if __name__ == "__main__":
    main()
