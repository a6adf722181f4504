"""What a deep unit sees: effective atoms, and the inputs that maximise a unit.

A unit of a network has no picture: it is made visible by an input that maximises its response, found by
gradient ascent with a regulariser [1]. A unit of a multi-layer sparse code has one: its effective
atom ``D_1 D_2 D_3 e_k``, the pattern that it adds to the signal. This demo computes both, and measures
how close they are, for

- codes of three layers learned from photographs (`demos.learn_multilayer`), at the minimum of their
  problem; the gradient is that of the minimiser on its support (`csc.nn.ImplicitSparseCode`);
- the same with random layers;
- the first step of this pursuit, the linear responses ``<D_1 D_2 D_3 e_k, x>``: what the regulariser
  alone changes;
- a CNN with the same number, size and stride of filters, trained on the photographs and untrained; its
  "effective atom" is the product of its weights without the ReLUs;
- the first stage of a ResNet-50 trained on ImageNet (extra ``cnn``), its ReLUs left out likewise.

Inputs are scored by their cosine with the effective atom of their unit, and by how many units are found if
`csc.analysis.match_dictionaries` pairs inputs and atoms.

Needs the extra ``torch``. Writes ``deep_units.png`` and ``deep_units.json``.

1. A. Mahendran, A. Vedaldi, "Visualizing deep convolutional neural networks using natural
   pre-images", IJCV 120, 2016.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np

import csc
from demos._arguments import integer, number, output_folder, require_at_most, shortest_side
from demos._figures import new_figure, save_results
from demos._photographs import crop, high_pass
from demos.learn_multilayer import PHOTOGRAPHS, learn_jointly, with_other_atoms

LMBDA = 1.0  # of the deepest codes, as in learning
SIDE = 33  # pixels of an input: eight more than an effective atom on each side
RESNET_SIDE = 51  # pixels; units of its first stage see 35
RESNET_SCALE = 57.0  # grey levels: standard deviation of photographs, about
RANGE_POWER = 6  # of the bounded range, alpha in [1]
STEP = 0.05  # of Adam, in standard deviations of the photographs
START = 0.1  # standard deviation of the noise that ascent starts from
N_WINDOWS = 500  # of photographs, for the largest natural response
N_SHOWN = 8  # units in the figure


@dataclass
class Units:
    """The units of a model at the middle of their map.

    Parameters
    ----------
    name : str
    ascent : callable
        Responses (N, K) of inputs (N, C, side, side), with a gradient also where a unit is off.
    response : callable
        Responses (N, K) as the next layer sees them.
    readout : array (K, C, side, side)
        What is read off the weights: effective atoms, or products of weights.
    """

    name: str
    ascent: object
    response: object
    readout: np.ndarray

    @property
    def shape(self):
        """Channels and sides of an input."""
        return self.readout.shape[1:]


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.deep_units", description=__doc__)
    parser.add_argument("--units", type=integer(2), default=48, help="units of each model (48)")
    parser.add_argument("--ascent", type=integer(1), default=80, help="steps of ascent (80)")
    parser.add_argument(
        "--tv", type=number(0), default=0.01, help="weight of total variation (0.01)"
    )
    parser.add_argument(
        "--range", type=number(0), default=2.0,
        help="amplitude that is exceeded with effort, in standard deviations of photographs (2)",
    )  # fmt: skip
    parser.add_argument("--passes", type=integer(1), default=5, help="of learning layers (5)")
    parser.add_argument("--steps", type=integer(1), default=700, help="of training the CNN (700)")
    parser.add_argument("--side", type=integer(64), default=128, help="side of a photograph (128)")
    parser.add_argument("--seed", type=integer(0, 2**32 - 1), default=0, help="random seed (0)")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    require_at_most(parser, args, "side", shortest_side(), "the shortest side of a photograph")
    return args


# ---- The models


def photographs(side):
    """High-passed photographs (N, 1, side, side) of mean variance 1, as in `learn_multilayer`."""
    details = [high_pass(crop(side, i), 4.0) for i in range(len(csc.images.natural()))]
    return (np.stack(details)[:, None] / np.std(details)).astype("float32")


def random_layers(D, seed):
    """Layers like those of D with random atoms."""
    rng = np.random.default_rng(seed)
    atoms = [rng.standard_normal(layer.atoms.shape) for layer in D.layers]
    return with_other_atoms(D, atoms, PHOTOGRAPHS.n_nonzero)


def effective_atoms(D):
    """Effective dictionary, its atoms in the middle of an input, and the index of that position."""
    E = D.effective()
    middle = tuple(n // 2 for n in E.spatial_code_shape((SIDE, SIDE)))
    own = np.zeros((E.n_atoms, E.n_atoms, *E.spatial_code_shape((SIDE, SIDE))), E.dtype)
    own[(np.arange(E.n_atoms), np.arange(E.n_atoms), *middle)] = 1
    return E, E(own, (SIDE, SIDE)), middle


def correlation_filters(pictures):
    """``d / ||d||^2`` of pictures d (K, C, side, side), as a tensor."""
    import torch

    return torch.tensor(pictures / (pictures**2).sum(axis=(1, 2, 3), keepdims=True))


def pursuit_units(name, D, n_units):
    """Units of the minimal ``1/2 ||x - D_1 D_2 D_3 z||^2 + lmbda ||z||_1``."""
    import torch

    E, pictures, middle = effective_atoms(D)
    module = csc.nn.ImplicitSparseCode(E, LMBDA, tol=1e-3, unit_norm=False).requires_grad_(False)
    every_atom, filters = torch.tensor(E.atoms), correlation_filters(pictures[:n_units])

    def response(x):
        return module(x)[(slice(None), slice(0, n_units), *middle)]

    def ascent(x):
        """Codes, and the correlation of the atom with the residual: it is lmbda if the unit is on."""
        z = module(x)
        residual = x - torch.nn.functional.conv_transpose2d(z, every_atom, stride=E.stride)
        return z[(slice(None), slice(0, n_units), *middle)] + torch.tensordot(
            residual, filters, ([1, 2, 3], [1, 2, 3])
        )

    return Units(name, ascent, response, pictures[:n_units])


def linear_units(name, D, n_units):
    """Units that respond by ``<d, x> / ||d||^2``."""
    import torch

    _, pictures, _ = effective_atoms(D)
    filters = correlation_filters(pictures[:n_units])

    def response(x):
        return torch.tensordot(x, filters, ([1, 2, 3], [1, 2, 3]))

    return Units(name, response, response, pictures[:n_units])


def network_units(name, features, linear, shape, n_units):
    """Units at the middle of the last map of a network, before the ReLU.

    Parameters
    ----------
    features, linear : callable
        The network up to these units, and the same without ReLUs.
    shape : tuple (C, h, w)
        Of an input.
    """
    import torch

    def ascent(x):
        maps = features(x)
        return maps[:, :n_units, maps.shape[2] // 2, maps.shape[3] // 2]

    zero = torch.zeros(1, *shape, requires_grad=True)
    maps = linear(zero)
    middle = maps[0, :n_units, maps.shape[2] // 2, maps.shape[3] // 2]
    readout = [torch.autograd.grad(one, zero, retain_graph=True)[0][0] for one in middle]
    return Units(name, ascent, lambda x: ascent(x).relu(), torch.stack(readout).numpy())


def own_networks(x, args):
    """Units of the CNN of the same shape, before and after training, and its accuracy."""
    from demos import _deep_networks

    networks, accuracy = _deep_networks.train(list(x), args.steps, args.seed)
    found = []
    for name, network in networks.items():
        features = network.eval().requires_grad_(False)[:8]  # up to the last batch normalisation
        linear = _deep_networks.without_relu(features)
        shape = (1, SIDE, SIDE)
        found.append(network_units(f"CNN, {name}", features, linear, shape, args.units))
    return found, accuracy


def resnet_units(args):
    """Units of the first stage of the ResNet, or none."""
    from demos import _deep_networks

    path = _deep_networks.resnet_file()
    if path is None:
        return []
    graphs = [_deep_networks.Graph(path, linear=linear) for linear in (False, True)]
    features, linear = (lambda x, graph=graph: graph(RESNET_SCALE * x) for graph in graphs)
    shape = (3, RESNET_SIDE, RESNET_SIDE)
    return [network_units("ResNet-50, first stage", features, linear, shape, args.units)]


# ---- Activation maximisation


def natural_windows(units, x, seed):
    """Windows of photographs (N_WINDOWS, C, side, side), grey, for the largest natural response."""
    channels, side, _ = units.shape
    windows = csc.images.extract_patches(list(x[:, 0]), (side, side), n=N_WINDOWS, rng=seed)
    return np.repeat(windows, channels, axis=1).astype("float32")


def penalty(x, args):
    """Total variation and bounded range of each input [1]."""
    down, right = x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]
    variation = (down**2).sum(dim=(1, 2, 3)) + (right**2).sum(dim=(1, 2, 3))
    bounded = ((x / args.range) ** RANGE_POWER).sum(dim=(1, 2, 3))
    return args.tv * variation + args.tv * bounded


def maximise(units, scale, args):
    """Inputs (K, C, side, side), one for each unit, found by Adam from weak noise.

    Maximises the response, divided by ``scale`` (K,), minus the penalty. Inputs are centred on the
    unit and not shifted in between, since effective atoms have a place.
    """
    import torch

    torch.manual_seed(args.seed)
    n = len(units.readout)
    x = (START * torch.randn(n, *units.shape)).requires_grad_()
    optimizer, each = torch.optim.Adam([x], lr=STEP), torch.arange(n)
    for _ in range(args.ascent):
        optimizer.zero_grad()
        responses = units.ascent(x)[each, each] / scale
        (penalty(x, args) - responses).sum().backward()
        optimizer.step()
    return x.detach()


def of_norm(pictures, norms):
    """Pictures scaled to given norms."""
    unit = csc.constraints.UnitSphere().project(np.asarray(pictures, "float64"))
    return (unit * norms[:, None, None, None]).astype("float32")


def measure(units, x, args):
    """Numbers of one model, and its inputs of maximal response."""
    import torch

    start = process_time()
    with torch.no_grad():
        natural = units.response(torch.from_numpy(natural_windows(units, x, args.seed)))
    scale = natural.amax(dim=0).clamp(min=1e-6)
    inputs = maximise(units, scale, args).numpy()
    n, each = len(inputs), np.arange(len(inputs))
    norms = np.sqrt((inputs.astype("float64") ** 2).sum(axis=(1, 2, 3)))
    with torch.no_grad():
        best, read = (
            units.response(torch.from_numpy(one)).numpy()[each, each]
            for one in (inputs, of_norm(units.readout, norms))
        )
    match = csc.analysis.match_dictionaries(units.readout, inputs, shift=False)
    read_off, found = (
        csc.constraints.UnitSphere().project(one.astype("float64")).reshape(n, -1)
        for one in (units.readout, inputs)
    )
    cosines = read_off @ found.T
    others = abs(cosines[~np.eye(n, dtype=bool)])
    return {
        "n_units": n,
        "median_cosine": float(np.median(np.diag(cosines))),
        "quartiles_of_cosine": np.quantile(np.diag(cosines), [0.25, 0.75]).tolist(),
        "median_cosine_of_other_units": float(np.median(others)),
        "matching_score": match.score,
        "share_matched_to_own_unit": float((match.indices == each).mean()),
        "response_of_readout_over_best": float(np.median(read / np.maximum(best, 1e-12))),
        "response_over_best_photograph": float(np.median(best / scale.numpy())),
        "median_norm": float(np.median(norms)),
        "cpu_seconds": process_time() - start,
    }, inputs  # fmt: skip


# ---- Figure and command


def shown(pictures):
    """Pictures of N_SHOWN units, channels red first, their middle 33 pixels."""
    cut = (pictures.shape[2] - SIDE) // 2
    pictures = pictures[:N_SHOWN, ::-1, cut : cut + SIDE, cut : cut + SIDE]
    return np.ascontiguousarray(pictures)


def draw(models, inputs):
    """Effective atoms, and to their right the inputs of maximal response, one row for each model."""
    figure = new_figure(13, 1.15 * len(models))
    for row, units in zip(figure.subplots(len(models), 2), models, strict=True):
        for ax, pictures, what in zip(
            row, (units.readout, inputs[units.name]), ("read off", "maximal"), strict=True
        ):
            csc.plot.dictionary(shown(pictures), ax, n_columns=N_SHOWN)
            ax.set_title(f"{units.name}: {what}", fontsize=9)
    return figure


def main(argv=None):
    args = parse_arguments(argv)
    try:
        import torch
    except ImportError:
        sys.exit("the demo of deep units needs PyTorch: pip install 'mlcsc[torch]'")
    torch.set_num_threads(1)  # the products are small: more threads are slower
    start, x = process_time(), photographs(args.side)
    D = learn_jointly(x, PHOTOGRAPHS, LMBDA, args.seed, 1, args.passes).dictionary_
    args.units = min(args.units, D.n_atoms)
    networks, accuracy = own_networks(x, args)
    models = [
        pursuit_units("codes, learned", D, args.units),
        pursuit_units("codes, random layers", random_layers(D, args.seed), args.units),
        linear_units("one step, learned", D, args.units),
        *networks,
        *resnet_units(args),
    ]
    results, inputs = {"accuracy_of_the_CNN": accuracy, "models": {}}, {}
    for units in models:
        results["models"][units.name], inputs[units.name] = measure(units, x, args)
        print(units.name, results["models"][units.name], flush=True)
    results["settings"] = {k: str(v) if k == "out" else v for k, v in vars(args).items()}
    results["cpu_seconds"] = process_time() - start
    save_results(draw(models, inputs), results, args.out, "deep_units")
    return results


if __name__ == "__main__":
    main()
