"""A CNN's forward pass is one step of a pursuit: its weights as a multi-layer dictionary.

A small network (three convolutions with ReLU, a linear head) learns to tell handwritten digits.
Its weights, read by `csc.from_torch`, are a multi-layer dictionary D and thresholds beta, and its
forward pass is layered thresholding ``z = max(D^T x - beta, 0)`` [1]: one proximal-gradient step
from zero, of length 1, on the lasso of each layer

    minimise over z >= 0   1/2 ||x - D z||^2 + <beta, z>.

What if the pursuit goes on, with the same weights? Codes of t steps, and of the minimum with its
certificate, layer by layer (layered basis pursuit): how much of the layer below they explain, how
many are not zero, and how well they still tell the digits.

What the equality needs: no bias is above -0.01 (prices of codes must not be negative), which the
training enforces; no pooling, no normalisation, no skips; and a step of length 1 is a descent step
only if ``||D|| <= 1``, so each layer is divided by the bound of its norm and its thresholds with
it, which changes codes by a factor and no decision. What does not hold: the weights were trained
to classify after one step, not to explain the picture. The more the pursuit explains, the less its
codes are what the head was trained on.

Writes ``cnn_is_a_pursuit.png`` and ``cnn_is_a_pursuit.json``.

[1] V. Papyan, Y. Romano, M. Elad, JMLR 18, 2017.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import csc
from demos._common import blank, write

LEAST = 0.01  # of the thresholds
EXACT, TOL = "minimum", 1e-3  # relative gap


def options(arguments):
    name = "python -m demos.cnn_is_a_pursuit"
    parser = argparse.ArgumentParser(prog=name, description=__doc__)
    parser.add_argument("--epochs", type=int, default=15, help="of the training (15)")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 5, 20, 100], help="of ISTA")
    parser.add_argument("--digits", type=int, default=1797, help="of the bundled (1797, all)")
    parser.add_argument("--test", type=int, default=397, help="of these held out (397)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder to write to (out)")
    return parser.parse_args(arguments)


def digits(n, n_test):
    """Pictures ``(N, 1, 8, 8)`` in [0, 1] and labels, of training and of test."""
    found = load_digits()
    x, labels = (found.images[:, None] / 16).astype("float32"), found.target
    order = np.random.default_rng(0).permutation(len(x))[:n]
    return [(x[part], labels[part]) for part in (order[n_test:], order[:n_test])]


def trained(x, labels, epochs, *, bounded=True):
    """Convolutions and head of a network; its biases at most ``-LEAST`` if ``bounded``."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(),
        nn.Conv2d(32, 64, 4), nn.ReLU(),
    )  # fmt: skip
    head = nn.Linear(64, 10)
    descent = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=2e-3)
    x, labels = torch.tensor(x), torch.tensor(labels)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            descent.zero_grad()
            nn.functional.cross_entropy(head(body(x[batch]).flatten(1)), labels[batch]).backward()
            descent.step()
            with torch.no_grad():
                for conv in body[::2] if bounded else ():
                    conv.bias.clamp_(max=-LEAST)
    return body, head


def balanced(D, thresholds, extents):
    """The same codes but for a factor, with ``||D_i|| <= 1``; and the factors."""
    layers, betas, factors = [], [], []
    for layer, beta, S in zip(D.layers, thresholds, D.extents(extents), strict=False):
        norm = layer.lipschitz(S) ** 0.5
        factors.append((factors[-1] if factors else 1.0) * norm)
        layers.append(csc.Dictionary(layer.atoms / np.float32(norm), layer.mode, layer.stride))
        betas.append((beta / factors[-1]).astype("float32"))
    return csc.MultiLayerDictionary(layers), betas, factors


def problem(x, D, beta):
    """The lasso of one layer."""
    weights = beta.reshape(-1, *(1,) * (x.ndim - 2))
    return csc.Problem(x, D, csc.L1(1.0, weights=weights, positive=True))


def pursue(x, D, thresholds, steps):
    """Codes of all layers by ``steps`` steps of ISTA of length 1, or at the minimum."""
    codes, gaps = [], []
    for layer, beta in zip(D.layers, thresholds, strict=True):
        lasso = problem(x, layer, beta)
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


def measure(x, D, codes):
    """Of each layer: unexplained part of the layer below and of the picture, nonzero codes."""
    rows, below = [], x
    for i, z in enumerate(codes, 1):
        near = below - D.layers[i - 1](z, below.shape[2:])
        far = x - D.synthesize(z, from_layer=i, shape=x.shape[2:])
        rows.append({"unexplained_below": ratio(near, below), "unexplained_picture": ratio(far, x),
                     "nonzero": float((z != 0).mean())})  # fmt: skip
        below = z
    return rows


def ratio(a, b):
    return float(np.linalg.norm(a) / max(np.linalg.norm(b), 1e-30))


def accuracy(codes, labels, head):
    """Part of the digits that a linear head tells from the deepest codes."""
    W, b = (p.detach().numpy() for p in (head.weight, head.bias))
    return float(((codes.reshape(len(codes), -1) @ W.T + b).argmax(axis=1) == labels).mean())


def refitted(train, labels, codes, test_labels):
    """The same by a linear head that was fitted to such codes."""
    train, codes = (z.reshape(len(z), -1) / max(train.std(), 1e-30) for z in (train, codes))
    head = LogisticRegression(C=100, max_iter=3000).fit(train, labels)
    return float(head.score(codes, test_labels))


def draw(x, found, D, rows):
    """Codes of one digit after one step and at the minimum, effective atoms, and curves."""
    figure = blank(13, 9)
    axes = figure.subplots(3, 4)
    axes[0, 0].imshow(x[0, 0], cmap="gray")
    axes[0, 0].set_title("picture")
    axes[0, 0].set_axis_off()
    for row, steps in zip(axes, (1, EXACT), strict=False):
        for i, (ax, z) in enumerate(zip(row[1:], found[steps], strict=True), 1):
            sheet = z[0][:, None] if z[0].size > len(z[0]) else z[0].reshape(1, 1, 8, -1)
            ax.imshow(csc.plot.tile(sheet, scale=np.full(len(sheet), z[0].max())), cmap="gray")
            ax.set(title=f"codes of layer {i}, {'one step' if steps == 1 else EXACT}")
            ax.set_axis_off()
    for i, ax in enumerate(axes[2, 1:], 1):
        atoms = D.effective(i).atoms
        csc.plot.dictionary(atoms, ax)
        ax.set_title(f"atoms of depth {i}: {atoms.shape[2]}x{atoms.shape[3]}")
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


def main(arguments=None):
    choices = options(arguments)
    try:
        import torch
    except ImportError:
        sys.exit("this demo trains a network and needs PyTorch: pip install 'mlcsc[torch]'")
    (x, labels), (x_test, test_labels) = digits(choices.digits, choices.test)
    body, head = trained(x, labels, choices.epochs)
    free = trained(x, labels, choices.epochs, bounded=False)
    with torch.inference_mode():
        theirs, of_free = (net(torch.tensor(x_test)).numpy() for net in (body, free[0]))
    D, thresholds = csc.from_torch(body)
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
    data = (x, labels), (x_test, test_labels), sorted({1, *choices.steps})
    found, numbers["rows"] = study(D, thresholds, factors[-1], head, data)
    write(draw(x_test, found, D, numbers["rows"]), numbers, choices.out, "cnn_is_a_pursuit")
    return numbers


if __name__ == "__main__":
    main()
