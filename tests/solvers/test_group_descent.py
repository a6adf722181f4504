"""The group lasso on patches: certified by dense matrices, and equal to the lasso for groups of one."""

import numpy as np
import pytest

import csc
from csc.kernels.cpu import group_lasso_gram, lasso_gram
from csc.kernels.cpu.cholesky import factorise, substitute
from csc.kernels.cpu.compilation import entry
from csc.kernels.cpu.inverse_cholesky import OPTIONS
from csc.solvers import FISTA, GroupDescent, fastest
from reference import patches as naive


def problem(seed, size, n_groups, n_samples, n_signals=20, dtype="float64"):
    rng = np.random.default_rng(seed)
    D = rng.standard_normal((n_samples, n_groups * size)) * rng.uniform(0.3, 2, n_groups * size)
    return D.astype(dtype), rng.standard_normal((n_signals, n_samples)).astype(dtype)


def solve(D, X, lmbda, size, tol=1e-11, rounds=1000, start=None):
    lmbdas = lmbda if isinstance(lmbda, tuple) else (lmbda, 0.0)
    z = np.zeros((len(X), D.shape[1]), X.dtype) if start is None else start.copy()
    gap, gram = np.empty(len(X)), D.T @ D
    groups = np.arange(D.shape[1]).reshape(-1, size)
    curvatures = np.array([np.linalg.norm(D[:, g].astype(float), 2) ** 2 for g in groups])
    energies = (X * X).sum(axis=1, dtype="float64")
    options = tol, rounds
    group_lasso_gram(gram, X @ D, energies, curvatures * (1 + 1e-6), lmbdas, options, z, z, gap)
    return z, gap, groups


@pytest.mark.parametrize(
    ("size", "n_groups", "n_samples"), [(1, 9, 6), (2, 7, 5), (3, 1, 4), (4, 8, 20), (5, 3, 3)]
)
@pytest.mark.parametrize("lmbda", [0.05, 1.0, 3.0])
def test_codes_are_minimal_by_the_gap_of_dense_matrices(size, n_groups, n_samples, lmbda):
    D, X = problem(size, size, n_groups, n_samples)
    z, gap, groups = solve(D, X, lmbda, size)
    for x, code, ours in zip(X, z, gap, strict=True):
        dense = naive.group_lasso_gap(D, x, code, lmbda, groups)
        assert dense <= 1e-10 * naive.group_lasso_value(D, x, code, lmbda, groups)
        assert ours == pytest.approx(dense, abs=1e-11)
        assert all(code[g].all() or not code[g].any() for g in groups)
    early, gap, _ = solve(D, X, lmbda, size, rounds=1)
    dense = [naive.group_lasso_gap(D, x, c, lmbda, groups) for x, c in zip(X, early, strict=True)]
    np.testing.assert_allclose(gap, dense, atol=1e-11)


@pytest.mark.parametrize(("size", "n_groups", "n_samples"), [(5, 4, 10), (9, 15, 67)])
def test_groups_that_left_are_no_part_of_newton_steps(size, n_groups, n_samples):
    """Their last codes are beyond those of the active groups; of large groups, where the array ends."""
    rng = np.random.default_rng(0)
    D = rng.standard_normal((n_samples, size * n_groups)) + rng.standard_normal((n_samples, 1))
    X = rng.standard_normal((200, n_samples))
    lmbda = 3e-4 * abs(X @ D).max()
    z, gap, groups = solve(D, X, lmbda, size, tol=1e-6)
    objectives = [
        naive.group_lasso_value(D, *pair, lmbda, groups) for pair in zip(X, z, strict=True)
    ]
    assert (gap <= 1e-6 * np.array(objectives)).all()


@pytest.mark.parametrize(("size", "n_groups", "n_samples"), [(2, 7, 5), (3, 8, 20), (5, 3, 3)])
@pytest.mark.parametrize(("lmbda", "l1"), [(0.3, 0.2), (0.05, 0.6), (1.0, 1e-3), (0.0, 0.5)])
def test_sparse_groups_meet_the_optimality_conditions(size, n_groups, n_samples, lmbda, l1):
    D, X = problem(size, size, n_groups, n_samples)

    def value(x, z):
        norms = np.linalg.norm(z.reshape(-1, size), axis=1)
        return 0.5 * np.sum((x - D @ z) ** 2) + lmbda * norms.sum() + l1 * abs(z).sum()

    z, gap, groups = solve(D, X, (lmbda, l1), size)
    early, early_gap, _ = solve(D, X, (lmbda, l1), size, rounds=1)
    for x, code, first, bound in zip(X, z, early, early_gap, strict=True):
        q = D.T @ (x - D @ code)
        for g in groups:
            used = code[g] != 0
            if used.any():
                slope = lmbda * code[g] / np.linalg.norm(code[g]) + l1 * np.sign(code[g])
                np.testing.assert_allclose(q[g][used], slope[used], atol=1e-5)
                assert (abs(q[g][~used]) <= l1 + 1e-5).all()
            else:
                assert np.linalg.norm(np.maximum(abs(q[g]) - l1, 0)) <= lmbda + 1e-5
        assert value(x, first) - value(x, code) <= bound + 1e-10
    assert (z == 0).any()
    assert gap.sum() <= 1e-10 * sum(map(value, X, z))


@pytest.mark.parametrize("shape", [(1, 4), (1, 12)])  # patches, and signals of few codes
def test_sparse_groups_are_solved_by_default(shape, dtype, rng):
    D = csc.Dictionary(rng.standard_normal((6, 1, 4)).astype(dtype))
    problem = csc.Problem(
        rng.standard_normal((3, *shape)).astype(dtype), D, csc.SparseGroupL21(0.3, 2, 0.8)
    )
    assert isinstance(fastest(problem), GroupDescent)
    solution = csc.solve(problem, tol=1e-5)
    assert solution.converged
    assert solution.codes.dtype == dtype
    theirs = csc.solve(problem, FISTA(), tol=1e-6, max_iter=5000)
    assert solution.objective == pytest.approx(theirs.objective, rel=2e-5)


def test_coherent_atoms_need_few_rounds(rng):
    t = np.arange(60)[:, None]
    D = np.exp(-(((t - np.arange(0, 60, 0.75)) / 1.5) ** 2))  # 80 bumps: neighbours are coherent
    X = rng.standard_normal((5, 60))
    z, gap, groups = solve(D, X, 0.02, 2, tol=1e-10, rounds=60)
    for x, code, ours in zip(X, z, gap, strict=True):
        dense = naive.group_lasso_gap(D, x, code, 0.02, groups)
        assert dense <= 1e-10 * naive.group_lasso_value(D, x, code, 0.02, groups)
        assert ours == pytest.approx(dense, abs=1e-11)
    z, gap, _ = solve(D, X, (0.02, 0.01), 2, tol=1e-10, rounds=60)
    norms = np.linalg.norm(z.reshape(5, -1, 2), axis=2).sum() * 0.02 + 0.01 * abs(z).sum()
    assert gap.sum() <= 1e-10 * (0.5 * ((X - z @ D.T) ** 2).sum() + norms)


def test_groups_of_one_are_the_lasso():
    D, X = problem(0, 1, 12, 8)
    z, gap, _ = solve(D, X, 0.5, 1)
    lasso, weights = np.zeros_like(z), np.full(12, 0.5)
    lasso_gram(D.T @ D, X @ D, (X**2).sum(axis=1), weights, False, 1e-12, 1000, lasso, lasso, gap)
    np.testing.assert_allclose(z, lasso, atol=1e-6)


def test_zero_and_equal_atoms_and_any_start(dtype):
    D, X = problem(1, 2, 5, 6, dtype=dtype)
    D[:, 2:4], D[:, 4] = 0, D[:, 5]
    tol = 1e-5 if dtype == "float32" else 1e-11
    z, gap, groups = solve(D, X, 0.4, 2, tol)
    assert z.dtype == dtype
    assert not z[:, 2:4].any()
    start = np.random.default_rng(0).standard_normal(z.shape).astype(dtype)
    start[:, 2:4] = 0
    again, gap, _ = solve(D, X, 0.4, 2, tol, start=start)
    ours, others = (
        [naive.group_lasso_value(D, x, c, 0.4, groups) for x, c in zip(X, a, strict=True)]
        for a in (z, again)
    )
    np.testing.assert_allclose(ours, others, rtol=2 * tol)
    same, _, _ = solve(D, X, 0.4, 2, tol * 1.01, start=z)
    np.testing.assert_array_equal(same, z)


def test_it_is_the_default_on_patches_and_equals_fista(dtype, rng):
    atoms = rng.standard_normal((6, 2, 3, 3)).astype(dtype)
    x = rng.standard_normal((5, 2, 3, 3)).astype(dtype)
    penalty, D = csc.GroupL21(csc.Relative(0.2), 3), csc.Dictionary(atoms)
    ours = csc.Problem(x, D, penalty)
    assert isinstance(fastest(ours), GroupDescent)
    solution = csc.solve(ours, tol=1e-5)
    assert solution.status.converged
    assert solution.codes.dtype == dtype
    theirs = csc.solve(ours, FISTA(), tol=1e-5, max_iter=5000)
    assert solution.objective == pytest.approx(theirs.objective, rel=2e-5)
    assert isinstance(fastest(csc.Problem(x, D, penalty, x > 0)), GroupDescent)
    larger = csc.Problem(np.tile(x, 90), D, penalty)
    assert isinstance(fastest(larger), GroupDescent)
    assert isinstance(fastest(csc.Problem(x, D, csc.GroupL21(0.0, 3))), FISTA)


def test_each_step_is_more_accurate_than_the_last(dtype):
    D, X = problem(3, 3, 20, 25, 8, dtype)
    atoms, x = np.ascontiguousarray(D.T)[:, None], X[:, None]
    tol = 1e-5 if dtype == "float32" else 1e-12
    ours = csc.Problem(x, csc.Dictionary(atoms), csc.GroupL21(0.3, 3))
    solution = csc.solve(ours, GroupDescent(1e-2), tol=tol)
    assert solution.status.converged
    groups, D, X = np.arange(60).reshape(-1, 3), D.astype(float), X.astype(float)
    codes = solution.codes.reshape(8, 60).astype(float)
    gaps = [naive.group_lasso_gap(D, a, z, 0.3, groups) for a, z in zip(X, codes, strict=True)]
    values = [naive.group_lasso_value(D, a, z, 0.3, groups) for a, z in zip(X, codes, strict=True)]
    assert sum(gaps) <= 1.01 * tol * sum(values)


def test_only_groups_of_one_size_are_supported(rng):
    D = csc.Dictionary(rng.standard_normal((6, 1, 4)))
    x = rng.standard_normal((3, 1, 4))
    for penalty, expected in (
        (csc.GroupL21(0.3, 2), True),
        (csc.GroupL21(0.3, groups=csc.penalties.neighbourhoods((2, 3), 2)), False),
        (csc.L1(0.3), False),
    ):
        assert GroupDescent().supports(csc.Problem(x, D, penalty)) is expected


@entry(**OPTIONS)
def solve_system(n, last, diagonal, matrix, right):
    factorise(n, 0.0, last, diagonal, matrix, right)
    substitute(n, last, matrix, right)


@pytest.mark.parametrize("n", [1, 7, 8, 30])
@pytest.mark.parametrize("width", [1, 3, 40])
def test_systems_with_an_envelope_are_solved(n, width, rng):
    distance = abs(np.subtract.outer(np.arange(n), np.arange(n)))
    A = np.where(distance < width, rng.standard_normal((n, n)), 0)
    A = A @ A.T + np.eye(n)  # twice as wide
    matrix, b = np.full((n, 40), np.nan), rng.standard_normal(n)
    matrix[:, : (n | 7) + 1] = 0
    matrix[:, :n] = np.triu(A)
    last, x = np.minimum(np.arange(n) + 2 * width - 2, n - 1), b.copy()
    solve_system(n, last, np.empty(n), matrix, x)
    np.testing.assert_allclose(A @ x, b, atol=1e-10)


def test_coherent_waves_need_few_rounds(rng):
    t = np.arange(-20, 21) / 5
    ricker = (1 - t * t) * np.exp(-t * t / 2)  # neighbours have a correlation of 0.98
    waves = csc.constraints.UnitSphere().project(np.stack([ricker, np.gradient(ricker)])[:, None])
    D = csc.Dictionary(waves).synthesis_matrix((120,)).toarray().T
    D = D.reshape(120, 2, -1).transpose(0, 2, 1).reshape(120, -1)  # pairs at one position
    X = (rng.standard_normal((5, D.shape[1])) * (rng.random((5, D.shape[1])) < 0.1)) @ D.T
    X += 0.01 * rng.standard_normal(X.shape)
    for lmbdas in ((0.02, 0.0), (0.01, 0.01)):
        z, gap, groups = solve(D, X, lmbdas, 2, tol=1e-9, rounds=45)
        norms = np.linalg.norm(z.reshape(5, -1, 2), axis=2).sum()
        value = 0.5 * ((X - z @ D.T) ** 2).sum() + lmbdas[0] * norms + lmbdas[1] * abs(z).sum()
        assert gap.sum() <= 1e-9 * value  # if steps are only shortened, more than 60 rounds
        if not lmbdas[1]:
            dense = [
                naive.group_lasso_gap(D, x, c, 0.02, groups) for x, c in zip(X, z, strict=True)
            ]
            assert sum(dense) <= 1.1e-9 * value


@pytest.mark.parametrize("rounds", [0, 1, 3, 8])
def test_a_gap_after_few_rounds_is_that_of_the_given_lambda(rounds):
    D, X = problem(3, 2, 20, 12)
    z, gap, groups = solve(D, X, 0.01, 2, rounds=rounds)
    dense = [naive.group_lasso_gap(D, x, code, 0.01, groups) for x, code in zip(X, z, strict=True)]
    np.testing.assert_allclose(gap, dense, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("n_atoms", "size", "n_samples", "fraction", "kind"),
    [
        (4, 1, 39, 1e-2, csc.GroupL21),
        (2, 2, 48, 5e-5, csc.GroupL21),
        (4, 2, 38, 1e-5, csc.SparseGroupL21),
        (6, 1, 48, 2e-5, csc.SparseGroupL21),
    ],
)
def test_atoms_that_nearly_depend_on_each_other_are_coded(
    n_atoms, size, n_samples, fraction, kind, rng
):
    atoms = rng.standard_normal((n_atoms, 1, 7)).cumsum(axis=-1)
    atoms[1] = atoms[0] + 1e-3 * atoms[1]
    D = csc.Dictionary(atoms)
    x = rng.standard_normal((6, 1, n_samples))
    penalty = kind(fraction * csc.lmbda_max(x, D), size)
    solution = csc.solve(csc.Problem(x, D, penalty), GroupDescent(tol=1e-8), tol=1e-8, max_iter=3)
    assert solution.status.name == "CONVERGED"


@pytest.mark.parametrize("shape", [(1, 5), (1, 40)], ids=["patches", "small signals"])
@pytest.mark.parametrize(
    "penalty", [csc.GroupL21(0.5, 3), csc.SparseGroupL21(0.3, 3, 0.5)], ids=str
)
def test_codes_that_meet_the_first_tolerance_are_made_more_accurate(shape, penalty, rng):
    D = csc.Dictionary(rng.standard_normal((6, 1, 5)))
    problem = csc.Problem(rng.standard_normal((2, *shape)), D, penalty)
    rough = csc.solve(problem, GroupDescent(1e-1), tol=1e-2).codes
    for start in (rough, csc.solve(problem, tol=1e-4).codes):
        solution = csc.solve(problem, GroupDescent(0.1), tol=1e-10, init=start, max_iter=50)
        assert solution.converged, solution.message
