"""One large signal on Dask: blocks reach the minimum of the whole, and certify it."""

import signal

import numpy as np
import pytest

import csc

pytest.importorskip("distributed", reason="needs Dask: mlcsc[distributed]")

import dask.array as da

from csc.distributed import _block_solve, _codes, _fit, fit, read_codes, sparse_code, transform
from csc.distributed._client import Workers
from csc.distributed._partition import Partition, shape_of
from csc.operators._conv_geometry import ConvGeometry
from doubles.dask_cluster import few_together

TOL = {"float32": 1e-5, "float64": 1e-6}


def signal_of(rng, shape, atoms):
    """Sparse codes and noise; a large corner is silent."""
    D = csc.Dictionary(atoms)
    z = rng.laplace(size=(shape[0], len(atoms), *D.spatial_code_shape(shape[2:]))).astype(
        atoms.dtype
    )
    z *= rng.random(z.shape) < 0.03
    z[(..., *(slice(0, n // 2) for n in z.shape[2:]))] = 0
    return D(z) + (0.05 * rng.standard_normal(shape)).astype(atoms.dtype)


@pytest.mark.parametrize(
    ("dtype", "shape", "spatial_shape", "block", "parameters"),
    [
        ("float64", (1, 1, 151), (7,), (31,), {}),
        ("float32", (2, 2, 90), (6,), (20,), {"mode": "valid", "stride": 2}),
        ("float64", (1, 1, 31, 28), (5, 3), (14, 14), {"mode": "same"}),
        ("float32", (1, 1, 47, 45), (4, 5), (9, 40), {"stride": (2, 3)}),
        ("float32", (1, 1, 40, 44), (4, 4), (20, 22), {"positive": True}),
        ("float32", (1, 1, 13, 14, 12), (3, 3, 3), (12, 6, 6), {}),
        ("float64", (1, 1, 14, 20), (6, 6), (1, 1), {}),  # blocks no smaller than two reaches
        ("float64", (1, 1, 61), (1,), (2,), {"stride": 3}),  # samples between the atoms
        ("float64", (2, 1, 19), (2,), (1,), {}),  # blocks of two positions
    ],
)
def test_blocks_reach_the_certified_minimum_of_the_whole(
    client, rng, dtype, shape, spatial_shape, block, parameters
):
    atoms = (
        csc.constraints.UnitSphere()
        .project(rng.standard_normal((3, shape[1], *spatial_shape)))
        .astype(dtype)
    )
    x, tol = signal_of(rng, shape, atoms), TOL[dtype]
    whole = csc.sparse_code(x, atoms, 0.2, tol=tol, **parameters)
    found = sparse_code(
        da.from_array(x, chunks=-1), atoms, 0.2, tol=tol, block=block, client=client, **parameters
    )
    assert found.relative_gap <= tol
    assert found.status is csc.solvers.Status.CONVERGED
    assert found.converged
    objective, gap = whole.problem.certificate(found.codes.gather())
    rounding = 1e-12 * objective
    assert abs(found.objective - whole.objective) <= found.gap + whole.gap + rounding
    assert found.objective == pytest.approx(objective, rel=1e-12)
    assert found.gap == pytest.approx(gap, rel=1e-6, abs=1e-12 * objective)
    assert found.codes.gather().dtype == dtype


def test_masks_nan_relative_strengths_and_chunks(client, rng, tmp_path):
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((4, 1, 4, 5)))
    x = signal_of(rng, (1, 1, 50, 43), atoms)
    mask = (rng.random((1, 1, 50, 43)) > 0.2).astype("float64")
    mask[..., :25, :22] = 0  # of one block nothing
    hidden = np.where(mask, x, np.nan)
    whole = csc.sparse_code(x, atoms, csc.Relative(0.05), mask=mask, tol=1e-5)
    chunked = da.from_array(hidden, chunks=(1, 1, 25, 22))
    for given in (None, mask):
        found = sparse_code(chunked, atoms, csc.Relative(0.05), mask=given, tol=1e-5, client=client)
        assert abs(found.objective - whole.objective) <= found.gap + whole.gap
    assert len(found.codes.blocks) == 4
    pytest.importorskip("zarr", reason="needs Zarr")
    found.codes.to_zarr(tmp_path / "codes.zarr")
    read, kept = read_codes(tmp_path / "codes.zarr"), found.codes.gather()
    assert read.shape == kept.shape
    np.testing.assert_array_equal(read.index, kept.index)
    np.testing.assert_array_equal(read.values, kept.values)
    with pytest.raises(FileExistsError, match="exists"):
        found.codes.to_zarr(tmp_path / "codes.zarr")


def test_a_repeated_task_writes_its_block_again(client, rng, tmp_path, monkeypatch):
    def repeated(path, number, codes):
        """As if the worker was lost before it could report."""
        for part in (codes.astype("float32"), codes):
            write(path, number, part)

    pytest.importorskip("zarr", reason="needs Zarr")
    write = _codes._write
    monkeypatch.setattr(_codes, "_write", repeated)
    x, atoms = rng.standard_normal((1, 1, 60)), rng.standard_normal((2, 1, 3))
    codes = sparse_code(x, atoms, 1.0, block=30, client=client).codes
    codes.to_zarr(tmp_path / "codes.zarr")
    np.testing.assert_array_equal(
        read_codes(tmp_path / "codes.zarr").values, codes.gather().values, strict=True
    )


def test_masked_entries_are_missing(client, rng):
    atoms, x = rng.standard_normal((3, 1, 5)), rng.standard_normal((1, 1, 90))
    hidden = rng.random(x.shape) < 0.2
    masked = np.ma.array(np.where(hidden, 99, x), mask=hidden)
    whole = csc.sparse_code(masked, atoms, 1.0)
    for given in (masked, da.from_array(masked, chunks=(1, 1, 30))):
        found = sparse_code(given, atoms, 1.0, block=np.int64(30), client=client)
        assert abs(found.objective - whole.objective) <= found.gap + whole.gap


def test_rounds_show_a_bar_when_asked(client, rng, capsys):
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((3, 1, 4)))
    x = da.from_array(signal_of(rng, (1, 1, 60), atoms), chunks=(1, 1, 20))
    sparse_code(x, atoms, 0.5, client=client)
    assert "relative gap" not in capsys.readouterr().err
    sparse_code(x, atoms, 0.5, client=client, verbose=True)
    assert "relative gap" in capsys.readouterr().err


def learner_from(atoms):
    return csc.DictionaryLearning(3, (4,), 0.5, init=atoms)


class Deleted:
    def __del__(self):  # as of a future of Dask; Python drops exceptions that are raised here
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("module", "name", "call"),
    [
        (
            _block_solve,
            "_round",
            lambda x, atoms, client: sparse_code(x, atoms, 0.5, client=client),
        ),
        (
            _fit,
            "_looks_at_all",
            lambda x, atoms, client: fit(learner_from(atoms), x, client=client),
        ),
    ],
)
def test_an_interrupt_that_a_finaliser_swallows_ends_the_call(
    client, rng, monkeypatch, module, name, call
):
    done, whole = getattr(module, name), []

    def interrupted(*arguments):
        whole.append(arguments)
        Deleted()
        return done(*arguments)

    monkeypatch.setattr(module, name, interrupted)
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((3, 1, 4)))
    x = da.from_array(signal_of(rng, (2, 1, 60), atoms), chunks=(1, 1, 20))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            call(x, atoms, client)
    finally:
        handler = signal.signal(signal.SIGINT, before)
    assert len(whole) == 1
    assert handler is signal.default_int_handler


def test_signals_of_a_learner_are_transformed_where_they_are(client, rng, monkeypatch):
    few_together(monkeypatch, 700)
    X = rng.laplace(size=(11, 1, 15, 14)).astype("float32")
    X[8] = np.nan
    chunked = da.from_array(X, chunks=(4, 1, 15, 14))
    learner = csc.DictionaryLearning(4, (3, 3), 0.8, max_iter=1, random_state=0)
    fit(learner, chunked, client=client)
    codes = transform(learner, chunked, client=client).gather().dense()
    assert not codes[8].any()
    seen = np.arange(11) != 8
    D, penalty = learner.dictionary_, learner.penalty_
    assert csc.Problem(X[seen], D, penalty).gap(codes[seen]) <= 1.1e-4 * csc.Problem(
        X[seen], D, penalty
    ).value(codes[seen])
    with pytest.raises(ValueError, match="several shapes"):
        transform(learner, [X[0], X[1, :, :9]], client=client)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("mode", ["full", "valid", "same"])
def test_boxes_tile_positions_and_samples(mode, shifted):
    for spatial_shape, s, t, side in [((31,), 5, 1, 4), ((40, 23), 4, 3, 2), ((17, 9), 3, 2, 50)]:
        geometry = ConvGeometry.of(mode, t, (s,) * len(spatial_shape))
        cut = Partition(geometry, spatial_shape, (side,) * len(spatial_shape), shifted)
        positions, samples = np.zeros(cut.positions, int), np.zeros(cut.padded, int)
        for box in cut.boxes:
            positions[box] += 1
            samples[cut.own_samples(box)] += 1
        assert (positions == 1).all()
        assert (samples == 1).all()
        for colour in cut.colours:
            seen = np.zeros(cut.padded, int)
            for i in colour:
                box = cut.boxes[i]
                reached = [slice(t * b.start, t * (b.stop - 1) + s) for b in box]
                seen[tuple(reached)] += 1
            assert seen.max() <= 1
        assert sum(np.prod(shape_of(box)) for box in cut.boxes) == positions.size


def test_boxes_are_shifted_by_half_a_box():
    geometry = ConvGeometry.of("valid", 1, (3,))
    faces = [box[0].start for box in Partition(geometry, (38,), (10,)).boxes]
    moved = [box[0].start for box in Partition(geometry, (38,), (10,), shifted=True).boxes]
    assert (faces, moved) == ([0, 10, 20, 30], [0, 5, 15, 25, 35])
    assert len(Partition(geometry, (38,), (2,)).boxes) == 10  # of two reaches, not of one
    whole = Partition(geometry, (38,), (40,), shifted=True)
    assert whole.boxes == [(slice(0, 40),)]


@pytest.mark.parametrize("dtype", TOL)
def test_small_blocks_of_smooth_atoms_converge_at_small_lmbda(client, dtype):
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.standard_normal((1, 1, 400)), axis=-1)  # low frequencies, as of pictures
    x = (x - x.mean()).astype(dtype)
    x[..., 123:130] = np.nan
    atoms = np.convolve(rng.standard_normal(4 * 28), np.hanning(13), "same").reshape(4, 1, 28)
    atoms = csc.constraints.UnitSphere().project(atoms[..., 6:-6]).astype(dtype)
    chunked = da.from_array(x, chunks=-1)
    found = sparse_code(chunked, atoms, csc.Relative(0.01), block=48, client=client)
    assert found.converged
    assert len(found.history) <= 60
    mask = ~np.isnan(x)
    problem = csc.Problem(x, csc.Dictionary(atoms), csc.L1(csc.Relative(0.01)), mask)
    whole = csc.solve(problem, tol=1e-6)
    assert abs(found.objective - whole.objective) <= found.gap + whole.gap
    assert problem.certificate(found.codes.gather())[1] == pytest.approx(found.gap, rel=1e-3)


def test_blocks_that_find_no_room_are_refused(client, rng, monkeypatch):
    monkeypatch.setattr("csc.distributed._block_solve.workers_of", lambda _: Workers(1, 2, 1000.0))
    monkeypatch.setattr("csc._memory.MIN_CHECKED_BYTES", 0)
    x, atoms = rng.standard_normal((1, 1, 300)), rng.standard_normal((2, 1, 3))
    with pytest.raises(MemoryError, match="take smaller ones: block"):
        sparse_code(x, atoms, 0.1, client=client)


def test_what_is_wrong_is_said(client, rng):
    atoms = rng.standard_normal((2, 1, 3))
    x = da.from_array(rng.standard_normal((1, 1, 30)), chunks=10)
    with pytest.raises(ValueError, match="circular"):
        sparse_code(x, atoms, 0.1, mode="circular", client=client)
    with pytest.raises(ValueError, match="block must have 1"):
        sparse_code(x, atoms, 0.1, block=(3, 3), client=client)
    for lmbda in (0.0, csc.Relative(0.0)):
        with pytest.raises(ValueError, match="lmbda must be > 0"):
            sparse_code(x, atoms, lmbda, client=client)
    with pytest.raises(ValueError, match="block must be >= 1"):
        sparse_code(x, atoms, 0.1, block=0, client=client)
    with pytest.raises(ValueError, match="X is empty"):
        fit(csc.DictionaryLearning(2, (3,), 0.1), x[:0], client=client)
    with pytest.raises(ValueError, match="x must be"):
        sparse_code(x[0], atoms, 0.1, client=client)
    with pytest.raises(TypeError, match="float32"):
        sparse_code(x.astype(int), atoms, 0.1, client=client)
    with pytest.raises(TypeError, match="x is float32"):
        sparse_code(x.astype("float32"), atoms, 0.1, client=client)
    with pytest.raises(ValueError, match="inf"):
        sparse_code(da.full((1, 1, 30), np.inf), atoms, 0.1, client=client)
    with pytest.raises(ValueError, match="nothing was observed"):
        sparse_code(x, atoms, 0.1, mask=np.zeros((1, 1, 30)), client=client)
    with pytest.raises(ValueError, match="mask must hold only 0"):
        sparse_code(x, atoms, 0.1, mask=np.full((1, 1, 30), 0.5), client=client)


def test_one_side_for_all_axes_and_signals_of_zeros(client, rng):
    atoms = rng.standard_normal((2, 1, 3, 3))
    x = da.from_array(rng.standard_normal((1, 1, 12, 9)), chunks=(1, 1, 6, 9))
    one, two = (sparse_code(x, atoms, 2.0, block=b, client=client) for b in (4, (4, 4)))
    assert one.objective == two.objective
    found = sparse_code(0 * x, atoms, csc.Relative(0.1), client=client)
    assert found.objective == found.gap == 0
