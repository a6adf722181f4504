"""Multi-layer dictionaries, problems and pursuits against dense transcriptions."""

import dataclasses
import inspect
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import csc
from reference import multilayer as naive

LMBDAS = (0.1, 0.07, 0.05)


def dictionary(rng, n_layers=2, modes="full", stride=1, dtype="float64", dims=1):
    shapes = [(3, 1, 4), (4, 3, 3), (2, 4, 2)][:n_layers]
    modes = [modes] * n_layers if isinstance(modes, str) else modes
    layers = []
    for (k, c, s), mode in zip(shapes, modes, strict=True):
        atoms = rng.standard_normal((k, c, *(s,) * dims))
        atoms = csc.constraints.UnitSphere().project(atoms).astype(dtype)
        layers.append(csc.Dictionary(atoms, mode, stride))
    return csc.MultiLayerDictionary(layers)


def problem(rng, n_layers=2, n=2, extent=12, **kinds):
    D = dictionary(rng, n_layers, **kinds)
    x = rng.standard_normal((n, 1, *(extent,) * (D.atoms.ndim - 2))).astype(D.dtype)
    return csc.MultiLayerProblem(x, D, [csc.L1(lm) for lm in LMBDAS[:n_layers]])


# The dictionary.


@settings(max_examples=10, deadline=None)
@given(
    mode=st.sampled_from(["full", "valid", "same", "circular"]), stride=st.integers(1, 2),
    n_layers=st.integers(1, 3), dims=st.integers(1, 2), seed=st.integers(0, 99),
)  # fmt: skip
def test_the_layers_are_the_product_of_their_matrices(mode, stride, n_layers, dims, seed):
    rng = np.random.default_rng(seed)
    D = dictionary(rng, n_layers, mode, stride, dims=dims)
    S = (16, 8)[:dims] if mode == "circular" else (27,) if dims == 1 else (15, 9)
    if dims == 2 and n_layers == 3:
        D = csc.MultiLayerDictionary(D.layers[:2])
    K = naive.products(naive.matrices(D.layers, S))
    x = rng.standard_normal((2, 1, *S))
    z = rng.standard_normal((2, D.n_atoms, *D.spatial_code_shape(S)))
    flat = z.reshape(2, -1)
    np.testing.assert_allclose(D(z, S).reshape(2, -1), flat @ K[0].T, atol=1e-10)
    np.testing.assert_allclose(D.adjoint(x).reshape(2, -1), x.reshape(2, -1) @ K[0], atol=1e-10)
    for j in range(1, len(D)):
        middle = D.synthesize(z, to_layer=j, shape=S).reshape(2, -1)
        np.testing.assert_allclose(middle, flat @ K[j].T, atol=1e-10)
    assert D.lipschitz(S) >= np.linalg.norm(K[0], 2) ** 2 * (1 - 1e-12)
    if mode != "same":
        effective = D.effective()
        np.testing.assert_allclose(effective(z, S), D(z, S), atol=1e-10)
        assert effective.spatial_code_shape(S) == D.spatial_code_shape(S)


@pytest.mark.parametrize("mode", ["full", "valid", "circular"])
@pytest.mark.parametrize("strides", [(1, 2, 1), (2, 1, 3), (3, 2, 1)])
def test_effective_atoms_are_what_a_code_of_any_layer_makes_at_every_position(mode, strides, rng):
    parts = zip(dictionary(rng, 3).layers, strides, strict=True)
    D = csc.MultiLayerDictionary(csc.Dictionary(part.atoms, mode, t) for part, t in parts)
    S = (36,)
    dense, product = naive.matrices(D.layers, S), np.eye(36)
    for i, layer in enumerate(dense, 1):
        product = product @ layer
        effective = D.effective(i)
        assert effective.geometry.stride == (np.prod(strides[:i]),)
        n = product.shape[1]
        ones = np.eye(n).reshape(n, effective.n_atoms, -1)  # one code, at each position in turn
        np.testing.assert_allclose(effective(ones, S).reshape(n, -1), product.T, atol=1e-12)


def test_effective_atoms_of_cropped_layers_are_refused(rng):
    for modes in ("same", ["full", "valid"]):
        with pytest.raises(ValueError, match="no convolution together"):
            dictionary(rng, modes=modes).effective()
    D = dictionary(rng, modes="same")
    assert D.effective(1) is D.layers[0]


@pytest.mark.parametrize("rule", ["soft", "hard", "relu"])
def test_forward_is_layered_thresholding(rule, rng):
    D = dictionary(rng, 2)
    x = rng.standard_normal((2, 1, 12))
    thresholds = [0.3, np.linspace(0.1, 0.4, 4)]
    codes, below = D.forward(x, thresholds, rule), x
    rules = {
        "soft": lambda v, b: np.sign(v) * np.maximum(abs(v) - b, 0),
        "hard": lambda v, b: v * (abs(v) > b),
        "relu": lambda v, b: np.maximum(v - b, 0),
    }
    for layer, beta, g in zip(D.layers, thresholds, codes, strict=True):
        below = rules[rule](layer.adjoint(below), np.reshape(beta, (-1, 1)))
        np.testing.assert_allclose(g, below)
    assert 0 < np.count_nonzero(codes[1]) < codes[1].size


# Pursuits.


@pytest.mark.parametrize("n_layers", [2, 3])
@pytest.mark.parametrize(("mode", "stride"), [("full", 1), ("valid", 2), ("circular", 1)])
def test_iterates_equal_the_transcription(n_layers, mode, stride, rng, xp):
    p = problem(rng, n_layers, modes=mode, stride=stride, extent=18)
    dense = naive.matrices(p.dictionary.layers, p.x.shape[2:])
    solvers = csc.solvers.MLISTA(0.7), csc.solvers.MLFISTA(0.7, restart=False)
    q = csc.to_device(p, "cpu" if xp is np else "gpu")
    states = [solver.init(q, q.zeros()) for solver in solvers]
    mus = states[0].step_sizes
    starts = [np.zeros(p.layers[-1].zeros()[0].size)] * 2
    expected = [naive.ml_fista(dense, p.x[n].ravel(), starts[n], LMBDAS, mus, 8) for n in (0, 1)]
    z = list(starts)
    for k in range(8):
        states = [s.step(q, state) for s, state in zip(solvers, states, strict=True)]
        found = [csc.to_device(state.z, "cpu") for state in states]
        for n in (0, 1):
            codes = naive.ml_ista_pass(dense, p.x[n].ravel(), z[n], LMBDAS, mus)
            z[n] = codes[-1]
            for layer in range(n_layers):
                g = [codes_of[layer][n].ravel() for codes_of in found]
                np.testing.assert_allclose(g[0], codes[layer], atol=1e-12)
                np.testing.assert_allclose(g[1], expected[n][k][layer], atol=1e-12)
    assert z[0].any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_layer_is_the_single_layer_solver_bit_for_bit(dtype, rng):
    p = problem(rng, 1, dtype=dtype, extent=30)
    single = csc.Problem(p.x, p.dictionary.layers[0], csc.L1(LMBDAS[0]))
    pairs = [
        (csc.solvers.MLISTA(), csc.solvers.ISTA()),
        (csc.solvers.MLFISTA(), csc.solvers.FISTA()),
        (csc.solvers.MLFISTA(restart=False), csc.solvers.FISTA(restart=False)),
    ]
    for many, one in pairs:
        a, b = many.init(p, p.zeros()), one.init(single, single.zeros())
        for _ in range(25):
            a, b = many.step(p, a), one.step(single, b)
        np.testing.assert_array_equal(a.z[0], b.z)
        assert a.z[0].dtype == dtype


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "stride", "n_layers"), [("full", 1, 3), ("same", 2, 2), ("circular", 1, 2)]
)
def test_ml_admm_reaches_the_minimum_with_a_certificate(mode, stride, n_layers, rng):
    p = problem(rng, n_layers, n=1, modes=mode, stride=stride, extent=12)
    solution = csc.solve(p, tol=1e-7)
    assert solution.converged
    assert solution.gap <= 1e-7 * solution.objective
    assert [g.shape for g in solution.codes] == p.code_shapes
    dense = naive.matrices(p.dictionary.layers, p.x.shape[2:])
    deepest, lmbdas = solution.codes[-1], LMBDAS[:n_layers]
    value = naive.value(dense, p.x.ravel(), deepest.ravel(), lmbdas)
    assert solution.objective == pytest.approx(value)


@pytest.mark.slow
@pytest.mark.parametrize("n_layers", [2, 3])
def test_the_minimum_is_that_of_a_general_solver(n_layers, rng):
    p = problem(rng, n_layers, n=1, extent=9)
    dense = naive.matrices(p.dictionary.layers, (9,))
    expected = naive.minimum(dense, p.x.ravel(), LMBDAS[:n_layers])
    assert csc.solve(p, tol=1e-10).objective == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_the_floor_of_ml_ista_falls_with_the_step_and_the_gap_sees_it(rng):
    p = problem(rng, 2, n=1)
    best = csc.solve(p, tol=1e-8).objective
    dual_infeasibility = []
    for fraction in (0.4, 0.2):
        solution = csc.solve(p, csc.solvers.MLFISTA(fraction), tol=1e-9, max_iter=2500)
        dual_infeasibility.append(solution.objective - best)
        assert dual_infeasibility[-1] <= solution.gap <= 2 * dual_infeasibility[-1]
        assert "lower fraction" in solution.message
    ratios = np.array(dual_infeasibility[:-1]) / dual_infeasibility[1:]
    assert ((ratios > 1.7) & (ratios < 2.3)).all()
    slow = csc.solve(p, csc.solvers.MLISTA(0.4), tol=1e-12, max_iter=1500)
    assert (
        0.5 < (slow.objective - best) / dual_infeasibility[0] < 2
    )  # it is slow, and not there yet


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(n_layers=st.integers(1, 3), scale=st.floats(0, 2), seed=st.integers(0, 999))
def test_the_gap_bounds_the_excess_anywhere(n_layers, scale, seed):
    rng = np.random.default_rng(seed)
    p = problem(rng, n_layers, n=1)
    z = scale * rng.standard_normal(p.code_shape) * (rng.random(p.code_shape) < 0.3)
    best = csc.solve(p, tol=1e-3)
    objective, gap = p.certificate([z])
    assert objective - gap <= best.objective
    duals = [rng.standard_normal(shape) for shape in p.code_shapes[:-1]]
    _, other = p.certificate([z], duals)
    assert objective - other <= best.objective
    dense = naive.matrices(p.dictionary.layers, (12,))
    r = p.x.ravel() - naive.products(dense)[0] @ z.ravel()
    dual = naive.dual_value(dense, p.x.ravel(), r, [u.ravel() for u in duals], LMBDAS[:n_layers])
    assert objective - other >= dual - 1e-9


def assert_closes_at_the_minimum(certificate, p, solution, duals):
    """The dual point of a minimiser, with its true duals, leaves no gap."""
    objective, gap = certificate(p, solution.codes, duals)
    assert gap <= 1e-8 * objective


@pytest.mark.slow
def test_the_certificate_hands_the_duals_down_and_a_wrong_hand_is_caught(rng):
    p, solver = problem(rng, 3, n=1), csc.solvers.MLADMM()
    solution = csc.solve(p, solver, tol=3e-9)
    state = solver.init(p, p.zeros())
    for _ in range(solution.n_iter):
        state = solver.step(p, state)
    duals = [state.rho * w for w in state.w[:-1]]
    assert_closes_at_the_minimum(csc.MultiLayerProblem.certificate, p, solution, duals)
    source = textwrap.dedent(inspect.getsource(csc.MultiLayerProblem.certificate))
    assert source.count("w = q - subgradients[i]") == 1
    for wrong in ("w = q + subgradients[i]", "w = q", "w = subgradients[i] - q"):
        names = dict(vars(inspect.getmodule(csc.MultiLayerProblem)))
        exec(source.replace("w = q - subgradients[i]", wrong), names)
        with pytest.raises(AssertionError):
            assert_closes_at_the_minimum(names["certificate"], p, solution, duals)


@pytest.mark.parametrize("penalty", ["positive", "weights", "elastic"])
def test_other_convex_penalties(penalty, rng):
    D = dictionary(rng)
    x = rng.standard_normal((1, 1, 12))
    penalties = {
        "positive": [csc.L1(0.1), csc.L1(0.1, positive=True)],
        "weights": [csc.L1(0.1, np.array([[1.0], [2.0], [0.5]])), csc.L1(0.1)],
        "elastic": [csc.L1(0.1), csc.ElasticNet(0.1, 0.5)],
    }[penalty]
    solution = csc.solve(csc.MultiLayerProblem(x, D, penalties), tol=1e-5)
    assert solution.converged
    if penalty == "positive":
        assert (solution.codes[-1] >= 0).all()


def test_float32_stays_float32_and_converges(rng):
    p = problem(rng, 2, n=1, dtype="float32", extent=20)
    for solver in (csc.solvers.MLFISTA(), csc.solvers.MLISTA()):
        solution = csc.solve(p, solver, tol=1e-4, max_iter=50)
        assert all(g.dtype == "float32" for g in solution.codes)
        assert np.isfinite(solution.gap)
    solution = csc.solve(p, csc.solvers.MLADMM(), tol=1e-4)
    assert all(g.dtype == "float32" for g in solution.codes)
    assert solution.converged


def test_an_interrupted_pursuit_goes_on_from_its_codes(rng):
    p = problem(rng, n=1)

    def interrupt(_progress):
        raise KeyboardInterrupt

    solution = csc.solve(p, tol=1e-6, callback=interrupt)
    assert solution.status is csc.solvers.Status.INTERRUPTED
    again = csc.solve(p, tol=1e-6, init=solution.codes)
    for wrong in (solution.codes[:1], solution.codes[-1]):
        with pytest.raises(ValueError, match="init must be a list with the codes of all"):
            csc.solve(p, init=wrong)
    assert again.converged
    assert "codes non-zero" in repr(again)
    assert [g.shape for g in again.sparse_codes] == p.code_shapes


def test_relative_strengths_are_of_each_layers_correlations(rng):
    D, x = dictionary(rng), rng.standard_normal((2, 1, 12))
    p = csc.MultiLayerProblem(x, D, [csc.L1(csc.Relative(0.1)), csc.L1(csc.Relative(0.5))])
    tops = [abs(D.layers[0].adjoint(x)).max(), abs(D.adjoint(x)).max()]
    assert p.penalties[0].lmbda == pytest.approx(0.1 * tops[0])
    assert p.penalties[1].lmbda == pytest.approx(0.5 * tops[1])


# Errors.


def test_layers_that_do_not_fit_are_named(rng):
    D1, D2 = dictionary(rng).layers
    bad = {
        "channels": [D1, csc.Dictionary(np.ones((2, 5, 3)))],
        "spatial axes": [D1, csc.Dictionary(np.ones((2, 3, 3, 3)))],
        "dtype": [D1, csc.Dictionary(D2.atoms.astype("float32"))],
    }
    for what, layers in bad.items():
        with pytest.raises(ValueError, match=f"layers 1 and 2 do not fit.*{what}"):
            csc.MultiLayerDictionary(layers)
    with pytest.raises(ValueError, match="empty"):
        csc.MultiLayerDictionary([])
    with pytest.raises(TypeError, match=r"layer 2 must be a csc\.Dictionary"):
        csc.MultiLayerDictionary([D1, D2.atoms])
    with pytest.raises(ValueError, match="layer 2 does not fit: atoms of shape"):
        csc.MultiLayerDictionary([D1, D2]).spatial_shapes((5,))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"dictionary": 3}, TypeError, "csc.MultiLayerDictionary"),
        ({"penalties": [csc.L1(0.1)]}, ValueError, "one for each of the 2 layers"),
        ({"penalties": [csc.L1(0.1), 0.1]}, TypeError, "penalty 2 must be a penalty"),
        ({"x": np.full((1, 1, 12), np.nan)}, ValueError, "x holds NaN"),
        ({"x": np.ones((1, 2, 12))}, ValueError, "channels"),
        ({"x": np.ones((1, 1, 12), "float32")}, TypeError, "one precision"),
    ],
)
def test_bad_problems_are_refused(change, error, words, rng):
    with pytest.raises(error, match=words):
        dataclasses.replace(problem(rng), **change)


def test_bad_calls_are_refused(rng):
    p = problem(rng)
    with pytest.raises(ValueError, match="FISTA solves a csc.Problem, of one layer"):
        csc.solve(p, csc.solvers.FISTA())
    with pytest.raises(ValueError, match="cannot solve this problem: it needs a csc.MultiLayer"):
        csc.solve(p.layers[0], csc.solvers.MLISTA())
    with pytest.raises(ValueError, match="thresholds must be one for each"):
        p.dictionary.forward(p.x, [0.1])
    with pytest.raises(ValueError, match=r"thresholds\[1\] must be >= 0"):
        p.dictionary.forward(p.x, [0.1, -0.1])
    with pytest.raises(ValueError, match=r"thresholds\[0\] must be a finite number"):
        p.dictionary.forward(p.x, [np.ones(5), 0.1])
    with pytest.raises(ValueError, match="rule must be one of"):
        p.dictionary.forward(p.x, [0.1, 0.1], "gelu")
    with pytest.raises(ValueError, match="layers must be 0"):
        p.dictionary.synthesize(p.zeros()[-1], 1, 1)
    for solver in (csc.solvers.MLISTA, csc.solvers.MLFISTA):
        with pytest.raises(ValueError, match="fraction must be > 0"):
            solver(0)
    for arguments in ({"rho": 0}, {"relaxation": 2}, {"cg_steps": 0}):
        with pytest.raises(ValueError, match="must be"):
            csc.solvers.MLADMM(**arguments)
