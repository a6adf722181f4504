"""What cannot fit is refused with its bytes; what is predicted is what is taken."""

import tracemalloc

import numpy as np
import pytest

import csc
from csc import _memory
from csc._solve import _bytes


def problem(dtype="float32", S=(160, 160), k=8):
    rng = np.random.default_rng(0)
    D = csc.Dictionary(rng.standard_normal((k, 1, 4, 4)).astype(dtype), "circular")
    x = rng.standard_normal((1, 1, *S)).astype(dtype)
    return csc.Problem(x, D, csc.L1(csc.Relative(0.5)))


def test_dense_solvers_are_refused_where_there_is_no_room(monkeypatch):
    monkeypatch.setattr(_memory, "MIN_CHECKED_BYTES", 0)
    monkeypatch.setattr(_memory, "available", lambda: 1000)
    with pytest.raises(
        MemoryError, match=r"FISTA on codes \(1, 8, 160, 160\) takes about .* 1,000"
    ):
        csc.solve(problem(), csc.solvers.FISTA())


def test_sparse_solvers_are_not_but_dense_codes_are(monkeypatch):
    p = problem()
    monkeypatch.setattr(_memory, "MIN_CHECKED_BYTES", 0)
    monkeypatch.setattr(_memory, "available", lambda: 9_000_000)
    solution = csc.solve(p)
    assert solution.converged
    monkeypatch.setattr(_memory, "available", lambda: 1000)
    with pytest.raises(MemoryError, match="an array of codes .* takes about 819,200 bytes"):
        _ = solution.codes
    assert solution.sparse_codes.nnz > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "solver",
    [csc.solvers.ISTA(), csc.solvers.FISTA(), csc.solvers.GreedyFISTA(), csc.solvers.ADMM()],
)
def test_the_prediction_is_near_what_is_taken(solver, dtype):
    p = problem(dtype)
    csc.solve(p, solver, max_iter=1)  # compiles
    tracemalloc.start()
    csc.solve(p, solver, max_iter=10)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.3 * _bytes(p, solver) <= taken <= 1.05 * _bytes(p, solver)


def test_what_a_container_leaves(monkeypatch, tmp_path):
    for name, text in [
        ("max", "1000\n"),
        ("current", "700\n"),
        ("stat", "anon 5\ninactive_file 50"),
    ]:
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(_memory, "CGROUP", tmp_path)
    assert _memory.available() == 350
    (tmp_path / "memory.max").write_text("max\n")
    assert _memory.available() > 1000
    monkeypatch.setattr(_memory, "CGROUP", tmp_path / "nowhere")
    assert _memory.available() > 1000
