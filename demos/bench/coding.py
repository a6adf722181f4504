"""Convolutional sparse coding of one signal beside sporco (images) and alphacsc (1-D).

Every solver starts cold with a budget (iterations, or a tolerance) that grows from line to line;
after each run its codes are judged in float64 by the same NumPy lines. ``relative_excess`` is how
far the objective lies above the lowest one known. Every solver solves the same problem: images
wrap around (sporco knows no other border), atoms of series lie inside (alphacsc's, codes >= 0).
"""

import argparse
import warnings
from time import perf_counter

import numpy as np
from scipy import ndimage

import csc
from demos.bench.report import show

TOLERANCES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4, 1e-5, 1e-6)
ITERATIONS = (10, 20, 40, 57, 80, 113, 160, 226, 320)


def photograph(size, dtype):
    """A high-passed square of a bundled photograph, ``(1, 1, size, size)``."""
    fits = [p.pixels for p in csc.images.natural() if min(p.pixels.shape) >= size]
    pixels = max(fits, key=np.std)
    x = pixels - ndimage.gaussian_filter(pixels, 3)
    return np.ascontiguousarray(x[None, None, :size, :size], dtype)


def learned_atoms(n_atoms, side, dtype):
    """Atoms learned from high-passed patches."""
    photographs = [p.pixels - ndimage.gaussian_filter(p.pixels, 3) for p in csc.images.natural()]
    X = csc.images.extract_patches(photographs, (side, side), n=10_000, rng=0)
    X = (X / X.std()).astype("float32")
    model = csc.DictionaryLearning(n_atoms, (side, side), 1.0, max_iter=5, random_state=0)
    return csc.UnitSphere().project(model.fit(X).atoms_).astype(dtype)


def objective(x, atoms, z, lmbda, *, wraps):
    """Lasso objective in float64, by FFT; knows no library."""
    axes = tuple(range(2, x.ndim))
    x, atoms, z = (a.astype("float64") for a in (x, atoms, z))
    extents = x.shape[2:]
    spectra = np.fft.rfftn(atoms, extents, axes=axes)
    codes = z
    if not wraps:  # mode "full" never reaches around
        border = [(0, S - v) for S, v in zip(extents, z.shape[2:], strict=True)]
        codes = np.pad(z, [(0, 0), (0, 0), *border])
    product = np.einsum("kc...,nk...->nc...", spectra, np.fft.rfftn(codes, axes=axes))
    fit = np.fft.irfftn(product, extents, axes=axes)
    return 0.5 * float(((x - fit) ** 2).sum()) + lmbda * float(abs(z).sum())


def code_csc_circular(x, atoms, lmbda, tol):
    return csc.sparse_code(x, atoms, lmbda, mode="circular", tol=tol).codes


def code_csc_positive(x, atoms, lmbda, tol):
    return csc.sparse_code(x, atoms, lmbda, positive=True, tol=tol).codes


def code_sporco(module, x, atoms, lmbda, n, **options):
    """sporco's solvers want (H, W, K) atoms and give (H, W, 1, 1, K) codes."""
    settings = {"Verbose": False, "MaxMainIter": n, "RelStopTol": 0.0, "DataType": x.dtype}
    solver = module.ConvBPDN(
        np.moveaxis(atoms[:, 0], 0, -1), x[0, 0], lmbda, module.ConvBPDN.Options(settings | options)
    )
    return np.moveaxis(solver.solve()[:, :, 0, 0], -1, 0)[None]


def code_admm(x, atoms, lmbda, n):
    from sporco.admm import cbpdn

    auto = {"Enabled": True, "Period": 1, "AutoScaling": True, "RsdlRatio": 1.2, "Scaling": 1000.0}
    return code_sporco(
        cbpdn, x, atoms, lmbda, n, AutoRho=auto, rho=50 * lmbda + 0.5, RelaxParam=1.8,
        LinSolveCheck=False, HighMemSolve=True, FastSolve=True,
    )  # fmt: skip


def code_pgm(x, atoms, lmbda, n):
    from sporco.pgm import backtrack, cbpdn

    search = backtrack.BacktrackStandard()
    return code_sporco(cbpdn, x, atoms, lmbda, n, L=50.0, Backtrack=search, FastSolve=True)


def code_alphacsc(x, atoms, lmbda, tol):
    from alphacsc.update_z_multi import update_z_multi

    arguments = {"tol": tol, "max_iter": 10**8}
    return update_z_multi(x, atoms, lmbda, solver="lgcd", solver_kwargs=arguments)[0]


def run(case, solvers, x, atoms, lmbda, *, wraps):
    """Time every solver at every budget and print one line each."""
    runs = []
    for name, (code, budgets) in solvers.items():
        code(x, atoms, lmbda, budgets[0])  # warm-up: compilation, plans, thread pools
        for budget in budgets:
            began = perf_counter()
            z = code(x, atoms, lmbda, budget)
            seconds = perf_counter() - began
            runs.append((name, budget, seconds, objective(x, atoms, z, lmbda, wraps=wraps)))
    best = min(value for *_, value in runs)
    for name, budget, seconds, value in runs:
        show(
            bench="coding", case=case, solver=name, budget=budget, seconds=seconds,
            relative_excess=value / best - 1,
        )  # fmt: skip
    summarise(case, runs, best)


def summarise(case, runs, best, goal=1e-4):
    """Least seconds to a relative excess of ``goal``, and the ratio to ours."""
    least = {}
    for name, _, seconds, value in runs:
        if value / best - 1 <= goal:
            least[name] = min(least.get(name, np.inf), seconds)
    ours = least.get("csc", np.inf)
    for name in dict.fromkeys(r[0] for r in runs):
        seconds = least.get(name, np.inf)
        ratio = "not reached" if np.isinf(seconds) else f"{seconds / ours:.1f} x csc"
        print(f"{case}: {name} reaches {goal:.0e} in {seconds:.3g} s: {ratio}")


def images(size, fraction, n_atoms, side):
    x, atoms = photograph(size, "float32"), learned_atoms(n_atoms, side, "float32")
    lmbda = fraction * csc.lmbda_max(x, csc.Dictionary(atoms, "circular"))
    solvers = {"csc": (code_csc_circular, TOLERANCES)}
    try:
        import sporco  # noqa: F401

        solvers["sporco ADMM"] = code_admm, ITERATIONS
        solvers["sporco PGM"] = code_pgm, ITERATIONS
    except ImportError:
        print("sporco is not installed and left out: pip install sporco")
    case = f"{size}x{size}, {n_atoms} atoms {side}x{side}, {fraction} lmbda_max"
    run(case, solvers, x, atoms, lmbda, wraps=True)


def series(length, fraction):
    rng = np.random.default_rng(0)
    atoms = csc.UnitSphere().project(rng.standard_normal((10, 1, 64)).cumsum(axis=2))
    D = csc.Dictionary(atoms)
    z = rng.standard_normal((1, 10, length - 63)) * (rng.random((1, 10, length - 63)) < 2e-3)
    x = D(z) + 0.05 * rng.standard_normal((1, 1, length))
    lmbda = fraction * csc.lmbda_max(x, D)
    solvers = {"csc": (code_csc_positive, TOLERANCES)}
    try:
        import alphacsc  # noqa: F401

        solvers["alphacsc LGCD"] = code_alphacsc, TOLERANCES
    except ImportError:
        print("alphacsc is not installed and left out: pip install alphacsc")
    case = f"1-D, {length} samples, 10 atoms of 64, {fraction} lmbda_max"
    run(case, solvers, x, atoms, lmbda, wraps=False)


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m demos.bench coding", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[256, 512])
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.05])
    parser.add_argument("--atoms", type=int, default=64)
    parser.add_argument("--side", type=int, default=8)
    parser.add_argument("--length", type=int, default=20_000, help="of the 1-D signal; 0: none")
    choices = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # the peers' own deprecations
    for fraction in choices.fractions:
        for size in choices.sizes:
            images(size, fraction, choices.atoms, choices.side)
        if choices.length:
            series(choices.length, fraction)
