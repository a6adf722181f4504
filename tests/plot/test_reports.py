"""Reports as files: what they hold, what they refuse, and that nothing half-written is left."""

import io
import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from importlib.resources import files
from time import process_time

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

import csc
from csc.plot._pages import _atoms, _document, _restoration
from csc.plot._pages._use import stretched
from doubles import fake_cupy
from doubles.gabor_atoms import filter_set, gabor_atoms

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script><!-- \u2028 &lt;"


@pytest.fixture(scope="module")
def analysed():
    return gabor_atoms(12, 9, np.random.default_rng(5))


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1))


def test_a_report_of_atoms_holds_their_fits_and_pictures(analysed, tmp_path):
    atoms, found = analysed
    path = csc.plot.report(atoms, tmp_path / "page.html", analysis=found)
    data = data_of(path)
    assert path.stat().st_size < 100_000
    np.testing.assert_allclose(data["fit"]["r2"], found.fit.r2, rtol=1e-3)
    assert data["sheets"]["atoms"]["size"] == [9, 9]
    assert data["macaque"]["counts"] == csc.analysis.receptive_fields.MACAQUE.tolist()
    assert data["share"] is None
    assert data["history"] is None


def test_192_atoms_take_less_than_two_seconds(tmp_path, rng, record_property):
    atoms, found = gabor_atoms(192, 12, rng)
    options = {"signals": rng.standard_normal((5000, 1, 12, 12)), "snapshots": [atoms] * 8}
    start = process_time()
    path = csc.plot.report(atoms, tmp_path / "page.html", analysis=found, **options)
    seconds = process_time() - start
    record_property("seconds of CPU time", seconds)
    record_property("bytes", path.stat().st_size)
    assert seconds < 2
    assert path.stat().st_size < 2_000_000


def test_patches_are_found_in_larger_pictures(tmp_path, rng):
    atoms, found = gabor_atoms(5, 7, rng)
    photographs = [0.1 * rng.standard_normal((1, 30 + 5 * i, 40)) for i in range(3)]
    planted = {0: (2, 11, 22), 1: (0, 3, 30), 4: (1, 20, 5)}
    for k, (i, row, column) in planted.items():
        photographs[i][:, row : row + 7, column : column + 7] -= 5 * atoms[k]
    pictures = [np.repeat(x, 3, axis=0) for x in photographs]
    options = {"analysis": found, "signals": photographs, "pictures": pictures}
    page = csc.plot.report(atoms, tmp_path / "page.html", **options)
    best = data_of(page)["patches"]
    for k, place in planted.items():
        assert best["places"][k][0] == list(place)
        window = photographs[place[0]][:, place[1] : place[1] + 7, place[2] : place[2] + 7]
        response = (window * atoms[k]).sum() / np.linalg.norm(atoms[k])
        np.testing.assert_allclose(best["codes"][k][0], response, rtol=1e-3)
        apart = [p for p in best["places"][k][1:] if p[0] == place[0]]
        assert all(max(abs(p[1] - place[1]), abs(p[2] - place[2])) > 3 for p in apart)
    with pytest.raises(ValueError, match="at least as large as the atoms"):
        csc.plot.report(atoms, page, analysis=found, signals=[photographs[0][:, :5]])
    with pytest.raises(ValueError, match="of the same size unless"):
        csc.plot.report(atoms, page, analysis=found, signals=photographs, pictures=pictures[::-1])


@pytest.mark.parametrize(("mode", "stride"), [("full", 1), ("full", 2), ("valid", 1)])
def test_codes_of_a_convolutional_learner_are_found_where_they_are(mode, stride, tmp_path, rng):
    atoms, found = gabor_atoms(3, 6, rng)
    x = np.zeros((2, 1, 24, 24))
    x[1, :, 8:14, 4:10] = 3 * atoms[2]
    learner = csc.DictionaryLearning(
        3, (6, 6), 0.1, mode=mode, stride=stride, init=atoms, max_iter=1, replace_after=None
    )
    learner.partial_fit(x)
    page = tmp_path / "page.html"
    if mode == "valid":
        with pytest.raises(ValueError, match='in mode "full" only'):
            csc.plot.report(learner, page, analysis=found, signals=x)
        return
    best = data_of(csc.plot.report(learner, page, analysis=found, signals=x))["patches"]
    codes = learner.transform(x)
    assert best["places"][2][0] == [1, 8, 4]
    np.testing.assert_allclose(
        best["codes"][2][0], codes[1, 2, 8 // stride, 4 // stride], rtol=1e-3
    )


def test_an_analysis_is_shown_by_its_fields(analysed, tmp_path):
    atoms, found = analysed
    pages = [
        csc.plot.report(found, tmp_path / "a.html", title="t"),
        csc.plot.report(atoms, tmp_path / "b.html", title="t", analysis=found),
    ]
    assert pages[0].read_text("utf-8") == pages[1].read_text("utf-8")


def test_many_atoms_have_fewer_patches_and_passes(tmp_path, rng, monkeypatch):
    atoms, found = gabor_atoms(1200, 14, rng, noise=1.0)
    some = csc.analysis.SimilarAtoms(np.zeros((1200, 5), int), np.ones((1200, 5)))
    monkeypatch.setattr(_atoms, "similar_atoms", lambda *_: some)  # takes seconds
    options = {"signals": rng.standard_normal((500, 1, 14, 14)), "snapshots": [atoms] * 20}
    path = csc.plot.report(atoms, tmp_path / "page.html", analysis=found, **options)
    data = data_of(path)
    assert 3_500_000 < path.stat().st_size < 5_000_000
    assert 1 <= data["patches"]["n"] < 10
    assert data["passes"]["at"][0] == 1
    assert data["passes"]["at"][-1] == data["passes"]["of"] == 20
    assert 3 <= len(data["passes"]["at"]) < 20


def test_hostile_text_stays_text(analysed, tmp_path):
    atoms, found = analysed
    path = csc.plot.report(atoms, tmp_path / "page.html", analysis=found, title=HOSTILE)

    class Tags(HTMLParser):
        found, texts = [], []

        def handle_starttag(self, tag, attrs):
            self.found.append(tag)
            assert not any(name.startswith("on") for name, _ in attrs)

        def handle_data(self, data):
            self.texts.append(data)

    tags = Tags()
    tags.feed(path.read_text(encoding="utf-8"))
    assert tags.found.count("script") == 2
    assert "img" not in tags.found
    assert HOSTILE in tags.texts
    assert json.loads(_document.json_of({"name": HOSTILE})) == {"name": HOSTILE}
    assert "<" not in _document.json_of({"name": HOSTILE})


def test_numbers_keep_four_digits_and_drop_what_is_not_finite():
    values = np.array([0.123456, 123456.0, np.nan, np.inf, 0.0, -1.5e-7])
    assert _document.numbers(values) == [0.1235, 123500.0, None, None, 0.0, -1.5e-7]
    assert _document.numbers(np.array([[1, 2]])) == [[1, 2]]


def test_a_learner_has_history_use_and_its_patches(tmp_path, rng):
    X = rng.laplace(size=(60, 1, 5, 5))
    learner = csc.DictionaryLearning(4, (5, 5), lmbda=0.3, batch_size=20, random_state=0)
    shots = []
    for n in (1, 2, 3):
        learner.set_params(max_iter=n, warm_start=n > 1).fit(X)
        shots.append(learner.atoms_.copy())
    _, found = gabor_atoms(4, 5, rng)
    path = csc.plot.report(
        learner, tmp_path / "page.html", analysis=found, signals=X, snapshots=shots
    )
    data, codes = data_of(path), learner.transform(X).reshape(60, 4)
    largest = np.sort(abs(codes), axis=0)[::-1][:10].T
    np.testing.assert_allclose(np.abs(data["patches"]["codes"]), largest, rtol=1e-3, atol=1e-12)
    assert data["patches"]["are_codes"]
    np.testing.assert_allclose(data["share"], learner.diagnostics().share, rtol=1e-3)
    objectives = np.reshape([r.objective for r in learner.history_], (3, 3)).mean(axis=1)
    np.testing.assert_allclose(data["history"]["objective"], objectives, rtol=1e-3)
    assert data["history"]["at"] == data["passes"]["at"] == [1, 2, 3]
    learner = csc.learning.KSVD(4, (5, 5), n_nonzero=1, tol=0, max_iter=9, random_state=0).fit(X)
    path = csc.plot.report(learner, tmp_path / "page.html", analysis=found, signals=X)
    squares = learner.state_.codes.dense().reshape(60, 4) ** 2
    shares = squares.sum(axis=0) / squares.sum()
    np.testing.assert_allclose(data_of(path)["share"], shares, rtol=1e-3)
    with pytest.raises(ValueError, match="extract_patches"):
        csc.plot.report(learner, path, analysis=found, signals=rng.standard_normal((2, 1, 9, 9)))


@pytest.fixture(scope="module")
def comparison(analysed):
    other = gabor_atoms(15, 7, np.random.default_rng(6))
    sets = filter_set("learned", *analysed), filter_set(HOSTILE, *other)
    return csc.analysis.compare_filters(*sets, n_bootstrap=2, rng=0)


def test_a_report_of_comparisons_holds_each_set_once_and_the_pairs(comparison, tmp_path):
    subject = {"one": comparison, "two": comparison}
    data = data_of(csc.plot.report(subject, tmp_path / "page.html"))
    assert [(one["name"], one["n"]) for one in data["sets"]] == [("learned", 12), (HOSTILE, 15)]
    assert [one["name"] for one in data["comparisons"]] == ["one", "two"]
    pairs = data["comparisons"][1]["pairs"]
    assert pairs["b"] == comparison.pairs.indices.tolist()
    np.testing.assert_allclose(np.mean(pairs["scores"]), comparison.matching.atoms.value, rtol=1e-3)
    page = tmp_path / "page.html"
    with pytest.raises(TypeError, match="signals: only for reports of one layer"):
        csc.plot.report([comparison], page, signals=np.ones((9, 1, 9, 9)))


def test_filters_without_a_partner_are_left_out(analysed, tmp_path):
    few = gabor_atoms(5, 9, np.random.default_rng(7))
    sets = filter_set("many", *analysed), filter_set("few", *few)
    compared = csc.analysis.compare_filters(*sets, n_bootstrap=2, rng=0)
    pairs = data_of(csc.plot.report(compared, tmp_path / "p.html"))["comparisons"][0]["pairs"]
    assert sorted(pairs["b"]) == list(range(5))
    assert pairs["a"] == np.flatnonzero(compared.pairs.indices >= 0).tolist()


def decoded(uri):
    kind, _, text = uri.partition(";base64,")
    assert kind == "data:image/webp"
    return np.asarray(Image.open(io.BytesIO(b64decode(text))))


@pytest.mark.parametrize("shape", [(20, 24), (3, 12, 10)])
def test_a_report_of_restorations_has_exact_pixels_and_psnr(shape, tmp_path, rng):
    truth = rng.random(shape).astype("float32")
    noisy = truth + 0.2 * rng.standard_normal(shape).astype("float32")
    case = csc.plot.Restoration(noisy, {HOSTILE: 0.9 * truth}, truth=truth, title=HOSTILE)
    (found,) = data_of(csc.plot.report(case, tmp_path / "page.html"))["cases"]
    damaged, ours, original = found["images"]
    assert (found["title"], ours["name"], original["name"]) == (HOSTILE, HOSTILE, "original")
    shown = np.moveaxis(decoded(damaged["uri"]), -1, 0)[:3] if len(shape) == 3 else None
    shown = decoded(damaged["uri"])[..., 0] if shown is None else shown
    np.testing.assert_array_equal(shown, (255 * noisy.astype(float).clip(0, 1)).round())
    expected = peak_signal_noise_ratio(truth, noisy.clip(0, 1), data_range=1)
    np.testing.assert_allclose(damaged["psnr"], expected, rtol=1e-3)
    expected = peak_signal_noise_ratio(truth, 0.9 * truth, data_range=1)
    np.testing.assert_allclose(ours["psnr"], expected, rtol=1e-3)
    assert original["psnr"] is None


def test_pictures_that_are_too_many_are_cut_to_their_centres(tmp_path, rng, monkeypatch):
    monkeypatch.setattr(_restoration, "MAX_IMAGE_BYTES", 20_000)
    noise = rng.random((100, 200))
    case = csc.plot.Restoration(noise, {"same": noise})
    path = csc.plot.report([case, case], tmp_path / "page.html")
    image = data_of(path)["cases"][1]["images"][0]
    cut = decoded(image["uri"])[..., 0]
    (h, w), (top, left) = cut.shape, ((100 - cut.shape[0]) // 2, (200 - cut.shape[1]) // 2)
    assert 40 < h < 50
    np.testing.assert_array_equal(
        cut, (255 * noise[top : top + h, left : left + w]).round().astype("uint8")
    )
    assert "central" in path.read_text("utf-8")
    assert path.stat().st_size < 80_000


def test_a_restoration_has_a_short_repr():
    case = csc.plot.Restoration(np.zeros((8, 9)), {"a": np.zeros((8, 9))}, title="noise")
    assert repr(case) == "Restoration('noise', 8x9: a)"


def test_restorations_that_do_not_fit_are_refused():
    flat = np.zeros((8, 8))
    for arguments, error, message in [
        ((flat, []), TypeError, "estimates must be a dict"),
        ((flat, {"original": flat}), ValueError, "must not be named original"),
        ((flat[0], {"a": flat}), ValueError, r"damaged must be a picture \(H, W\)"),
        ((flat, {"a": np.zeros((2, 8, 8))}), ValueError, r"estimates\['a'\] must be a picture"),
        ((flat, {"a": flat}, flat[1:]), ValueError, "must have one shape"),
        ((flat.astype(int), {"a": flat}), TypeError, "float"),
    ]:
        with pytest.raises(error, match=message):
            csc.plot.Restoration(*arguments)


def deep_dictionary(rng, channels=1):
    """Three layers with strides, of sparse atoms."""
    sides, counts, strides = (5, 3, 2), (4, 5, 6), (3, 2, 1)
    layers, below = [], channels
    for side, count, stride in zip(sides, counts, strides, strict=True):
        atoms = rng.standard_normal((count, below, side, side))
        if layers:
            atoms *= rng.random(atoms.shape) < 0.3
        layers.append(csc.Dictionary(atoms, "full", stride))
        below = count
    return csc.MultiLayerDictionary(layers)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_parts_of_a_deep_atom_add_up_to_it(channels, tmp_path, rng):
    D = deep_dictionary(rng, channels)
    data = data_of(csc.plot.report(D, tmp_path / "page.html"))
    shallow, deep = (D.effective(i).atoms for i in (2, 3))
    if channels == 2:
        shallow, deep = (atoms.mean(axis=1, keepdims=True) for atoms in (shallow, deep))
    for atom, parts in zip(deep, data["layers"][2]["parts"], strict=True):
        total = np.zeros_like(atom)
        for k, (row, column), code in zip(parts["index"], parts["at"], parts["code"], strict=True):
            h, w = shallow.shape[2:]
            total[:, row : row + h, column : column + w] += code * shallow[k]
        np.testing.assert_allclose(total, atom, atol=2e-3 * abs(atom).max())
    assert data["layers"][0]["parts"] is None
    assert data["layers"][2]["share"] is None


def test_a_deep_learner_has_use_and_history(tmp_path, rng):
    X = rng.laplace(size=(4, 1, 12, 12))
    layers = [csc.DictionaryLearning(k, (3, 3), 0.3, max_iter=1) for k in (3, 4)]
    learner = csc.MultiLayerDictionaryLearning(layers, 3, max_iter=2, random_state=0).fit(X)
    data = data_of(csc.plot.report(learner, tmp_path / "page.html"))
    shares = [of_layer.share for of_layer in learner.diagnostics()]
    np.testing.assert_allclose(data["layers"][1]["share"], shares[1], rtol=1e-3)
    assert len(data["history"]["objective"]) == 2
    series = csc.MultiLayerDictionary([csc.Dictionary(rng.standard_normal((3, 1, 5)))] * 1)
    with pytest.raises(ValueError, match="draws series"):
        csc.plot.report(series, tmp_path / "page.html")


def test_atoms_of_two_channels_are_shown_as_the_last_snapshot(analysed, tmp_path):
    atoms, found = analysed
    on_off = csc.images.on_off(atoms)
    pages = [
        csc.plot.report(a, tmp_path / f"{name}.html", analysis=found, snapshots=shots)
        for name, a, shots in (("one", atoms, None), ("two", on_off, [atoms]), ("no", on_off, None))
    ]
    one, two, without = (
        re.search(r"\.sheet-atoms\{.*?\}", page.read_text("utf-8"))[0] for page in pages
    )
    assert one == two != without
    assert "passes" not in data_of(pages[1])  # a slider with one stop


def test_arrays_on_a_device_are_shown_like_others(analysed, tmp_path, rng):
    atoms, found = analysed
    picture = rng.random((9, 8))

    def pages(asarray):
        there = asarray(atoms)
        options = {"analysis": found, "signals": there, "snapshots": [there, there]}
        case = csc.plot.Restoration(asarray(picture), {"a": asarray(picture / 2)}, asarray(picture))
        path = tmp_path / "page.html"
        subjects = [(there, options), (case, {})]
        return [csc.plot.report(one, path, **more).read_text("utf-8") for one, more in subjects]

    with fake_cupy.installed() as cupy:
        assert pages(cupy.asarray) == pages(np.asarray)


def test_bad_input_is_named_before_any_work(analysed, tmp_path):
    atoms, found = analysed
    page = tmp_path / "page.html"
    patches = np.ones((30, 1, 9, 9))
    cases = [
        ((atoms, 3), {}, TypeError, "path must be the name of a file"),
        ((atoms, tmp_path), {}, IsADirectoryError, "is a folder"),
        ((atoms, tmp_path / "none" / "page.html"), {}, FileNotFoundError, "create it first"),
        ((atoms[0, 0], page), {}, ValueError, r"atoms of pictures, \(K, C, h, w\)"),
        ((atoms, page), {"title": 3}, TypeError, "title must be a str"),
        ((atoms, page), {"analysis": found.fit}, TypeError, "analysis must be what"),
        ((atoms[:3], page), {"analysis": found}, ValueError, "of these 3 atoms, got one of 12"),
        ((atoms, page), {"pictures": patches}, ValueError, "give signals too"),
        ((atoms, page), {"signals": patches[:, :, 1:]}, ValueError, "at least as large as the"),
        ((atoms, page), {"signals": patches[0]}, ValueError, r"patches \(N, C, h, w\) or a list"),
        ((atoms, page), {"signals": []}, ValueError, "got none"),
        ((atoms, page), {"signals": patches, "pictures": patches[1:]}, ValueError, "of the 30"),
        ((atoms, page), {"snapshots": []}, ValueError, "got none"),
        ((atoms, page), {"snapshots": [atoms[:2]]}, ValueError, r"snapshots\[0\] must be 12"),
        ((atoms, page), {"snapshots": [atoms[:, :, 1:]]}, ValueError, r"of \(9, 9\) pixels"),
    ]
    for arguments, options, error, message in cases:
        with pytest.raises(error, match=message):
            csc.plot.report(*arguments, **options)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_only_by_a_complete_one(analysed, tmp_path, monkeypatch):
    atoms, found = analysed
    path = tmp_path / "page.html"
    path.write_text("old")

    def fails(*_):
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(_document.os, "replace", fails)
        with pytest.raises(OSError, match="disk is full"):
            csc.plot.report(atoms, path, analysis=found)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("page.html", "old")]
    csc.plot.report(atoms, path, analysis=found)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_page_that_would_be_too_large_is_refused(analysed, tmp_path, monkeypatch):
    atoms, found = analysed
    monkeypatch.setattr(_document, "MAX_BYTES", 10_000)
    with pytest.raises(ValueError, match="report on fewer atoms"):
        csc.plot.report(atoms, tmp_path / "page.html", analysis=found)
    assert list(tmp_path.iterdir()) == []


def test_a_page_loads_nothing(analysed, tmp_path):
    atoms, found = analysed
    text = csc.plot.report(atoms, tmp_path / "page.html", analysis=found).read_text("utf-8")
    addresses = re.findall(r"(?:\b(?:src|href)=|\burl\()[\"']?([^\"')>]{0,40})", text)
    assert addresses
    assert all(address.startswith("data:image/png;base64,") for address in addresses), addresses
    assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg"}


def luminance(colour):
    """Relative luminance of "#rrggbb", as WCAG 2.2 defines it."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


def test_text_and_marks_have_the_contrast_that_wcag_asks_for():
    style = files("csc.plot").joinpath("assets", "page.css").read_text("utf-8")
    themes = [
        dict(re.findall(r"--(\w+): (#\w{6});", block))
        for block in re.findall(r"\{([^{}]*--paper[^{}]*)\}", style)
    ]
    themes = [one for one in themes if "paper" in one]
    assert (
        len(themes) == 3
    )  # light, dark by the system, dark by the button; print is black on white
    assert themes[1] == themes[2]
    for theme in themes:
        for names, least in (("ink soft good", 4.5), ("atoms null second macaque", 3)):
            for name in names.split():
                for ground in ("paper", "panel", "ground"):
                    pair = sorted(map(luminance, (theme[name], theme[ground])))
                    assert (pair[1] + 0.05) / (pair[0] + 0.05) >= least, (name, ground, theme)


def test_a_constant_picture_is_mid_grey():
    pictures = np.full((2, 1, 7, 9), 0.1)
    pictures[1, 0, 0, 0] = 0.2
    pixels = stretched(pictures)
    assert (pixels[0] == 128).all()
    assert pixels[1].max() == 255
