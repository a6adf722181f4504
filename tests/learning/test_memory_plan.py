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


def write_group(folder, limit, used, cached, version):
    """Files of a control group, of the first or second version of the kernel's interface."""
    names = ("max", "current") if version == 2 else ("limit_in_bytes", "usage_in_bytes")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in zip(names, (limit, used), strict=True):
        (folder / f"memory.{name}").write_text(f"{text}\n")
    of_all = "" if version == 2 else "inactive_file 1\ntotal_"
    (folder / "memory.stat").write_text(f"anon 5\n{of_all}inactive_file {cached}\n")


@pytest.mark.parametrize("version", [1, 2])
def test_what_a_job_of_a_cluster_leaves(version, monkeypatch, tmp_path):
    own = {1: "4:memory:/jobs/7/step\n2:cpu,cpuacct:/\n0::/\n", 2: "0::/jobs/7/step\n"}[version]
    (tmp_path / "self").write_text(own)
    monkeypatch.setattr(_memory, "CGROUP", tmp_path)
    monkeypatch.setattr(_memory, "OWN_GROUPS", tmp_path / "self")
    root = tmp_path / "memory" if version == 1 else tmp_path
    assert _memory.available() > 10**6
    write_group(root / "jobs" / "7", 1000, 700, 50, version)
    assert _memory.available() == 350
    write_group(root / "jobs" / "7" / "step", 900, 650, 20, version)
    assert _memory.available() == 270
    write_group(root / "jobs" / "8", 10, 10, 0, version)  # of others
    write_group(root / "jobs", 2**63, 700, 50, version)
    assert _memory.available() == 270
    write_group(root / "jobs", 800, 700, 0, version)
    assert _memory.available() == 100


def test_what_a_container_leaves(monkeypatch, tmp_path):
    for name, text in [
        ("max", "1000\n"),
        ("current", "700\n"),
        ("stat", "anon 5\ninactive_file 50"),
    ]:
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(_memory, "CGROUP", tmp_path)
    (tmp_path / "self").write_text("0::/as/the/host/names/it\n")
    for own in (tmp_path / "self", tmp_path / "nowhere"):
        monkeypatch.setattr(_memory, "OWN_GROUPS", own, raising=False)
        assert _memory.available() == 350
    (tmp_path / "memory.max").write_text("max\n")
    assert _memory.available() > 1000
    monkeypatch.setattr(_memory, "CGROUP", tmp_path / "nowhere")
    assert _memory.available() > 1000
