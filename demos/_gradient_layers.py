"""Two layers learned without labels: by the gradient through ML-FISTA, and by `csc.learning`.

Both minimise the multi-layer objective on the same crops of photographs for the same number of seconds.
The objective is then that of the codes which a certified solver finds on crops of another photograph.
"""

from time import perf_counter

import numpy as np
import torch

import csc
from demos._photographs import high_pass

SHAPES = ((8, 1, 5, 5), (12, 8, 3, 3))
LMBDAS = 0.05, 0.1
CROP, N_TRAIN, N_TEST, BATCH = 20, 48, 6, 8
N_UNFOLDINGS = 15
TEST_PHOTOGRAPH = 1
LEARNING_RATE = 3e-3
PASSES = 2


def crops(rng):
    """Crops of unit variance to learn from, and of another photograph to test on."""
    details = [high_pass(p.pixels, 3.0) for p in csc.images.natural()]
    held_out = details.pop(TEST_PHOTOGRAPH)
    x = csc.images.extract_patches(details, (CROP, CROP), n=N_TRAIN, rng=rng)
    test = csc.images.extract_patches([held_out], (CROP, CROP), n=N_TEST, rng=rng)
    scale = x.std()
    return (x / scale).astype("float32"), (test / scale).astype("float32")


def objective(D, x):
    """Objective of certified codes per crop, atoms of unit norm; and their relative gap."""
    unit = csc.constraints.UnitSphere().project
    D = csc.MultiLayerDictionary(
        csc.Dictionary(unit(layer.atoms), layer.mode, layer.stride) for layer in D.layers
    )
    problem = csc.MultiLayerProblem(x, D, [csc.L1(lmbda) for lmbda in LMBDAS])
    solution = csc.solve(problem, tol=1e-2, max_iter=300)
    return solution.objective / len(x), solution.relative_gap


def learn(x, seed):
    """Two layers by alternating minimisation."""
    constraint = csc.constraints.UnitSphere()
    options = {"batch_size": 2 * BATCH, "max_iter": PASSES}
    layers = [
        csc.DictionaryLearning(k, tuple(size), lmbda, constraint=constraint, **options)
        for (k, _, *size), lmbda in zip(SHAPES, LMBDAS, strict=True)
    ]
    learner = csc.MultiLayerDictionaryLearning(layers, lmbda=LMBDAS, random_state=seed, **options)
    return learner.fit(x).dictionary_


def descend(x, seconds, seed):
    """The same layers by Adam on the objective of unrolled codes."""
    rng, x = np.random.default_rng(seed), torch.from_numpy(x)
    torch.manual_seed(seed)
    start = csc.MultiLayerDictionary([csc.nn.random_dictionary(shape) for shape in SHAPES])
    module = csc.nn.MultiLayerPursuit(start, LMBDAS, N_UNFOLDINGS, accelerated=True)
    module.log_lmbdas.requires_grad_(False)
    free = [p for p in module.parameters() if p.requires_grad]
    optimiser, begin, n_updates = torch.optim.Adam(free, lr=LEARNING_RATE), perf_counter(), 0
    while perf_counter() - begin < seconds:
        batch = x[torch.from_numpy(rng.integers(0, len(x), BATCH))]
        deepest = module(batch)[-1]
        middle = module.layers[1].synthesize(deepest, (CROP - SHAPES[0][2] + 1,) * 2)
        fit = module.layers[0].synthesize(middle, (CROP, CROP))
        penalty = LMBDAS[0] * middle.abs().sum() + LMBDAS[1] * deepest.abs().sum()
        loss = (0.5 * ((batch - fit) ** 2).sum() + penalty) / BATCH
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        n_updates += 1
    return start, module.to_dictionary(), n_updates


def gradient_layers(seeds):
    """Objectives of both ways and of the start, for each seed."""
    runs = []
    for seed in seeds:
        x, test = crops(seed)
        begin = perf_counter()
        learned = learn(x, seed)
        seconds = perf_counter() - begin
        start, by_gradient, n_updates = descend(x, seconds, seed)
        models = {
            "random atoms": start, "MultiLayerDictionaryLearning": learned, "gradient": by_gradient,
        }  # fmt: skip
        found = {name: objective(D, test) for name, D in models.items()}
        runs.append({
            "seconds": seconds, "updates": n_updates,
            "objective": {name: value for name, (value, _) in found.items()},
            "relative_gap": {name: gap for name, (_, gap) in found.items()},
        })  # fmt: skip
    return runs
