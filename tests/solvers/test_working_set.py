"""The working set on signals larger than their atoms, against the dense lasso."""

import os
import platform
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter

import csc
from csc.certificates._local_dual import best_dual
from csc.kernels._constants import SIMD_WIDTH
from csc.kernels.cpu import (
    add_active,
    correlate_active,
    correlate_at,
    descend_active,
    dual_infeasibility,
    largest_correlations,
    violating_indices,
)
from csc.operators import _support_operator
from csc.operators._sparse_codes import SparseCodes
from csc.operators._support_operator import KnownInfeasibility, PaddedSignals
from csc.problems import _small_form
from csc.solvers._active_set import ActiveSet
from reference import lasso as naive
from reference import patches as naive_patch


@pytest.fixture(autouse=True, scope="module")
def no_signals_are_small():
    """All of them take the path of large ones; `test_small_signals` tests the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_small_form, "MAX_SMALL_CODES", 0)
        yield


@st.composite
def problems(draw, dtype="float64"):
    """A small lasso of any mode, stride, dimension, and dressing."""
    axes = draw(st.integers(1, 3))
    n, c, k = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    s = tuple(draw(st.integers(1, 4 if axes < 3 else 2)) for _ in range(axes))
    S = tuple(e + draw(st.integers(0, (12, 5, 2)[axes - 1])) for e in s)
    mode = draw(st.sampled_from(["full", "valid", "same", "circular"]))
    stride = tuple(draw(st.integers(1, 2)) for _ in range(axes))
    if mode == "circular":
        S = tuple(-(-a // t) * t for a, t in zip(S, stride, strict=True))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    D = csc.Dictionary(rng.standard_normal((k, c, *s)).astype(dtype), mode, stride)
    x = rng.standard_normal((n, c, *S)).astype(dtype)
    mask = (rng.random(x.shape) < 0.6).astype(dtype) if draw(st.booleans()) else None
    if mask is not None:
        mask.flat[0] = 1
    V, weights = D.spatial_code_shape(S), None
    shapes = {"atoms": (k, *(1,) * axes), "places": V, "codes": (k, *V), "all": (n, k, *V)}
    if which := draw(st.sampled_from([None, *shapes])):
        weights = rng.uniform(0.5, 2, shapes[which]).astype(dtype)
    share = draw(st.floats(0.05, 0.9))
    penalty = csc.L1(csc.Relative(share), weights, draw(st.booleans()))
    return csc.Problem(x, D, penalty, mask)


def dense_parts(problem, i):
    """Matrix, signal and lmbdas of signal ``i``, for solvers without convolutions."""
    D = problem.dictionary
    M = naive.synthesis_matrix(
        D.atoms.astype("float64"), problem.x.shape[2:], D.mode, D.geometry.stride
    )
    x = problem.x[i].astype("float64").ravel()
    if problem.mask is not None:
        seen = np.broadcast_to(problem.mask, problem.x.shape)[i].ravel() != 0
        M, x = M[seen], x[seen]
    weights = 1.0 if problem.penalty.weights is None else problem.penalty.weights
    return M, x, np.broadcast_to(problem.penalty.lmbda * weights, problem.code_shape)[i].ravel()


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(problem=problems())
def test_codes_and_gap_are_those_of_the_dense_lasso(problem):
    if not problem.structure.has_local_dual:  # lmbda_max was 0: nothing to find
        return
    solution = csc.solve(problem, csc.solvers.WorkingSet(1e-10), tol=1e-9)
    assert solution.converged, solution
    best = dense = 0.0
    for i, z in enumerate(solution.codes):
        M, x, lmbdas = dense_parts(problem, i)
        theirs = naive_patch.shooting(M, x, lmbdas, problem.penalty.positive, 3000)
        best += naive_patch.lasso_value(M, x, theirs, lmbdas)
        dense += naive_patch.lasso_value(M, x, z.ravel(), lmbdas)
    assert solution.objective == pytest.approx(dense, rel=1e-12)
    assert solution.objective <= best * (1 + 1e-9)
    assert best >= solution.objective - solution.gap - 1e-12  # the bound holds
    assert not problem.penalty.positive or (solution.codes >= 0).all()


@settings(max_examples=25, deadline=None)
@given(problem=problems(), seed=st.integers(0, 99))
def test_the_bound_holds_at_any_codes(problem, seed):
    if not problem.structure.has_local_dual:
        return
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(problem.code_shape) * (rng.random(problem.code_shape) < 0.3)
    z = abs(z) if problem.penalty.positive else z
    objective, gap = problem.certificate(z)
    assert objective == pytest.approx(problem.value(z), rel=1e-12)
    best = csc.solve(problem, csc.solvers.WorkingSet(1e-10), tol=1e-9).objective
    assert gap >= objective - best - 1e-9 * objective


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize(
    ("mode", "spatial_shape", "size"),
    [("full", (40,), (5,)), ("circular", (9, 8), (3, 2)), ("same", (3, 4, 5), (2, 2, 2))],
)
def test_elastic_nets_keep_sparse_codes_and_meet_their_conditions(
    mode, spatial_shape, size, positive, rng
):
    D = csc.Dictionary(rng.standard_normal((3, 2, *size)), mode)
    x, penalty = rng.standard_normal((2, 2, *spatial_shape)), csc.ElasticNet(2.0, 0.3, positive)
    mask = rng.random(x.shape) < 0.8
    problem = csc.Problem(x, D, penalty, mask)
    assert not problem.structure.is_small
    z = rng.standard_normal(problem.code_shape) * (rng.random(problem.code_shape) < 0.3)
    z = abs(z) if positive else z
    found = problem.certificate(SparseCodes.of(z))
    dense = csc.certificates.certificate(x, D, z, penalty, mask)
    np.testing.assert_allclose(found, [a.sum() for a in dense], rtol=1e-10)
    for dtype, tol in ((np.float64, 1e-9), (np.float32, 1e-5)):
        D = csc.Dictionary(D.atoms.astype(dtype), mode)
        problem = csc.Problem(x.astype(dtype), D, penalty, mask)
        solution = csc.solve(problem, csc.solvers.WorkingSet(tol / 10), tol=tol)
        assert solution.converged
        assert isinstance(solution.z, SparseCodes)
        assert solution.codes.dtype == dtype
        assert 0 < len(solution.z.values) < solution.codes.size / 2
        violation = csc.certificates.kkt_violation(problem.x, D, solution.codes, penalty, mask)
        assert violation.max() < tol**0.5 * 10


def photograph(shape=(64, 60), n_atoms=12, size=6, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((n_atoms, 1, size, size)))
    z = rng.standard_normal((1, n_atoms, *(a - size + 1 for a in shape)))
    z *= rng.random(z.shape) < 0.01
    x = csc.Dictionary(atoms)(z) + 0.1 * rng.standard_normal((1, 1, *shape))
    return x.astype(dtype), atoms.astype(dtype)


@pytest.mark.parametrize(("dtype", "tol"), [("float32", 1e-6), ("float64", 1e-10)])
def test_small_gaps_are_reached(dtype, tol):
    x, atoms = photograph(dtype=dtype)
    solution = csc.sparse_code(x, atoms, csc.Relative(0.1), tol=tol)
    assert solution.converged, solution
    assert solution.codes.dtype == dtype
    slow = csc.solve(solution.problem, csc.solvers.FISTA(), tol=1e-3)
    assert abs(solution.objective - slow.objective) <= slow.gap


def test_the_local_dual_is_sharper_and_feasible():
    x, atoms = photograph()
    problem = csc.Problem(x, csc.Dictionary(atoms), csc.L1(csc.Relative(0.1)))
    codes = csc.solve(problem, csc.solvers.WorkingSet(0.03), tol=0.5).z
    active = ActiveSet(problem, SparseCodes.of(codes), "float64")
    local, scaled = (
        active.certificate()[1],
        active.certificate(active.dual_infeasibility(), local=False)[1],
    )
    assert local < 0.5 * scaled
    best = csc.solve(problem, tol=1e-6).objective
    dual = best_dual(active.layout, active.x, active.r, 1 / active.all_lmbda, positive=False)
    assert dual <= best
    assert dual >= best - 2 * local


def test_refinement_never_raises_the_objective_and_takes_more_steps_while_signs_stay():
    x, atoms = photograph(shape=(32, 32))
    problem = csc.Problem(x, csc.Dictionary(atoms), csc.L1(csc.Relative(0.01)))
    active = ActiveSet(problem, SparseCodes.of(problem.zeros()), "float64")
    steps = []
    for _ in range(20):
        active.certified(0.0)
        active.grow()
        active.descend(1)
        before = problem.value(active.codes)
        active.refine(1)
        assert problem.value(active.codes) <= before * (1 + 1e-9)
        steps.append(active.cg_steps)
    assert steps[3] == 6 < steps[-1] <= 60


def test_fewer_codes_are_selected_at_first_and_more_at_last(monkeypatch):
    factors, steps, grow, refine = [], [], ActiveSet.grow, ActiveSet.refine

    def grown(active):
        factors.append(active.weak_factor)
        return grow(active)

    monkeypatch.setattr(ActiveSet, "grow", grown)
    monkeypatch.setattr(
        ActiveSet, "refine", lambda a, *n: steps.append(a.cg_steps) or refine(a, *n)
    )
    x, atoms = photograph(shape=(48, 48), seed=1)
    assert csc.sparse_code(x, atoms, csc.Relative(0.05), tol=1e-4).converged
    assert (np.diff(factors) <= 0).all()
    assert factors[0] > factors[1] > factors[-1]
    assert len(factors) < 9  # 10 with the same factor at last as before
    assert sum(steps) < 50  # 65, or if conjugate gradients begin with ten steps 67


def test_dense_codes_take_few_rounds(monkeypatch):
    monkeypatch.setattr("csc.solvers._rounds.ROUNDS_PER_SHORT_STEP", 10)
    x, atoms = photograph(shape=(48, 48))
    solution = csc.sparse_code(x, atoms, csc.Relative(0.01), tol=1e-4)
    assert np.count_nonzero(solution.codes) > 0.2 * x.size
    assert solution.n_iter <= 2  # of ten rounds


@pytest.mark.usefixtures("all_threads")
def test_the_answer_does_not_depend_on_threads(monkeypatch):
    import numba

    monkeypatch.setattr("csc.kernels.cpu.threads.MULTIPLICATIONS_PER_THREAD", 1)  # always shared
    x, atoms = photograph()
    answers, most = [], numba.get_num_threads()
    for n in (1, most):
        numba.set_num_threads(n)
        answers.append(csc.sparse_code(x, atoms, 0.2).codes)
    numba.set_num_threads(most)
    np.testing.assert_array_equal(*answers)


def test_warm_starts_and_dense_starts_agree():
    x, atoms = photograph(shape=(40, 40))
    first = csc.sparse_code(x, atoms, 0.3, tol=1e-5)
    for start in (first.codes, first.z):
        again = csc.solve(first.problem, init=start, tol=1e-5)
        assert again.objective == pytest.approx(first.objective, rel=1e-5)
    coo = first.sparse_codes
    np.testing.assert_array_equal(coo.toarray() if coo.ndim < 3 else coo.todense(), first.codes)
    reconstruction = csc.Dictionary(atoms)(first.codes)
    np.testing.assert_allclose(first.reconstruction(), reconstruction, atol=1e-5)
    assert "codes non-zero" in repr(first)


# Kernels, against loops.


@pytest.mark.parametrize("density", [1, 0.15])
def test_kernels_against_loops(density, rng, dtype):
    shape, atoms = (2, 3, 7, 11), rng.standard_normal((4, 3, 2, 3)).astype(dtype)
    atoms *= rng.random(atoms.shape) < density
    atoms[:, 0, 0, 0] = 1
    D = csc.Dictionary(atoms, stride=(1, 2))
    layout = PaddedSignals(D, shape, dtype)
    x = rng.standard_normal(shape).astype(dtype)
    z = rng.standard_normal(layout.code_shape).astype(dtype)
    z *= rng.random(z.shape) < 0.4
    rows = [int((a != 0).any(axis=-1).sum()) for a in atoms]
    assert layout.runs.lengths[layout.runs.shape].tolist() == rows  # none of zeros
    codes, tol = SparseCodes.of(z), {"atol": 1e-4 if dtype == "float32" else 1e-12}
    np.testing.assert_array_equal(codes.dense(), z)
    r = layout.buffer(x)
    where, atom = layout.places(codes.index)
    parts = (where, atom, *layout.copies(codes.index), codes.values)
    pieces = layout.pieces(codes.index)
    add_active(r.reshape(-1), layout.padded_atoms, layout.runs, parts, pieces)
    r = np.ascontiguousarray(r)
    np.testing.assert_allclose(layout.synthesize(codes), D(z, shape[2:]), **tol)
    np.testing.assert_allclose(r[..., 0, :, :-8], x + D(z, shape[2:]), **tol)
    q = D.adjoint(x + D(z, shape[2:]))
    out = np.empty(len(where), dtype)
    correlate_active(r.reshape(-1), layout.padded_atoms, layout.runs, where, atom, out)
    np.testing.assert_allclose(out, q[codes.coordinates], **tol)
    everywhere = np.arange(q.size // 4)
    places, _ = layout.places(everywhere * 4)
    all_atoms = np.empty((len(everywhere), 4), dtype)
    correlate_at(r.reshape(-1), layout.padded_atoms, layout.runs, places, all_atoms)
    np.testing.assert_allclose(all_atoms.reshape(2, *q.shape[2:], 4), np.moveaxis(q, 1, -1), **tol)


@pytest.mark.parametrize("positive", [False, True])
def test_violators_exceed_their_bars(positive, rng, dtype):
    D = csc.Dictionary(rng.standard_normal((4, 3, 2, 3)).astype(dtype), stride=(1, 2))
    layout = PaddedSignals(D, (2, 3, 7, 11), dtype)
    x = rng.standard_normal((2, 3, 7, 11)).astype(dtype)
    q = np.moveaxis(D.adjoint(x), 1, -1).reshape(-1, 4)
    places, _ = layout.places(np.arange(len(q)) * 4)
    bars = rng.uniform(0.1, 3, len(places)).astype(dtype)
    offsets = layout.strides @ np.indices(layout.parts[0][1].shape[1:]).reshape(4, -1)
    exceed = np.empty(q.shape, bool)
    flat = layout.buffer(x).reshape(-1)
    violating_indices(flat, D.matrix, offsets, places, bars, positive, exceed)
    values = q if positive else abs(q)
    unsure = abs(values - bars[:, None]) < 1e-4
    np.testing.assert_array_equal(exceed | unsure, (values > bars[:, None]) | unsure)
    assert 0 < exceed.mean() < 1
    largest = np.full(len(q), 0.5, dtype)
    largest_correlations(flat, D.matrix, offsets, places, positive, largest)
    np.testing.assert_allclose(largest, np.maximum(values.max(axis=1), 0.5), rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "atoms", "options"),
    [
        ((2, 3, 12, 17), (4, 3, 2, 3), {"stride": (1, 2)}),
        ((1, 1, 40), (3, 1, 5), {"mode": "same"}),
        ((1, 2, 15, 14), (2, 2, 3, 4), {"mode": "circular"}),
        ((1, 1, 9, 8, 7), (1, 1, 2, 1, 3), {"mode": "valid"}),
    ],
)
def test_only_what_may_have_come_to_exceed_one_is_computed(
    shape, atoms, options, rng, dtype, monkeypatch
):
    monkeypatch.setattr(_support_operator, "MAX_UNCERTAIN_FRACTION", 1)
    D = csc.Dictionary(rng.standard_normal(atoms).astype(dtype), **options)
    layout, tol = PaddedSignals(D, shape, dtype), 1e-5
    inverse, n_computed = rng.uniform(0.5, 2, D.n_atoms).astype(dtype), []
    compute = layout.places_at
    monkeypatch.setattr(layout, "places_at", lambda i: n_computed.append(len(i)) or compute(i))
    for positive, change, unit in product((False, True), (0, 0.02, 0.3, 10), (1, 1e-30)):
        x = (unit * rng.standard_normal(shape)).astype(dtype)  # squares of 1e-30 are 0 in float32
        moved = (x + unit * change * rng.standard_normal(shape)).astype(dtype)
        old, new = (layout.observed(a, None)[0] for a in (x, moved))
        inverse /= np.quantile(layout.dual_infeasibility(old, inverse, positive), 0.8)
        known = KnownInfeasibility(old, layout.dual_infeasibility(old, inverse, positive))
        exact = layout.dual_infeasibility(new, inverse, positive)
        found = layout.dual_infeasibility_near(new, known, inverse, positive)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, np.where(found > 1, exact, found), rtol=tol)
        assert (found > exact - tol).all()
        assert ((found > 1) == (exact > 1))[abs(exact - 1) > tol].all()
        if change == 0:
            assert n_computed[-1] == np.count_nonzero(known.largest > 1) < 0.3 * exact.size
    assert max(n_computed) > 0.9 * exact.size
    monkeypatch.setattr(_support_operator, "MAX_UNCERTAIN_FRACTION", 0)
    np.testing.assert_array_equal(
        layout.dual_infeasibility_near(new, known, inverse, positive), exact
    )


def test_dual_infeasibility_is_the_largest_correlation_over_lmbda(rng, dtype):
    D = csc.Dictionary(rng.standard_normal((4, 3, 2, 3)).astype(dtype), stride=(1, 2))
    layout = PaddedSignals(D, (2, 3, 7, 11), dtype)
    x = rng.standard_normal((2, 3, 7, 11)).astype(dtype)
    r, q = layout.buffer(x), D.adjoint(x)
    tol = {"atol": 1e-4 if dtype == "float32" else 1e-12}
    inverse, top = rng.uniform(0.5, 2, 4).astype(dtype), np.empty((2, 1, *q.shape[2:]), dtype)
    for positive in (False, True):
        dual_infeasibility(r[..., :-8], layout.parts[0][1], inverse, layout.stride, positive, top)
        values = np.maximum(q, 0) if positive else abs(q)
        expected = (values * inverse[:, None, None]).max(axis=1)
        np.testing.assert_allclose(top[:, 0], expected, **tol)


def test_one_sweep_is_that_of_scalar_minimisations(rng):
    atoms = rng.standard_normal((2, 1, 3))
    problem = csc.Problem(rng.standard_normal((1, 1, 9)), csc.Dictionary(atoms), csc.L1(0.3))
    active = ActiveSet(problem, SparseCodes.of(np.ones(problem.code_shape)), "float64")
    M = naive.synthesis_matrix(atoms, (9,)).reshape(9, 2, 7).transpose(0, 2, 1).reshape(9, 14)
    z = np.ones(14)  # positions first, as the active set sweeps
    for _ in range(2):
        for j, d in enumerate(M.T):
            goal = z[j] + d @ (problem.x.ravel() - M @ z) / (d @ d)
            z[j] = naive.soft(goal, 0.3 / (d @ d))
    active.descend(2)
    np.testing.assert_allclose(active.codes.values, z, atol=1e-12)
    assert descend_active.__module__ == "csc.kernels.cpu.active_set"


@pytest.mark.parametrize("mode", ["full", "circular"])
@pytest.mark.parametrize(("shape", "size"), [((40, 9), (3, 3)), ((200,), (7,)), ((9, 30), (9, 2))])
@pytest.mark.parametrize("most", [128, 12, 4])
@pytest.mark.parametrize("density", ["all", "few", "uneven", "none"])
def test_pieces_two_apart_share_no_sample(shape, size, mode, most, density, rng, monkeypatch):
    monkeypatch.setattr(_support_operator, "MAX_PIECES", most)
    D = csc.Dictionary(rng.standard_normal((2, 1, *size)), mode)
    layout = PaddedSignals(D, (3, 1, *shape), "float64")
    index = np.arange(np.prod(layout.code_shape))
    shares = {"all": 2, "few": 0.02, "uneven": index[::-1] / index[-1] * (index % 997 < 400)}
    index = index[rng.random(len(index)) < shares.get(density, 0)]
    pieces = layout.pieces(index)
    assert len(pieces) - 1 <= most
    assert len(pieces) % 2 == 1
    assert pieces[0] == 0
    assert pieces[-1] == len(index)
    where, _ = layout.places(index)
    first, copies = layout.copies(index)
    box = (layout.runs.starts[0][:, None] + np.arange(SIMD_WIDTH)).ravel()
    owner = [np.full(layout.buffer().size, -1) for _ in range(2)]
    for p in range(len(pieces) - 1):
        start, stop = pieces[p : p + 2]
        if start < stop:
            places = where[start:stop]
            if len(first):
                places = np.append(places, copies[first[start] : first[stop]])
            touched = np.unique(places[:, None] + box)
            assert (owner[p % 2][touched] == -1).all()
            owner[p % 2][touched] = p


def test_pieces_have_about_as_many_codes_each(rng):
    D = csc.Dictionary(np.ones((2, 1, 3, 3)))
    layout = PaddedSignals(D, (2, 1, 302, 22), "float32")
    density = np.repeat([0.02, 0.3], [200, 100])[
        None, :, None, None
    ]  # codes lie in the lower third
    codes = rng.random((2, 300, 20, 2)) < density
    numbers = np.diff(layout.pieces(np.flatnonzero(codes)))
    assert len(numbers) == 32
    assert numbers.max() < 1.5 * numbers.mean()


def test_signals_that_wrap_are_the_same_in_every_copy(rng):
    D = csc.Dictionary(rng.standard_normal((2, 2, 3, 4)), "circular", (1, 2))
    layout = PaddedSignals(D, (2, 2, 5, 8), "float64")
    z = rng.standard_normal(layout.code_shape)
    codes = SparseCodes.of(z)
    r = layout.buffer()
    layout.subtract(r, codes)
    np.testing.assert_allclose(r[layout.inside][:, :, 0], -D.pad(D(z, (5, 8))), atol=1e-12)
    np.testing.assert_allclose(layout.synthesize(codes), D(z, (5, 8)), atol=1e-12)


@pytest.mark.parametrize("mode", ["full", "valid", "same", "circular"])
def test_neighbourhoods_are_those_of_overlapping_atoms(mode, rng):
    D = csc.Dictionary(rng.standard_normal((1, 1, 3, 2)), mode, (2, 1))
    layout = PaddedSignals(D, (1, 1, 8, 7), "float64")
    a = rng.random((1, *layout.code_shape[2:]))
    cover = naive.synthesis_matrix(np.ones((1, 1, 3, 2)), (8, 7), mode, (2, 1))
    covered = np.where(cover, a.ravel(), 0).max(axis=1)
    covering = layout.max_over_covering_atoms(a)[layout.own].ravel()
    np.testing.assert_array_equal(covering, np.where(covered > 0, covered, 1))
    if mode in {"full", "circular"}:  # elsewhere atoms may overlap outside
        overlap = cover.T @ cover > 0
        nearby = np.where(overlap, a.ravel(), 0).max(axis=1)
        np.testing.assert_array_equal(layout.local_max(a).ravel(), nearby)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("positive", [False, True])
def test_what_is_known_in_float32_bounds_float64(scale, positive):
    rng = np.random.default_rng(3)
    atoms = rng.standard_normal((5, 3, 4, 6)).astype("float32")
    x = (scale * rng.standard_normal((2, 3, 30, 25))).astype("float32")
    D, inverse_lmbda = csc.Dictionary(atoms), 1 / (scale * rng.uniform(1, 9, 5))
    single, double = (PaddedSignals(D, x.shape, dtype) for dtype in ("float32", "float64"))
    r = single.buffer(D.pad(x))
    settings_of_single = inverse_lmbda.astype("float32"), positive
    known = KnownInfeasibility(r, single.dual_infeasibility(r, *settings_of_single))
    bound = double.with_rounding(known, inverse_lmbda).largest
    exact = double.dual_infeasibility(double.buffer(D.pad(x)), inverse_lmbda, positive)
    assert (bound >= exact).all()
    assert (known.largest < exact).any()  # without the bound on rounding errors
    np.testing.assert_allclose(bound, exact, rtol=1e-3, atol=1e-3 * exact.max())


@pytest.mark.parametrize("penalty", [csc.L1(csc.Relative(0.1)), csc.ElasticNet(0.3, 0.2)])
def test_the_certificate_of_a_solve_is_that_of_the_problem(penalty):
    x, atoms = photograph(shape=(48, 48))
    problem = csc.Problem(x, csc.Dictionary(atoms), penalty)
    solution = csc.solve(problem, csc.solvers.WorkingSet(), tol=1e-4)
    assert problem.x.dtype == "float32"
    objective, gap = problem.certificate(solution.z)
    assert solution.objective == pytest.approx(objective, rel=1e-12)
    assert solution.gap == pytest.approx(gap, rel=1e-6)


@pytest.mark.parametrize("shape", [(7, 9), (6, 30)])
def test_maxima_where_atoms_reach_beyond_all_positions(shape, rng):
    D = csc.Dictionary(rng.standard_normal((2, 1, 6, 5)), "full")
    layout = PaddedSignals(D, (2, 1, *shape), "float64")
    a = rng.random((2, *layout.code_shape[2:]))
    expected = maximum_filter(a, (1, 11, 9), mode="constant")
    np.testing.assert_array_equal(layout.local_max(a), expected)


FAULTS = """
import resource
import numpy as np, csc
x = np.random.default_rng(0).standard_normal((1, 1, 2**18))
problem = csc.Problem(x, csc.Dictionary(np.ones((1, 1, 3))), csc.L1(1.0))
csc.solve(problem, csc.solvers.WorkingSet(), max_iter=1)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(2**17) for _ in range(50)]
    del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"MALLOC_TRIM_THRESHOLD_": "65536"},
        {"MALLOC_MMAP_THRESHOLD_": "65536"},
        {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2:glibc.malloc.trim_threshold=65536"},
        {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=65536"},
        {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"},
    ],
    ids=str,
)
def test_large_solves_keep_what_they_free_unless_the_user_chose(choice):
    mine = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", FAULTS]
    done = subprocess.run(command, env=mine | choice, capture_output=True, text=True, check=True)
    pages_of_arrays = 50 * 8 * 2**17 // 4096
    assert (int(done.stdout) > 0.5 * pages_of_arrays) == ("threshold" in str(choice).lower())
