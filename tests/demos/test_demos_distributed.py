"""Quick runs of the benchmarks on Dask: workers in this process, little work."""

import json
from contextlib import contextmanager

import pytest

pytest.importorskip("distributed", reason="needs Dask: mlcsc[distributed]")

import demos.bench.__main__ as bench
from demos.bench import blocks, distributed

pytestmark = pytest.mark.dask


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    started = distributed.cluster

    @contextmanager
    def threads(n_workers, *, processes=False):  # noqa: ARG001
        with started(n_workers, processes=False) as client:
            yield client

    monkeypatch.setattr(distributed, "cluster", threads)
    monkeypatch.setattr(blocks, "cluster", threads)
    monkeypatch.setattr(distributed, "N_ATOMS", 4)
    monkeypatch.setattr(blocks, "N_ATOMS", 4)


def cases(capsys):
    said = capsys.readouterr().out.splitlines()
    return [json.loads(line) for line in said if line.startswith("{")]


@pytest.mark.slow
def test_bench_distributed_finds_the_same_atoms_with_and_without_dask(capsys):
    bench.main(["distributed", "--images", "3", "--side", "70"])
    found = cases(capsys)
    assert [case["method"] for case in found] == ["csc.fit"] * 2 + ["csc.distributed.fit"] * 2
    assert all(case["same_atoms"] for case in found[2:])
    assert found[3]["mb_to_client_per_pass"] > 0


def test_bench_distributed_measures_the_overhead_of_a_pass(capsys):
    bench.main(["distributed", "--many", "2"])
    [case] = cases(capsys)
    assert case["case"] == "2 workers in one process, 8 groups"
    assert abs(case["cpu_seconds_per_pass"]) < 10  # a difference of times, which may be below 0


@pytest.mark.slow
def test_bench_blocks_codes_a_picture_to_its_certified_minimum(capsys):
    pytest.importorskip("zarr", reason="needs Zarr")
    bench.main(["blocks", "--size", "96", "--tile", "48", "--tol", "1e-2"])
    learned, coded = cases(capsys)
    assert learned["seconds"] > 0
    assert coded["relative_gap"] <= 1e-2
    assert coded["peak_gb"] > 0
    bench.main(["blocks", "--size", "96", "--tile", "48", "--tol", "1e-2", "--compare"])
    alone, by_blocks = cases(capsys)
    assert by_blocks["objective"] == pytest.approx(alone["objective"], rel=2e-2)
