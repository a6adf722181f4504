"""What users write, for `mypy --strict` on the installed wheel (`make packages`); never run."""

import numpy as np
from numpy.typing import NDArray

import csc


def code(x: NDArray[np.float32], atoms: NDArray[np.float32]) -> float:
    D = csc.Dictionary(atoms, mode="same", stride=(2, 1))
    several = csc.Dictionary([atoms, atoms[..., :3]])
    problem = csc.Problem(x, D, csc.L1(csc.Relative(0.1), positive=True), mask=np.isfinite(x))
    solution = csc.solve(
        problem, csc.solvers.FISTA(restart=False), tol=1e-6, callback=print, verbose=True
    )
    shape: tuple[int, ...] = D.spatial_code_shape(x.shape[2:])
    back: NDArray[np.float32] = D(D.adjoint(x), shape=x.shape[2:])
    short = csc.sparse_code(back, several, csc.Relative(0.1), mask=None)
    path = csc.lmbda_path(x, D, 5, penalty=csc.ElasticNet(1.0))
    csc.noise_constrained(x, D, 0.1)
    csc.lmbda_for_sparsity(x, D, 12)
    for line in [*solution.history, *path[0].history]:
        print(line.seconds, shape, solution.converged, solution.codes.shape)
    csc.certificates.duality_gap(x, D, x, csc.L0(1.0))
    return short.relative_gap + csc.lmbda_max(x, D)


def layers(x: NDArray[np.float64], atoms: NDArray[np.float64]) -> csc.Solution:
    D = csc.MultiLayerDictionary([csc.Dictionary(atoms), csc.Dictionary(atoms)])
    problem = csc.MultiLayerProblem(x, D, [csc.L1(0.1), csc.GroupL21(0.2, group_size=2)])
    codes: list[NDArray[np.float64]] = D.forward(x, [0.1, 0.2], rule="relu")
    for solver in (
        csc.solvers.MLISTA(),
        csc.solvers.MLFISTA(),
        csc.solvers.MLADMM(),
        csc.solvers.LayeredBasisPursuit(),
    ):
        csc.solve(problem, solver, init=codes)
    guarantee = csc.theory.uniqueness(csc.theory.mutual_coherence(D.effective(1)), k=2)
    assert guarantee.holds
    return csc.solve(problem)


def learn(pictures: list[NDArray[np.float32]]) -> csc.DictionaryLearning:
    whitened = [csc.images.whiten(picture, variance=0.1) for picture in pictures]
    patches = csc.images.extract_patches(whitened, (12, 12), n=1000, rng=0)
    learner = csc.DictionaryLearning(
        192,
        (12, 12),
        lmbda=csc.TargetSparsity(4),
        constraint=csc.constraints.NonNegative() & csc.constraints.UnitBall(),
        homeostasis=csc.learning.HomeostaticGain(),
        random_state=np.random.default_rng(0),
        checkpoint="atoms.npz",
    ).fit(patches)
    learner.partial_fit(patches).fit_stream(csc.images.stream_folder(".", passes=2))
    print(learner.diagnostics().dead, learner.memory_plan(patches).fits, learner.score(patches))
    deep = csc.MultiLayerDictionaryLearning([learner, learner], 3, pursuit=csc.solvers.MLFISTA())
    print(deep.fit(patches).dictionary_.effective().lipschitz())
    csc.save("learner.npz", learner)
    return learner


def look(learner: csc.DictionaryLearning, solution: csc.Solution) -> float:
    fit = csc.analysis.receptive_fields.fit_gabor(learner.atoms_)
    print(csc.analysis.receptive_fields.analyse(learner.atoms_, rng=0), fit[fit.gabor_like].aspect)
    csc.plot.dictionary(learner.atoms_).set_title("atoms")
    csc.plot.history(learner)
    csc.plot.convergence(solution, lw=2)
    print(csc.plot.report(learner, "atoms.html", title="Atoms").name)
    compared = csc.analysis.compare_filters(
        learner, csc.interop.load_first_layer("resnet50_thin"), rng=0
    )
    csc.plot.filter_sets([compared.a, compared.b]).savefig("filters.png")
    match = csc.analysis.match_dictionaries(learner.atoms_, csc.Dictionary(learner.atoms_))
    csc.testing.dot_test(learner.dictionary_, (20, 20), rng=0)
    csc.testing.check_prox(csc.LogPenalty(0.5))
    return match.score
