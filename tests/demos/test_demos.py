"""Every demo runs, small, and what it writes holds what it promises."""

import ast
import json
from importlib import import_module
from pathlib import Path

import numba
import numpy as np
import pytest
from scipy import sparse
from skimage.io import imsave

import csc
import demos.__main__
from demos import (
    boundaries,
    coding_image,
    compressed_sensing,
    denoising,
    inpainting,
    v1_filters,
)
from demos._arguments import N_PHOTOGRAPHS
from demos.bench import __main__ as bench
from demos.bench import coding, corners, patches, scaling, threads

SMALL = ["--atoms", "9", "--patch", "6", "--epochs", "1"]


@pytest.mark.parametrize("penalty", ["l1", "log"])  # l0 with two channels, below
def test_v1_filters_writes_its_picture_and_its_numbers(penalty, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(v1_filters, "N_PATCHES", 2000)
    v1_filters.main([*SMALL, "--penalty", penalty, "--out", str(tmp_path / "new")])
    said = capsys.readouterr().out
    for name in ("v1_filters.png", "v1_filters.json"):
        assert str(tmp_path / "new" / name) in said
        assert (tmp_path / "new" / name).stat().st_size > 1000
    numbers = json.loads((tmp_path / "new" / "v1_filters.json").read_text())
    assert numbers["settings"]["seed"] == 0
    assert numbers["receptive_fields"]["atoms"]["n_atoms"] == 9
    found = numbers["receptive_fields"]
    assert {"atoms", "null_phase", "null_noise", "macaque", "cut_share"} == set(found)
    assert numbers["emd_macaque"] == found["macaque"]["emd"]
    assert numbers["emd_null"] == found["macaque"]["null"]
    assert 0.2 < numbers["emd_floor"] < 0.3
    assert numbers["cut_share"] == found["cut_share"]
    assert numbers["gabor_share"] == found["atoms"]["n_gabor_like"] / 9
    assert numbers["blob_share"] == found["atoms"]["blob_corner"]
    assert all(len(image["sha256"]) == 64 for image in numbers["images"])
    assert numbers["versions"]["numpy"] == np.__version__


@pytest.mark.parametrize("options", [["--on-off"], ["--on-off", "--aperture", "1.5", "--page"]])
def test_v1_filters_learns_from_on_and_off_channels(options, tmp_path, monkeypatch):
    monkeypatch.setattr(v1_filters, "N_PATCHES", 2000)
    monkeypatch.setattr(v1_filters, "N_CODES", 2)
    sizes = SMALL if len(options) == 1 else ["--atoms", "9", "--epochs", "1"]
    numbers = v1_filters.main([*sizes, *options, "--out", str(tmp_path)])
    assert numbers["settings"]["patch"] == 6
    assert "positive=True" in numbers["penalty"]
    assert numbers["receptive_fields"]["atoms"]["n_atoms"] == 9
    page = tmp_path / "v1_filters.html"
    assert page.exists() == ("--page" in options)
    assert not page.exists() or "9 filters learned from 9 photographs" in page.read_text("utf-8")


def test_v1_filters_takes_a_folder(tmp_path, monkeypatch, rng):
    monkeypatch.setattr(v1_filters, "N_PATCHES", 500)
    imsave(tmp_path / "noise.png", (255 * rng.random((64, 48))).astype("uint8"))
    numbers = v1_filters.main([*SMALL, "--images", str(tmp_path), "--out", str(tmp_path / "out")])
    assert [image["name"] for image in numbers["images"]] == ["noise.png"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--images", "missing"], "missing"),
        (["--patch", "600"], "600"),
    ],
)
def test_v1_filters_refuses_in_one_sentence_and_writes_nothing(wrong, words, tmp_path):
    with pytest.raises(SystemExit) as stop:
        v1_filters.main([*wrong, "--out", str(tmp_path / "out")])
    assert words in str(stop.value)
    assert "\n" not in str(stop.value)
    assert not (tmp_path / "out").exists()


BAD = {  # range or rule: what is wrong, and the words of the error
    "denoising": [
        ("--photograph 99", "--photograph: must be a whole number from 0 to 8, got 99"),
        ("--sigma -3", "--sigma: must be a number above 0, got -3"),
        ("--sigma nan", "--sigma: must be a number above 0, got nan"),
        ("--atoms 0", "--atoms: must be a whole number of at least 1, got 0"),
        ("--atoms many", "--atoms: must be a whole number of at least 1, got many"),
        ("--side 301 --photograph 2", "--side: must be at most 300, the shortest side of that photograph"),
        ("--side 23", "--atom: must be at most 11, half the side of the crop, got 12"),
        ("--out /dev/null", "--out: must be a writable folder"),
    ],
    "restoration": [
        ("--side 600", "--side: must be a whole number from 32 to 300, got 600"),
        ("--missing 1", "below 0.95"), ("--colour", "camera, grass, brick, gravel are grey"),
        ("--photographs lena", "invalid choice: 'lena'"),
    ],
    "inpainting": [("--missing 1.5", "must be a number above 0 and below 0.95, got 1.5")],
    "boundaries": [("--side 253", "--side: must be at most 252"), ("--fraction 1", "below 1")],
    "coding_image": [("--side 600", "--side: must be at most 512"), ("--atom 129", "at most 128")],
    "guarantees": [("--side 7", "of at least 8, got 7"), ("--side 600", "at most 512")],
    "learn_conv": [("--window 301", "at most 300"), ("--side 161", "at most 160")],
    "learn_multilayer": [
        ("--train 1797", "at most 1796"), ("--test 798", "at most 797, the digits that are not in --train"),
        ("--side 301", "at most 300"),
    ],
    "cnn_is_a_pursuit": [("--digits 100 --test 51", "at most 50, to leave 50 digits")],
    "cnn_first_layer": [("--layer no.npz", "must be a file"), ("--side 129", "at most 128")],
    "features": [("--test 1748", "at most 1747"), ("--radius 0", "above 0, got 0")],
    "ml_pursuit": [("--zeros 3 11", "from 1 to 10, got 11"), ("--snr inf", "got inf")],
    "compressed_sensing": [("--side 65", "from 4 to 64, got 65"), ("--samples 9", "at least 10")],
    "v1_filters": [
        ("--lmbda -1", "above 0, got -1"),
        ("--epochs 0", "of at least 1, got 0"),
        ("--on-off --penalty log", "needs non-negative codes"),
    ],
    "deep_units": [("--side 4000", "the shortest side of a photograph"), ("--tv 0", "above 0")],
    "overcompleteness": [("--side 4000", "the shortest side"), ("--factors 1 0", "above 0")],
    "sounds": [("--length 4000", "from 16 to 2048"), ("--kernels 2", "at least 3")],
    "stride_sweep": [("--side 65", "at most 64"), ("--window 4000", "the shortest side")],
    "bench.patches": [("--lmbda 0.5 -1", "above 0, got -1")],
    "bench.coding": [("--fractions 2", "above 0 and below 1, got 2")],
    "bench.corners": [("--cases 7", "from 0 to 6, got 7")],
}  # fmt: skip


@pytest.mark.parametrize(("demo", "wrong", "words"), [(d, *case) for d in BAD for case in BAD[d]])
def test_arguments_out_of_their_range_end_in_one_sentence(demo, wrong, words, capsys):
    with pytest.raises(SystemExit) as stop:
        import_module(f"demos.{demo}").main(wrong.split())
    assert stop.value.code == 2  # argparse's, before any work
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_every_number_of_every_demo_has_a_range():
    """A bare int or float lets through what ends in a traceback."""
    assert len(csc.images.natural()) == N_PHOTOGRAPHS
    for path in Path(demos.__main__.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            types = [k.value for k in getattr(node, "keywords", []) if k.arg == "type"]
            assert not {"int", "float"} & {ast.unparse(t) for t in types}, (path.name, node.lineno)


def test_compressed_sensing_finds_few_spikes_and_not_many(tmp_path, capsys):
    small = ["--samples", "30", "--grid", "3", "--draws", "2", "--side", "8"]
    numbers = compressed_sensing.main([*small, "--out", str(tmp_path / "new")])
    recovered = np.array(numbers["recovered"])  # axes: measurements, spikes
    assert recovered[1:, 0].min() == 1
    assert recovered[0, 1:].max() == 0
    assert numbers["photograph"][-1]["lasso_dB"] > numbers["photograph"][-1]["least_squares_dB"] + 5
    assert (tmp_path / "new" / "compressed_sensing.png").stat().st_size > 1000
    assert "compressed_sensing.png" in capsys.readouterr().out
    assert not list((tmp_path / "new").glob("*.part"))


def test_the_theory_of_compressed_sensing_is_that_of_donoho_and_tanner():
    # (m / n, k / m) of the weak threshold of the cross-polytope: 0.5 has 0.3859 in the literature
    assert compressed_sensing.phase_transition(0.5) == pytest.approx(0.3859, abs=1e-3)


def test_boundaries_affect_only_pixels_near_the_border(tmp_path):
    small = ["--side", "40", "--atoms", "8", "--atom", "5"]
    numbers = boundaries.main([*small, "--out", str(tmp_path / "new")])
    assert set(numbers) == {"full", "valid", "same", "circular"}
    for mode in numbers.values():
        assert abs(np.mean(mode["error_profile"][-12:]) - 1) < 0.03
    assert numbers["full"]["error_profile"][0] > 1.05
    assert (tmp_path / "new" / "boundaries.png").stat().st_size > 1000


def test_denoising_reduces_the_noise(tmp_path):
    small = ["--side", "64", "--atoms", "30", "--atom", "8"]
    scores = denoising.main([*small, "--out", str(tmp_path / "new")])["psnr_dB"]
    assert scores["csc"] > scores["noisy"] + 4
    assert set(scores) == {"noisy", "csc", "total variation", "non-local means"}
    assert (tmp_path / "new" / "denoising.png").stat().st_size > 1000


def test_coding_an_image_shows_both_solvers_and_a_path(tmp_path):
    small = ["--side", "32", "--atoms", "8", "--atom", "5"]
    numbers = coding_image.main([*small, "--out", str(tmp_path / "new")])
    assert numbers["relative_gap"] <= 1e-5
    assert numbers["curves"]["FISTA"][-1][1] < 0.1
    residuals = [p["relative_residual"] for p in numbers["path"]]
    assert residuals == sorted(residuals, reverse=True)
    assert (tmp_path / "new" / "coding_image.png").stat().st_size > 1000


def test_inpainting_is_better_than_the_low_pass_part(tmp_path):
    small = ["--side", "64", "--atoms", "30", "--atom", "8"]
    scores = inpainting.main([*small, "--out", str(tmp_path / "new")])["psnr_dB"]
    assert scores["csc"] > scores["low-pass only"] + 1
    assert "biharmonic" in scores
    assert (tmp_path / "new" / "inpainting.png").stat().st_size > 1000


def test_the_list_names_every_demo(capsys):
    demos.__main__.main()
    said = capsys.readouterr().out
    assert "python -m demos.v1_filters" in said
    assert "python -m demos.bench" in said


@pytest.fixture
def small_patches(monkeypatch):
    for name, value in (("K", 10), ("SIDE", 4), ("N", 600), ("N_HELD_OUT", 50), ("BATCH", 60)):
        monkeypatch.setattr(patches, name, value)


@pytest.mark.usefixtures("small_patches")
def test_bench_patches_compares_constraints_at_one_lambda_and_at_one_number_of_codes(capsys):
    bench.main(["patches", "--only", "constraints", "--epochs", "4"])
    cases = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    same_lmbda, same_codes = cases[:3], cases[3:]
    assert [case["times_unit_ball"] == 1 for case in cases] == [True, False, False] * 2
    codes = [case["nonzero_per_patch"] for case in same_lmbda]
    assert codes[0] > codes[1] > codes[2]  # the window makes atoms smaller
    goal = codes[0]
    assert all(abs(case["nonzero_per_patch"] / goal - 1) < 0.2 for case in same_codes)


@pytest.mark.usefixtures("small_patches")
def test_bench_patches_prints_a_json_line_a_case(capsys):
    bench.main(["patches", "--epochs", "2"])
    cases = [json.loads(s) for s in capsys.readouterr().out.splitlines() if s.startswith("{")]
    coding = {case["solver"]: case for case in cases if case["case"] == "coding"}
    assert abs(coding["csc"]["relative_suboptimality"]) < 1e-5
    assert abs(coding["sklearn lasso_cd"]["relative_suboptimality"]) < 1e-3
    learning = {case["solver"]: case for case in cases if case["case"] == "learning"}
    assert learning["csc"]["held_out_objective"] > 0
    assert learning["sklearn MiniBatch"]["seconds"] > 0
    assert cases[0]["machine"]
    assert cases[0]["versions"]["numpy"] == np.__version__


def test_bench_corners_compares_solvers_and_penalties(monkeypatch, capsys):
    monkeypatch.setattr(corners, "REPEATS", 1)
    monkeypatch.setattr(corners, "FISTA_STEPS", 3)
    bench.main(["corners", "--measured", "--fractions", "0.5"])
    measured = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all((case["relative_gap"] < 1e-4) == (case["solver"] == "None") for case in measured)
    assert sum("FISTA" in case["solver"] for case in measured) == 2
    assert {"lasso", "groups of two", "l1 ball"} < {case["penalty"] for case in measured}
    for more in ([], ["--penalties"]):
        bench.main(["corners", "--cases", "0", "--fractions", "0.1", *more])
    cases = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert cases[0]["relative_gap"] < 1e-4
    assert all(abs(case.get("relative_excess", 0)) < 1e-6 for case in cases)
    assert "groups of two" in [case.get("penalty") for case in cases]


def test_bench_scaling_evaluates_sparse_codes_as_dense_ones(rng):
    x, atoms = rng.standard_normal((1, 3, 9, 7)), rng.standard_normal((4, 3, 3, 2))
    z = rng.standard_normal((1, 4, 9, 7)) * (rng.random((1, 4, 9, 7)) < 0.3)
    D = csc.Dictionary(atoms, "circular")
    expected = csc.Problem(x, D, csc.L1(0.7)).value(z)
    found = scaling.objective_of_sparse(x, atoms, 0.7, sparse.coo_array(z))
    assert found == pytest.approx(coding.objective_of(x, atoms, 0.7, z[0]), rel=1e-12)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.usefixtures("all_threads")
def test_bench_threads_compares_the_speedup_with_what_the_machine_does(monkeypatch, capsys):
    def best_time(run, _):
        result = run()
        return 2 / numba.get_num_threads() if result is not None else 1.0, result

    hashes = []
    monkeypatch.setattr(threads, "cases", lambda: {"none": lambda: lambda: np.zeros(1)})
    monkeypatch.setattr(threads, "best_time", best_time)
    monkeypatch.setattr(threads.hashlib, "pbkdf2_hmac", lambda *given: hashes.append(given))
    bench.main(["threads", "--rounds", "1"])
    (case,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    for n, seconds in case["seconds"].items():
        assert case["speedups"][n] == case["limits"][n] == 2 / seconds == int(n)
    assert len(hashes) == sum(map(int, case["seconds"]))


def test_bench_without_a_suite_says_how(capsys):
    with pytest.raises(SystemExit, match="usage"):
        bench.main([])
    bench.main(["--help"])
    assert "usage: python -m demos.bench {patches," in capsys.readouterr().out


def test_bench_crossover_times_both_ways_and_puts_the_rule_back(monkeypatch, capsys):
    from csc.operators import _fft_conv as fourier
    from demos.bench import crossover

    rule = fourier.is_faster, fourier.TRANSFORM_COST, fourier.PRODUCT_COST
    monkeypatch.setattr(crossover, "IMAGES", [((3, 3), (16, 16)), ((12, 12), (40, 40))])
    monkeypatch.setattr(crossover, "SERIES", [((9,), (50,))])
    bench.main(["crossover", "--repeats", "1"])
    assert (fourier.is_faster, fourier.TRANSFORM_COST, fourier.PRODUCT_COST) == rule
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 10
    case = json.loads(said[0])
    assert case["direct_ms"] > 0
    assert case["fourier_ms"] > 0
    assert "best constants here: TRANSFORM_COST, PRODUCT_COST" in said[-1]


def test_a_grid_goes_on_until_its_best_is_inside():
    from demos._restoration_baselines import best_strength

    best = best_strength(np.zeros((2, 2)), lambda s: np.full((2, 2), abs(s - 9) / 100), 1.0, 1.5)
    assert best.strength == min((1.5**k for k in range(12)), key=lambda s: abs(s - 9))


def test_restoration_is_better_than_what_came_in(tmp_path):
    from demos import restoration

    small = ["--side", "40", "--tasks", "enlarge", "--page", "--out", str(tmp_path)]
    scores = restoration.main(small)["camera"]["x 2"]
    assert scores["csc fast"]["psnr_dB"] > scores["cubic spline"]["psnr_dB"]
    assert (tmp_path / "restoration.png").stat().st_size > 1000
    assert "Restorations of camera" in (tmp_path / "restoration.html").read_text("utf-8")
