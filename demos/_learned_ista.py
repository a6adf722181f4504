"""LISTA and FISTA: the error after a number of steps.

The problem is the lasso on 8x8 patches of photographs, with atoms learned from other patches. LISTA
has the steps of ISTA, but an analysis operator, thresholds and step sizes of its own, trained for
each number of steps to bring codes close to the minimisers; the dictionary of the problem is fixed.
"""

from typing import NamedTuple

import numpy as np
import torch

import csc
from demos._photographs import high_pass

SIDE, N_ATOMS, LMBDA = 8, 100, 0.5
N_TRAIN, N_TEST, BATCH = 20_000, 1_000, 512
DEPTHS = 1, 2, 4, 8, 16
MAX_STEPS = 200  # of ISTA and FISTA


class LassoData(NamedTuple):
    """Patches with the minimisers of their lasso."""

    D: csc.Dictionary
    train: torch.Tensor
    train_codes: torch.Tensor
    test: torch.Tensor
    test_codes: torch.Tensor


def patches_with_codes(seed):
    """Patches of unit variance, their atoms, and the certified codes of all."""
    details = [high_pass(p.pixels, 3.0) for p in csc.images.natural()]
    x = csc.images.extract_patches(details, (SIDE, SIDE), n=N_TRAIN + N_TEST, rng=seed)
    x = (x / x.std()).astype("float32")
    learner = csc.DictionaryLearning(
        N_ATOMS, (SIDE, SIDE), LMBDA, max_iter=3, random_state=seed
    ).fit(x[:N_TRAIN])
    D = csc.Dictionary(csc.constraints.UnitSphere().project(learner.atoms_))
    codes = csc.solve(csc.Problem(x, D, csc.L1(LMBDA)), tol=1e-6).codes
    parts = (
        torch.from_numpy(a) for a in (x[:N_TRAIN], codes[:N_TRAIN], x[N_TRAIN:], codes[N_TRAIN:])
    )
    return LassoData(D, *parts)


def error(codes, minimisers):
    """``||z - z*||^2 / ||z*||^2`` of all patches together."""
    return float(((codes - minimisers) ** 2).sum() / (minimisers**2).sum())


def train(data, depth, n_updates, seed):
    """LISTA of some depth, trained by Adam on the distance of its codes from the minimisers."""
    module = csc.nn.SparseCode(data.D, LMBDA, depth, free_analysis=True, per_step=True)
    module.dictionary.requires_grad_(False)  # the problem stays
    free = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(free, lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, n_updates)
    rng = np.random.default_rng(seed)
    for _ in range(n_updates):
        rows = torch.from_numpy(rng.integers(0, N_TRAIN, BATCH))
        loss = ((module(data.train[rows]) - data.train_codes[rows]) ** 2).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return module


def learned_ista(n_updates, seeds):
    """Errors of LISTA, ISTA and FISTA after each number of steps; and the steps that FISTA needs."""
    runs = []
    for seed in seeds:
        torch.manual_seed(seed)
        data = patches_with_codes(seed)
        curves = {"LISTA": {}, "ISTA": {}, "FISTA": {}}
        with torch.no_grad():
            for n in (*range(1, min(32, MAX_STEPS) + 1), *range(40, MAX_STEPS + 1, 8)):
                for name, accelerated in (("ISTA", False), ("FISTA", True)):
                    module = csc.nn.from_dictionary(data.D, LMBDA, n, accelerated=accelerated)
                    curves[name][n] = error(module(data.test), data.test_codes)
        for depth in DEPTHS:
            module = train(data, depth, n_updates, seed)
            with torch.no_grad():
                curves["LISTA"][depth] = error(module(data.test), data.test_codes)
        runs.append(curves)
    mean = {
        name: {n: float(np.mean([run[name][n] for run in runs])) for n in runs[0][name]}
        for name in runs[0]
    }
    needed = {
        depth: next((n for n, e in mean["FISTA"].items() if e <= goal), None)
        for depth, goal in mean["LISTA"].items()
    }
    return {"error": mean, "fista_steps_for_the_error_of_lista": needed, "seeds": len(runs)}
