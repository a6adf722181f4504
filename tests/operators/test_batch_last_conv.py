"""Convolution batch last in memory, and over lists of samples that are not zero.

The kernels are `lay_out`, `sum_products`, `shrink_products` and `largest_products`.
"""

import numba
import numpy as np
import pytest

import csc
from csc.kernels.cpu.batch_last_conv import ROWS_PER_PART
from csc.operators._batch_last_conv import (
    MAX_SPARSE_DENSITY,
    BatchLastConv,
    batch_last,
    is_batch_last,
)
from csc.operators._conv_plan import ConvPlan, Method
from csc.testing import dot_test
from reference import conv as naive_conv

MODES = ("full", "valid", "same", "circular")
# atoms, signals and stride: shorter and longer than a block, odd ends, one position, three axes
SHAPES = [
    ((5,), (23,), 2), ((4,), (200,), 1), ((5,), (201,), 3), ((4, 5), (12, 18), (2, 3)),
    ((7, 7), (7, 7), 1), ((3, 3), (9, 9), 3), ((2, 3, 2), (6, 6, 8), (1, 3, 2)), ((1,), (70,), 1),
]  # fmt: skip
MODEL = [((32, 1, 8, 8), 2, 1.0), ((40, 32, 5, 5), 1, 0.02), ((64, 40, 7, 7), 1, 0.02)]


def whole(rng, shape, density, dtype):
    """Whole numbers, so that every sum is exact; no atom is all zeros."""
    a = rng.integers(-3, 4, shape) * (rng.random(shape) < density)
    a[:, 0].reshape(len(a), -1)[:, 0] = 1
    return a.astype(dtype)


def cases(shape, density=1.0, dtype="float32", n=17):
    """Dictionaries of all modes that fit, signals and codes."""
    rng, (spatial_shape, signal, stride) = np.random.default_rng(0), shape
    for mode in MODES:
        D = csc.Dictionary(whole(rng, (5, 3, *spatial_shape), density, dtype), mode, stride)
        try:
            codes = D.spatial_code_shape(signal)
        except ValueError:  # a circle must be as long as whole strides
            continue
        x, z = (whole(rng, (n, *rest), 1.0, dtype) for rest in ((3, *signal), (5, *codes)))
        yield D, x, z


def naive_maps(D, x, z):
    """Both maps by their definition: in mode "full", borders by their own operator."""
    ones = (1,) * (5 - x.ndim)
    three = [a.reshape(*a.shape[:2], *ones, *a.shape[2:]) for a in (D.pad(x), D.atoms, z)]
    steps = (*ones, *D.geometry.stride)
    codes = naive_conv.correlate(*three[:2], steps, three[2].shape[2:])
    signal = naive_conv.synthesize(*three[:0:-1], steps, three[0].shape[2:])
    padded = signal.reshape(*signal.shape[:2], *D.geometry.padded_shape(x.shape[2:]))
    return codes.reshape(z.shape), D.geometry.unpad(padded, x.shape[2:])


def conv_of(D, x, *, batch_last=False):
    shape = len(x), *x.shape[2:]
    return BatchLastConv(D.atoms, D.geometry, shape, batch_last=batch_last)


def method(D, x):
    return ConvPlan.of(D, x, x.shape[2:]).method


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 3, 17, 70])
@pytest.mark.parametrize("density", [1.0, 0.2])
def test_maps_equal_their_transcriptions(dtype, n, density):
    for shape in SHAPES:
        for D, x, z in cases(shape, density, dtype, n):
            codes, signal = naive_maps(D, x, z)
            for order in {np.ascontiguousarray, batch_last if n > 1 else np.ascontiguousarray}:
                own = conv_of(D, x, batch_last=order is batch_last)
                found = own.correlate(order(x)), own.synthesize(order(z))
                assert {a.dtype for a in found} == {D.dtype}
                np.testing.assert_array_equal(found[0], codes, err_msg=f"{D} {order}")
                np.testing.assert_array_equal(found[1], signal, err_msg=f"{D} {order}")


def test_a_dictionary_uses_sparse_where_most_samples_are_zeros_and_stays_adjoint():
    rng = np.random.default_rng(1)
    for spatial_shape, signal, stride in SHAPES[:-1]:
        atoms = whole(rng, (9, 4, *spatial_shape), 0.05, "float64")
        D = csc.Dictionary(atoms, "valid", stride)
        x = rng.standard_normal((2, 4, *signal))
        assert method(D, x) is Method.BATCH_LAST
        dot_test(D, signal)
        dense = csc.Dictionary(rng.standard_normal(atoms.shape))
        assert method(dense, x) is not Method.BATCH_LAST


def test_large_sparse_atoms_go_through_the_fourier_domain_where_that_is_faster():
    rng = np.random.default_rng(1)
    atoms = rng.standard_normal((16, 1, 40, 40)) * (rng.random((16, 1, 40, 40)) < 0.3)
    D, x = csc.Dictionary(atoms), np.zeros((1, 1, 600, 600))
    assert D.n_terms < MAX_SPARSE_DENSITY * atoms.size
    assert method(D, x) is Method.FFT


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("density", [1.0, 0.2])
def test_the_largest_product_of_all_atoms_is_that_of_the_transcription(dtype, density):
    """`largest_products` of more atoms than are summed at once, times powers of 2: all is exact."""
    rng = np.random.default_rng(7)
    for shape in SHAPES:
        for few, x, _ in cases(shape, density, dtype, 2):
            rows = (-1, *(1,) * (x.ndim - 2))
            scales = rng.choice([0.25, 0.5, 2], 141).astype(dtype)
            atoms = few.atoms[np.arange(141) % 5] * rng.choice([1, 2], 141).reshape(
                -1, 1, *rows[1:]
            )
            D = csc.Dictionary(atoms.astype(dtype), few.mode, few.stride)
            z = np.zeros((2, 141, *D.spatial_code_shape(x.shape[2:])), dtype)
            codes = naive_maps(D, x, z)[0] * scales.reshape(rows)
            for positive in (False, True):
                found = conv_of(D, x).dual_infeasibility(x, scales, positive)
                expected = np.maximum(codes, 0) if positive else abs(codes)
                np.testing.assert_array_equal(found, expected.max(axis=1))


def test_a_thread_that_steps_meanwhile_does_not_change_the_step_size():
    """What is kept between steps is another thread's whenever it is looked at."""

    class Overtaken(BatchLastConv):
        _scaled = property(lambda _: (0.2, np.full(16, 5.0)), lambda *_: None)

    rng = np.random.default_rng(8)
    D, x = csc.Dictionary(rng.standard_normal((3, 1, 4))), rng.standard_normal((1, 1, 9))
    z, prox = D.adjoint(x), (np.zeros(3), 1.0, False)
    steps = []
    for kind in (BatchLastConv, Overtaken):
        own = kind(D.atoms, D.geometry, (1, 9), batch_last=False)
        steps.append(own.proximal_step(x, (0 * x, 0 * x), (z, z, 0.0), 0.1, prox)[0])
    np.testing.assert_array_equal(*steps)


def test_memory_keeps_its_order():
    D, x, z = next(cases(SHAPES[0], 0.1))
    for a in (D(batch_last(z), x.shape[2:]), D.adjoint(batch_last(x))):
        assert is_batch_last(a)
    for a in (D(z, x.shape[2:]), D.adjoint(x)):
        assert a.flags.c_contiguous


@pytest.mark.parametrize("density", [1.0, 0.2])
@pytest.mark.parametrize("order", [np.ascontiguousarray, batch_last])
def test_a_fused_step_is_the_prox_of_the_gradient_step(order, density):
    rng = np.random.default_rng(2)
    for D, x, z_old in cases(SHAPES[3], density, "float64"):
        z = z_old + rng.standard_normal(z_old.shape)
        fit, fit_old = D(z, x.shape[2:]), D(z_old, x.shape[2:])
        thresholds, step, momentum, factor = rng.random(D.n_atoms), 0.01, 0.4, 0.9
        y = z + momentum * (z - z_old)
        v = y + step * D.adjoint(x - D(y, x.shape[2:]))
        levels = thresholds[:, None, None]
        expected = factor * np.sign(v) * np.maximum(abs(v) - levels, 0)
        own = conv_of(D, x, batch_last=order is batch_last)
        given, fits, point = order(x), (order(fit), order(fit_old)), (order(z), order(z_old))
        point = *point, momentum
        found, restart_score = own.proximal_step(
            given, fits, point, step, (thresholds, factor, False)
        )
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
        assert restart_score == pytest.approx(
            float(((y - expected) * (expected - z)).sum()), rel=1e-10
        )
        found, _ = own.proximal_step(given, fits, point, step, (thresholds, 1.0, True))
        np.testing.assert_allclose(found, np.maximum(v - levels, 0), rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.usefixtures("all_threads")
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS == 1, reason="Numba has one thread only")
def test_number_of_threads_changes_no_bit():
    rng, default = np.random.default_rng(3), numba.get_num_threads()
    D = csc.Dictionary(rng.standard_normal((5, 3, 4, 4)).astype("float32"))
    x = batch_last(rng.standard_normal((150, 3, 9, 9)).astype("float32"))
    z = D.adjoint(x)
    steps = []
    for threads in (1, default):
        numba.set_num_threads(threads)
        fit, prox = D(z, (9, 9)), (np.full(5, 0.1, "float32"), 1.0, False)
        steps.append((fit, *D.proximal_step(x, 0.1, (z, z, 0.0), prox, (fit, fit))))
    for one, many in zip(*steps, strict=True):
        np.testing.assert_array_equal(one, many)


def layers_and_signals(n, rng):
    layers = []
    for shape, stride, density in MODEL:
        atoms = rng.standard_normal(shape) * (rng.random(shape) < density)
        layers.append(csc.Dictionary(csc.constraints.UnitSphere().project(atoms), "full", stride))
    return csc.MultiLayerDictionary(layers), rng.standard_normal((n, 1, 28, 28))


def test_steps_side_by_side_equal_those_of_each_signal_alone():
    """18 signals, whose first 3 are also coded alone, by the kernels of few signals."""
    D, x = layers_and_signals(18, np.random.default_rng(4))
    penalties, solver = [csc.L1(0.05)] * 3, csc.solvers.MLFISTA(restart=False)
    found = []
    for some in (x, x[:3]):
        problem = csc.MultiLayerProblem(some, D, penalties)
        state = solver.init(problem, problem.zeros())
        for _ in range(15):
            state = solver.step(problem, state)
        found.append(state.z)
    for many, few in zip(*found, strict=True):
        assert is_batch_last(many)
        np.testing.assert_allclose(many[:3], few, rtol=0, atol=1e-12)
        assert np.count_nonzero(few)


def test_what_a_step_gave_is_not_written_to_again():
    D, x = layers_and_signals(16, np.random.default_rng(6))
    problem, solver = csc.MultiLayerProblem(x, D, [csc.L1(0.05)] * 3), csc.solvers.MLISTA()
    state = solver.init(problem, problem.zeros())
    states = []
    for _ in range(6):
        state = solver.step(problem, state)
        states.append(state)
    kept = [[g.copy() for g in s.z] for s in states[:3]]
    for _ in range(3):
        state = solver.step(problem, state)
    for s, copies in zip(states[:3], kept, strict=True):
        for g, copy in zip(s.z, copies, strict=True):
            np.testing.assert_array_equal(g, copy)


def test_plans_are_kept_for_both_orders_of_memory(rng):
    atoms = rng.standard_normal((6, 2, 9)) * (rng.random((6, 2, 9)) < 0.1)
    D, x = csc.Dictionary(atoms), rng.standard_normal((20, 2, 30))
    both = [ConvPlan.of(D, a, (30,)) for a in (x, batch_last(x))]
    assert [ConvPlan.of(D, a, (30,)) for a in (x, batch_last(x))] == both
    assert [plan.batch_last for plan in both] == [False, True]
    assert ConvPlan.of(D, x, (31,)).spatial_code_shape == (23,)


@pytest.mark.parametrize("largest", ["anywhere", 5, -1])
@pytest.mark.parametrize("positive", [False, True])
def test_the_largest_correlation_is_found_in_every_part_of_the_atoms(positive, largest, rng):
    shape = 2 * ROWS_PER_PART + 2, 2, 3, 4
    D = csc.Dictionary(rng.standard_normal(shape) * (rng.random(shape) < 0.2))
    x, scales = rng.standard_normal((2, 2, 9, 80)), 1 + rng.random(D.n_atoms)
    if largest != "anywhere":
        scales[largest] = 50.0
    q = scales[:, None, None] * D.adjoint(x)
    expected = (np.maximum(q, 0) if positive else abs(q)).max(axis=1)
    found = conv_of(D, x).dual_infeasibility(x, scales, positive)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("density", "lists"), [(0.02, True), (0.9, False)])
def test_patches_are_products_with_a_dense_or_sparse_matrix(density, lists, dtype, rng):
    atoms = rng.standard_normal((30, 2, 6, 5)) * (rng.random((30, 2, 6, 5)) < density)
    D, M = csc.Dictionary(atoms.astype(dtype)), atoms.reshape(30, -1)
    x, z = rng.standard_normal((4, 2, 6, 5)), rng.standard_normal((4, 30, 1, 1))
    assert method(D, x) is Method.PATCH_MATRIX
    assert D.patch_matrix.uses_sparse(4) == lists
    assert not D.patch_matrix.uses_sparse(10_000)
    tight = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-13}
    for found, expected in (
        (D.adjoint(x.astype(dtype)), x.reshape(4, -1) @ M.T),
        (D(z.astype(dtype)), z.reshape(4, -1) @ M),
    ):
        assert found.dtype == dtype
        assert found.flags.c_contiguous
        np.testing.assert_allclose(found.reshape(4, -1), expected, **tight)
