"""A CNN's forward pass is one step of a pursuit: its weights as a multi-layer dictionary.

A small network (three convolutions with ReLU, a linear head) learns to classify handwritten digits.
Its weights, read by `csc.interop.from_torch`, are a multi-layer dictionary D and thresholds beta,
and its forward pass is layered thresholding ``z = max(D^T x - beta, 0)`` [1]: in each layer one
proximal-gradient step from zero, with step size 1, on the lasso

    minimise over z >= 0   1/2 ||x - D z||^2 + <beta, z>.

What if the pursuit goes on, with the same weights? Codes after t steps, and at the certified
minimum, layer by layer (layered basis pursuit): how much of the layer below they explain, how many
are non-zero, and how well they still classify the digits.

The equality requires that no bias is above -0.01 (lambda must be positive), and that the network
has no pooling, normalisation or skip connections. Its limit: the weights were trained to classify
after one step, not to explain the picture. The more of the picture the codes explain, the less they
resemble the codes on which the head was trained.

Writes ``cnn_is_a_pursuit.png`` and ``cnn_is_a_pursuit.json``.

[1] V. Papyan, Y. Romano, M. Elad, JMLR 18, 2017.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.linear_model import LogisticRegression

import csc
from demos._arguments import integer, output_folder, require_at_most
from demos._figures import new_figure, save_results

MIN_THRESHOLD = 0.01
MINIMUM, MINIMUM_TOL = "minimum", 1e-3  # instead of a number of steps; its relative duality gap


def parse_arguments(argv):
    parser = argparse.ArgumentParser("python -m demos.cnn_is_a_pursuit", description=__doc__)
    parser.add_argument("--epochs", type=integer(1), default=15, help="training epochs (15)")
    parser.add_argument(
        "--steps", type=integer(1), nargs="+", default=[1, 2, 5, 20, 100],
        help="numbers of steps of ISTA (1 2 5 20 100)",
    )  # fmt: skip
    parser.add_argument(
        "--digits", type=integer(100, 1797), default=1797, help="number of digits (1797, all)"
    )
    parser.add_argument("--test", type=integer(1), default=397, help="of them for testing (397)")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    require_at_most(parser, args, "test", args.digits - 50, "to leave 50 digits to learn from")
    return args


# ---- The network and its dictionary


def load_digits(n, n_test):
    """Return pictures ``(N, 1, 8, 8)`` in [0, 1] and labels, for training and for testing."""
    digits = datasets.load_digits()
    x, labels = (digits.images[:, None] / 16).astype("float32"), digits.target
    order = np.random.default_rng(0).permutation(len(x))[:n]
    return [(x[part], labels[part]) for part in (order[n_test:], order[:n_test])]


def train(x, labels, n_epochs, *, bound_biases=True):
    """Return the convolutions and the head of a network, with biases <= ``-MIN_THRESHOLD``."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(),
        nn.Conv2d(32, 64, 4), nn.ReLU(),
    )  # fmt: skip
    head = nn.Linear(64, 10)
    optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=2e-3)
    x, labels = torch.tensor(x), torch.tensor(labels)
    for _ in range(n_epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(body(x[batch]).flatten(1)), labels[batch]).backward()
            optimizer.step()
            with torch.no_grad():
                for conv in body[::2] if bound_biases else ():
                    conv.bias.clamp_(max=-MIN_THRESHOLD)
    return body, head


def normalise_layers(D, thresholds, spatial_shape):
    """Scale the layers to ``||D_i|| <= 1``; codes change by factors, which are returned, too."""
    layers, scaled_thresholds, factors = [], [], []
    for layer, beta, S in zip(D.layers, thresholds, D.spatial_shapes(spatial_shape), strict=False):
        norm = layer.lipschitz(S) ** 0.5
        factors.append((factors[-1] if factors else 1.0) * norm)
        layers.append(csc.Dictionary(layer.atoms / np.float32(norm), layer.mode, layer.stride))
        scaled_thresholds.append((beta / factors[-1]).astype("float32"))
    return csc.MultiLayerDictionary(layers), scaled_thresholds, factors


def layered_pursuit(x, D, thresholds, steps):
    """Return codes of all layers after ``steps`` steps of ISTA or at the minimum, and their gaps."""
    codes, gaps = [], []
    for layer, beta in zip(D.layers, thresholds, strict=True):
        weights = beta.reshape(-1, *(1,) * (x.ndim - 2))
        lasso = csc.Problem(x, layer, csc.L1(1.0, weights=weights, positive=True))
        if steps == MINIMUM:
            solution = csc.solve(lasso, tol=MINIMUM_TOL)
            x = solution.codes
            gaps.append(solution.relative_gap)
        else:
            x = lasso.zeros()
            for _ in range(steps):
                x = lasso.prox_grad(x, 1.0)
        codes.append(x)
    return codes, gaps


# ---- Measures of the codes


def layer_measures(x, D, codes):
    """Return, for each layer, its relative residuals and the fraction of non-zero codes."""
    rows, below = [], x
    for depth, z in enumerate(codes, 1):
        residual_below = below - D.layers[depth - 1](z, below.shape[2:])
        residual_picture = x - D.synthesize(z, from_layer=depth, shape=x.shape[2:])
        rows.append({
            "unexplained_below": norm_ratio(residual_below, below),
            "unexplained_picture": norm_ratio(residual_picture, x),
            "nonzero": float((z != 0).mean()),
        })  # fmt: skip
        below = z
    return rows


def norm_ratio(a, b):
    return float(np.linalg.norm(a) / max(np.linalg.norm(b), 1e-30))


def accuracy(codes, labels, head):
    """Return the accuracy of the network's linear head on the deepest codes."""
    W, b = (p.detach().numpy() for p in (head.weight, head.bias))
    return float(((codes.reshape(len(codes), -1) @ W.T + b).argmax(axis=1) == labels).mean())


def accuracy_of_refitted_head(codes_train, labels_train, codes, labels):
    """Return the accuracy of a linear head that is fitted to such codes."""
    scale = max(codes_train.std(), 1e-30)
    codes_train, codes = (z.reshape(len(z), -1) / scale for z in (codes_train, codes))
    head = LogisticRegression(C=100, max_iter=3000).fit(codes_train, labels_train)
    return float(head.score(codes, labels))


def measure_pursuits(D, thresholds, factor, head, data, steps):
    """Return the test codes by number of steps, and their measures."""
    (x, labels), (x_test, labels_test) = data
    codes_by_steps, rows = {}, []
    for n in [*steps, MINIMUM]:
        codes, gaps = layered_pursuit(x_test, D, thresholds, n)
        deepest = layered_pursuit(x, D, thresholds, n)[0][-1]
        codes_by_steps[n] = codes
        rows.append({
            "steps": n, "layers": layer_measures(x_test, D, codes), "relative_gaps": gaps,
            "accuracy": accuracy(factor * codes[-1], labels_test, head),
            "accuracy_refitted": accuracy_of_refitted_head(deepest, labels, codes[-1], labels_test),
        })  # fmt: skip
        print_row(rows[-1])
    return codes_by_steps, rows


# ---- Figure and command


def print_row(row):
    layers = "  ".join(f"{m['unexplained_below']:.3f}/{m['nonzero']:.2f}" for m in row["layers"])
    print(f"steps {row['steps']:>7}: unexplained/nonzero by layer {layers}, accuracy "
          f"{row['accuracy']:.3f}, head refitted {row['accuracy_refitted']:.3f}")  # fmt: skip


def draw(x, codes_by_steps, D, rows):
    """Draw codes of one digit after one step and at the minimum, effective atoms, and curves."""
    figure = new_figure(13, 9)
    axes = figure.subplots(3, 4)
    axes[0, 0].imshow(x[0, 0], cmap="gray")
    axes[0, 0].set(title="picture", xticks=[], yticks=[])
    for row, steps in zip(axes, (1, MINIMUM), strict=False):
        for depth, (ax, z) in enumerate(zip(row[1:], codes_by_steps[steps], strict=True), 1):
            maps = z[0][:, None] if z[0].size > len(z[0]) else z[0].reshape(1, 1, 8, -1)
            ax.imshow(csc.plot.montage(maps, scale=np.full(len(maps), z[0].max())), cmap="gray")
            title = f"codes of layer {depth}, {'one step' if steps == 1 else MINIMUM}"
            ax.set(title=title, xticks=[], yticks=[])
    for depth, ax in enumerate(axes[2, 1:], 1):
        csc.plot.dictionary(D.effective(depth).atoms, ax)
        ax.set_title(f"atoms of depth {depth}: {'x'.join(map(str, D.effective(depth).atom_shape))}")
    ticks = [str(row["steps"]) for row in rows]
    for i in range(len(D)):
        unexplained = [row["layers"][i]["unexplained_below"] for row in rows]
        axes[1, 0].plot(ticks, unexplained, "o-", label=f"layer {i + 1}")
    axes[1, 0].set(ylabel="relative residual of the layer below", ylim=(0, 1))
    for name in ("accuracy", "accuracy_refitted"):
        axes[2, 0].plot(ticks, [row[name] for row in rows], "o-", label=name.replace("_", ", "))
    axes[2, 0].set(xlabel="steps", ylim=(0, 1))
    for ax in axes[1:, 0]:
        ax.legend(fontsize=8)
    return figure


def main(argv=None):
    args = parse_arguments(argv)
    try:
        import torch
    except ImportError:
        sys.exit("this demo trains a network and needs PyTorch: pip install 'mlcsc[torch]'")
    data = (x, labels), (x_test, labels_test) = load_digits(args.digits, args.test)
    body, head = train(x, labels, args.epochs)
    free_body, free_head = train(x, labels, args.epochs, bound_biases=False)
    with torch.inference_mode():
        output, free_output = (
            network(torch.tensor(x_test)).numpy() for network in (body, free_body)
        )
    D, thresholds = csc.interop.from_torch(body)
    forward = D.forward(x_test, thresholds, rule="relu")[-1]
    D, thresholds, factors = normalise_layers(D, thresholds, x.shape[2:])
    codes = D.forward(x_test, thresholds, rule="relu")
    one_step = layered_pursuit(x_test, D, thresholds, 1)[0]
    results = {
        "forward_minus_network": float(abs(forward - output).max()),
        "largest": float(output.max()),
        "normalised_minus_network": float(abs(factors[-1] * codes[-1] - output).max()),
        "step_minus_forward": float(
            max(abs(a - b).max() for a, b in zip(one_step, codes, strict=True))
        ),
        "factors": factors,
        "accuracy_free_biases": accuracy(free_output, labels_test, free_head),
    }
    for name, value in results.items():
        print(name.replace("_", " "), value)
    codes_by_steps, results["rows"] = measure_pursuits(
        D, thresholds, factors[-1], head, data, sorted({1, *args.steps})
    )
    figure = draw(x_test, codes_by_steps, D, results["rows"])
    save_results(figure, results, args.out, "cnn_is_a_pursuit")
    return results


if __name__ == "__main__":
    main()
