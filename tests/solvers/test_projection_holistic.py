"""Projection and holistic pursuit against dense transcriptions, and what they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import csc
from csc.datasets._synthetic import (
    make_cosparse_signals,
    make_multilayer_dictionary,
    make_sparse_signals,
)
from csc.operators import _fft_conv as fourier
from csc.solvers import _holistic_pursuit as holistic_pursuit
from csc.theory import stripe_norm
from reference import multilayer as naive_multilayer
from reference import pursuits as naive

FREE = csc.L1(0.0)
SHAPES = [(4, 1, 5), (6, 4, 3), (5, 6, 2)]
DENSE = [(20, 1, 12), (10, 20, 1)]  # every atom as large as its signal: one position


def noisy(sample, level, rng):
    noise = rng.standard_normal(sample.x.shape).astype(sample.x.dtype)
    return sample.x + sample.x.dtype.type(level) * noise


def without_penalty(x, D):
    return csc.MultiLayerProblem(x, D, [FREE] * len(D))


# Projection pursuit.


@settings(max_examples=25, deadline=None)
@given(
    n_layers=st.integers(1, 3), mode=st.sampled_from(["full", "circular"]),
    stride=st.integers(1, 2), deepest=st.integers(1, 6), seed=st.integers(0, 999),
)  # fmt: skip
def test_projection_pursuit_is_its_transcription(n_layers, mode, stride, deepest, seed):
    rng = np.random.default_rng(seed)
    D = make_multilayer_dictionary(SHAPES[:n_layers], 2, mode=mode, stride=stride, rng=rng)
    S = (24,) if mode == "circular" else (27,)
    x = rng.standard_normal((3, 1, *S))
    limits = [9, 7, deepest][-n_layers:]
    ours = csc.solve(without_penalty(x, D), csc.solvers.ProjectionPursuit(limits))
    assert ours.status is csc.solvers.Status.DONE
    dense = naive_multilayer.matrices(D.layers, S)
    for n in range(3):
        theirs = naive.projection(D.layers, dense, x[n].ravel(), limits)
        for a, b in zip(ours.codes, theirs, strict=True):
            np.testing.assert_allclose(a[n].ravel(), b, atol=1e-9)


def test_projection_pursuit_keeps_every_limit_and_each_signal_its_own_pace(rng):
    D = make_multilayer_dictionary(SHAPES[:2], 2, rng=0)
    x = np.concatenate([make_sparse_signals(D, k, (30,), rng=rng).x for k in (1, 3, 12)])
    x = np.concatenate([x, 0 * x[:1]])
    problem, limits = without_penalty(x, D), (6, 5)
    together = csc.solve(problem, csc.solvers.ProjectionPursuit(limits))
    for n in range(4):
        alone = csc.solve(without_penalty(x[n : n + 1], D), csc.solvers.ProjectionPursuit(limits))
        for a, b in zip(alone.codes, together.codes, strict=True):
            np.testing.assert_allclose(a[0], b[n], atol=1e-10)
    for layer, g, limit in zip(D.layers, together.codes, limits, strict=True):
        assert (stripe_norm(g, layer) <= limit).all()
    g1, g2 = together.codes
    np.testing.assert_allclose(D.layers[1](g2), g1, atol=1e-14)
    counts = (g2 != 0).reshape(4, -1).sum(axis=1)
    assert counts[0] == 1
    assert counts[2] > counts[0]
    assert counts[3] == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_projection_pursuit_finds_sparse_codes_again(dtype, rng):
    D = make_multilayer_dictionary([(16, 1, 16), (16, 16, 3)], 2, dtype=dtype, rng=0)
    sample = make_sparse_signals(D, 3, (80,), n=5, rng=rng)
    found = csc.solve(
        without_penalty(sample.x, D), csc.solvers.ProjectionPursuit((None, None), n_nonzero=3)
    )
    for a, b in zip(found.codes, sample.codes, strict=True):
        assert a.dtype == dtype
        np.testing.assert_array_equal(a != 0, b != 0)
        np.testing.assert_allclose(a, b, atol=1e-4 if dtype == "float32" else 1e-10)


def test_projection_pursuit_stops_at_the_energy_and_the_count(rng):
    D = make_multilayer_dictionary(SHAPES[:2], 2, rng=0)
    problem = without_penalty(rng.standard_normal((2, 1, 30)), D)
    counted = csc.solve(problem, csc.solvers.ProjectionPursuit((None, None), n_nonzero=4))
    assert ((counted.codes[-1] != 0).reshape(2, -1).sum(axis=1) == 4).all()
    enough = 0.5 * (problem.x**2).sum(axis=(1, 2)).max()
    close = csc.solve(
        problem, csc.solvers.ProjectionPursuit((None, None), max_squared_residual=enough)
    )
    assert ((problem.x - close.reconstruction()) ** 2).sum(axis=(1, 2)).max() <= enough
    assert np.count_nonzero(close.codes[-1]) < np.count_nonzero(problem.x)


def test_rounding_is_no_code(rng, monkeypatch):
    monkeypatch.setattr(fourier, "is_faster", lambda *_, **__: True)  # transforms leave no zeros
    D = make_multilayer_dictionary([(6, 1, 9), (8, 6, 7)], 3, rng=0)
    sample = make_sparse_signals(D, 1, (60,), rng=rng)
    assert np.count_nonzero(D.layers[1](sample.codes[1])) > 10
    found = csc.solve(without_penalty(sample.x, D), csc.solvers.ProjectionPursuit((3, 1)))
    assert np.count_nonzero(found.codes[0]) == 3
    assert np.count_nonzero(found.codes[1]) == 1


# Holistic pursuit.

CASES = {
    "dense": (make_multilayer_dictionary(DENSE, rng=1), (12,), 5, (4,)),
    "convolutional": (make_multilayer_dictionary([(4, 1, 5), (3, 4, 3)], rng=2), (12,), 8, (3,)),
    "stride": (make_multilayer_dictionary([(5, 1, 6), (3, 5, 2)], stride=2, rng=3), (20,), 8, (3,)),
    "three": (
        make_multilayer_dictionary([(14, 1, 12), (11, 14, 1), (9, 11, 1)], rng=4),
        (12,),
        6,
        (2, 3),
    ),
}


def holistic_case(case, rng, lmbda=0.05):
    D, S, k, counts = CASES[case]
    sample = make_cosparse_signals(D, k, counts, S, n=3, rng=rng)
    x = noisy(sample, 0.03, rng)
    problem = csc.MultiLayerProblem(x, D, [FREE] * (len(D) - 1) + [csc.L1(lmbda)])
    return problem, naive_multilayer.matrices(D.layers, S), counts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "debias", "way"),
    [*((case, debias, "inverses") for case in CASES for debias in (False, True)),
     ("three", False, "gradients")],
)  # fmt: skip
def test_holistic_pursuit_is_its_transcription(case, debias, way, rng, monkeypatch):
    if way == "gradients":
        monkeypatch.setattr(holistic_pursuit, "MAX_INVERTED_CODES", 0)
    problem, dense, counts = holistic_case(case, rng)
    solver = csc.solvers.HolisticPursuit(counts, debias=debias, sweep_tol=1e-8)
    state, rounds = solver.init(problem, problem.zeros()), 0
    while not state.done:
        state, rounds = solver.step(problem, state), rounds + 1
    assert rounds == max(counts) + 1
    K = naive_multilayer.products(dense)
    for n, x in enumerate(problem.x):
        g, cosupports = naive.holistic(dense, x.ravel(), 0.05, counts)
        if debias:
            g = naive.refit(dense, x.ravel(), g, cosupports)
        z = state.z[-1][n].ravel()
        np.testing.assert_array_equal(abs(z) > 1e-12, g != 0)
        np.testing.assert_allclose(z, g, atol=1e-4)
        for k, codes, mask, rows in zip(K[1:], state.z, state.cosupports, cosupports, strict=False):
            assert mask[n].sum() == len(rows)
            expected = k @ g
            assert (abs(expected[mask[n].ravel()]) < 1e-9).all()  # rows, or ties at 0 with them
            assert case == "convolutional" or mask[n].ravel()[rows].all()
            np.testing.assert_allclose(codes[n].ravel(), expected, atol=1e-4)
            assert not codes[n][mask[n]].any()


def test_inverses_and_conjugate_gradients_solve_the_same_least_squares(rng, monkeypatch):
    problem, _, _ = holistic_case("three", rng)
    masks = [rng.random(shape) < 0.3 for shape in problem.code_shapes[:-1]]
    b = rng.standard_normal(problem.code_shape)
    exact = holistic_pursuit._normal(problem, masks)(0.1)(b, None)
    monkeypatch.setattr(holistic_pursuit, "MAX_INVERTED_CODES", 0)
    monkeypatch.setattr(holistic_pursuit, "CG_REDUCTION", 0)
    steps = holistic_pursuit._normal(problem, masks)(0.1)(b, 0 * b)
    np.testing.assert_allclose(steps, exact, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("zeros", [0, 2])
@pytest.mark.parametrize("few", [0, 2**10])
def test_codes_without_a_penalty_are_least_squares(few, zeros, dtype, rng, monkeypatch):
    monkeypatch.setattr(holistic_pursuit, "MAX_INVERTED_CODES", few)
    D = make_multilayer_dictionary([(14, 1, 20), (9, 14, 1)], dtype=dtype, rng=1)
    x = rng.standard_normal((3, 1, 20)).astype(dtype)
    found = csc.solve(
        without_penalty(x, D), csc.solvers.HolisticPursuit(zeros, sweep_tol=1e-5, max_sweeps=400)
    )
    D1, D2 = naive_multilayer.matrices(D.layers, (20,))
    for n in range(3):
        rows = D2[(found.codes[0][n] == 0).ravel()]
        assert len(rows) == zeros
        N = np.linalg.svd(rows)[2][zeros:].T if zeros else np.eye(9)
        g = N @ np.linalg.lstsq(D1 @ D2 @ N, x[n].ravel(), rcond=None)[0]
        np.testing.assert_allclose(found.codes[1][n].ravel(), g, atol=2e-3 * abs(g).max())


def test_atoms_that_are_alike_do_no_harm():
    same = csc.Dictionary(np.array([[1.0, 0.0], [1.0, 0.0]])[:, :, None])
    D = csc.MultiLayerDictionary([csc.Dictionary(np.eye(2)[:, None]), same])
    problem = csc.MultiLayerProblem(np.array([[[3.0, 1.0]]]), D, [FREE, csc.L1(0.1)])
    codes = csc.solve(problem, csc.solvers.HolisticPursuit(0, debias=True)).codes[-1]
    np.testing.assert_allclose(codes.ravel(), [1.5, 1.5], atol=1e-6)


def test_rho_stays_within_bounds_where_float32_reaches_no_tolerance(rng):
    D = make_multilayer_dictionary([(30, 1, 20), (30, 30, 1)], dtype="float32", rng=0)
    x = rng.standard_normal((2, 1, 20)).astype("float32")
    found = csc.solve(without_penalty(x, D), csc.solvers.HolisticPursuit(2, max_sweeps=600))
    assert found.objective < 1e-3


def test_many_signals_are_each_its_own(rng):
    D = make_multilayer_dictionary([(4, 1, 5), (6, 4, 3)], 2, stride=2, rng=0)
    x = rng.standard_normal((6, 1, 31))
    problem = csc.MultiLayerProblem(x, D, [FREE, csc.L1(0.1)])
    together = csc.solve(problem, csc.solvers.HolisticPursuit(3, rho=1.0, sweep_tol=1e-9))
    for n in (0, 5):
        own = csc.MultiLayerProblem(x[n : n + 1], D, [FREE, csc.L1(0.1)])
        alone = csc.solve(own, csc.solvers.HolisticPursuit(3, rho=1.0, sweep_tol=1e-9))
        np.testing.assert_allclose(together.codes[-1][n], alone.codes[-1][0], atol=1e-6)


def test_without_zeros_it_is_the_lasso_of_the_product(rng):
    problem, _, _ = holistic_case("convolutional", rng)
    found = csc.solve(problem, csc.solvers.HolisticPursuit(0, sweep_tol=1e-8))
    lasso = csc.Problem(problem.x, problem.dictionary.effective(), csc.L1(0.05))
    np.testing.assert_allclose(found.codes[-1], csc.solve(lasso, tol=1e-12).codes, atol=1e-5)


def test_the_mid_penalty_plays_no_part_and_rounds_may_be_larger(rng):
    problem, _, _ = holistic_case("dense", rng)
    penalised = csc.MultiLayerProblem(problem.x, problem.dictionary, [csc.L1(9.0), csc.L1(0.05)])
    a, b = (csc.solve(p, csc.solvers.HolisticPursuit(5, per_round=2)) for p in (problem, penalised))
    np.testing.assert_array_equal(a.codes[-1], b.codes[-1])
    assert a.n_iter == 4
    assert ((a.codes[0] == 0).reshape(3, -1).sum(axis=1) >= 5).all()


def test_the_right_zeros_take_noise_away(rng):
    D = make_multilayer_dictionary([(30, 1, 40), (20, 30, 1)], rng=5)
    sample = make_cosparse_signals(D, 6, 5, (40,), n=20, rng=rng)
    level = 10 ** (-35 / 20) * (sample.x**2).mean() ** 0.5  # 35 dB
    problem = csc.MultiLayerProblem(noisy(sample, level, rng), D, [FREE, csc.L1(level)])
    medians = []
    for n in (0, 5):
        found = csc.solve(problem, csc.solvers.HolisticPursuit(n, sweep_tol=1e-4))
        errors = ((found.codes[-1] - sample.codes[-1]) ** 2).sum(axis=(1, 2))
        medians.append(np.median(errors))
    assert medians[1] < 0.7 * medians[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "rho", "few"),
    [*((case, None, 0) for case in CASES), ("convolutional", 30.0, 0), ("stride", 30.0, 0),
     ("convolutional", None, 2**10), ("three", 30.0, 2**10)],
)  # fmt: skip
def test_rounds_end_when_their_codes_are_as_exact_as_tol_asks(case, rho, few, rng, monkeypatch):
    problem, _, counts = holistic_case(case, rng)
    exact = csc.solve(problem, csc.solvers.HolisticPursuit(counts, sweep_tol=1e-8)).codes[-1]
    monkeypatch.setattr(holistic_pursuit, "MAX_INVERTED_CODES", few)
    chain, calls = csc.MultiLayerProblem.synthesize_all, []
    monkeypatch.setattr(
        csc.MultiLayerProblem, "synthesize_all", lambda self, z: calls.append(1) or chain(self, z)
    )
    found = csc.solve(problem, csc.solvers.HolisticPursuit(counts, rho=rho, sweep_tol=1e-3)).codes[
        -1
    ]
    assert np.linalg.norm(found - exact) < 20 * 1e-3 * np.linalg.norm(exact)
    # with conjugate gradients; steepest descent takes thousands
    assert len(calls) < (500 if few else 2500)


def test_float32_stays_float32(rng):
    D = make_multilayer_dictionary(DENSE, dtype="float32", rng=0)
    sample = make_cosparse_signals(D, 5, 3, (12,), n=2, rng=rng)
    problem = csc.MultiLayerProblem(sample.x, D, [FREE, csc.L1(0.05)])
    found = csc.solve(problem, csc.solvers.HolisticPursuit(3, sweep_tol=1e-4, debias=True))
    assert all(g.dtype == "float32" for g in found.codes)
    assert np.isfinite(found.objective)


# Errors.


@pytest.mark.parametrize(
    ("solver", "words"),
    [
        (
            lambda: csc.solvers.ProjectionPursuit((1,)),
            "limits must be one for each of the 2 layers, got 1",
        ),
        (lambda: csc.solvers.ProjectionPursuit((1, 0)), r"limits\[1\] must be >= 1 or None, got 0"),
        (
            lambda: csc.solvers.ProjectionPursuit((1, 1), n_nonzero=-1),
            "n_nonzero must be >= 0",
        ),
        (
            lambda: csc.solvers.ProjectionPursuit((1, 1), max_squared_residual=-1.0),
            "max_squared_residual must be finite and >= 0",
        ),
        (lambda: csc.solvers.HolisticPursuit((1, 2)), "one for each of the 1 mid layers, got 2"),
        (lambda: csc.solvers.HolisticPursuit(21), "cosparsity must be <= 20, the codes of layer 1"),
        (lambda: csc.solvers.HolisticPursuit(-1), "cosparsity must be integers >= 0"),
        (lambda: csc.solvers.HolisticPursuit(1, per_round=0), "per_round must be an integer >= 1"),
        (
            lambda: csc.solvers.HolisticPursuit(1, max_sweeps=0),
            "max_sweeps must be an integer >= 1",
        ),
        (lambda: csc.solvers.HolisticPursuit(1, sweep_tol=0), "sweep_tol must be > 0"),
        (lambda: csc.solvers.HolisticPursuit(1, rho=0), "rho must be > 0"),
    ],
)
def test_bad_limits_and_counts_are_refused(solver, words, rng):
    problem = without_penalty(
        rng.standard_normal((1, 1, 12)), make_multilayer_dictionary(DENSE, rng=0)
    )
    with pytest.raises(ValueError, match=words):
        csc.solve(problem, solver())


def test_problems_that_do_not_suit_are_refused(rng):
    x = rng.standard_normal((1, 1, 20))
    cropped = without_penalty(x, make_multilayer_dictionary(SHAPES, mode="same", rng=0))
    with pytest.raises(ValueError, match="layers all have mode 'full'"):
        csc.solve(cropped, csc.solvers.ProjectionPursuit((1, 1, 1)))
    single = csc.MultiLayerDictionary(cropped.dictionary.layers[:1])
    with pytest.raises(ValueError, match="two or more layers"):
        csc.solve(without_penalty(x, single), csc.solvers.HolisticPursuit(1))
    flat = csc.Problem(x, single.layers[0], csc.L0(0.1))
    for solver in (csc.solvers.ProjectionPursuit((1,)), csc.solvers.HolisticPursuit(1)):
        with pytest.raises(ValueError, match=r"csc\.MultiLayerProblem"):
            csc.solve(flat, solver)


def noisy_cosparse():
    D = csc.datasets.make_multilayer_dictionary([(30, 1, 20), (20, 30, 1)], rng=0)
    x, _, _ = csc.datasets.make_cosparse_signals(D, 4, 3, (20,), n=3, rng=4)
    return D, x + 0.02 * np.random.default_rng(0).standard_normal(x.shape)


@pytest.mark.parametrize("rho", [1e-3, 1e2])
def test_holistic_pursuit_from_a_rho_that_is_far_off(rho):
    D, x = noisy_cosparse()
    problem = csc.MultiLayerProblem(x, D, [csc.L1(0.0), csc.L1(0.05)])
    best = csc.solve(
        problem, csc.solvers.HolisticPursuit(3, sweep_tol=1e-6, max_sweeps=20_000)
    ).codes[-1]
    found = csc.solve(problem, csc.solvers.HolisticPursuit(3, sweep_tol=1e-3, rho=rho)).codes[-1]
    assert np.linalg.norm(found - best) <= 1e-2 * np.linalg.norm(best)


@pytest.mark.parametrize(
    "solver", [csc.solvers.MLADMM(), csc.solvers.HolisticPursuit(3, sweep_tol=1e-3)]
)
def test_strengths_may_be_in_the_weights(solver):
    D, x = noisy_cosparse()
    found = []
    for lmbda, weight in ((0.05, 1.0), (1.0, 0.05)):
        penalties = [csc.L1(lmbda, np.full((k, 1), weight)) for k in (30, 20)]
        solution = csc.solve(csc.MultiLayerProblem(x, D, penalties), solver, tol=1e-6)
        found.append(solution)
    assert found[0].n_iter == found[1].n_iter
    np.testing.assert_allclose(found[0].codes[-1], found[1].codes[-1], atol=1e-6)
