"""Reports in a real browser: clicks, keys and drags, and that all panels follow.

``CSC_PICTURES=out pytest -m browser`` also makes the pictures of ``docs/howto_report.md``, from the pages
that the demos wrote into ``out`` with ``--page``.
"""

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import csc
from csc._sprite import pictures_of
from csc.plot._pages import _atoms
from doubles.gabor_atoms import filter_set, gabor_atoms
from reference.gabor import gabor

try:
    from playwright.sync_api import sync_playwright
except ImportError:
    pytest.skip("Playwright is missing: pip install 'mlcsc[browser]'", allow_module_level=True)

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
if CHROMIUM is None:
    pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed", allow_module_level=True)

pytestmark = pytest.mark.browser
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
DEMO_PAGES = os.environ.get("CSC_PICTURES")
DOCS = Path(__file__).parents[2] / "docs"
MAX_PICTURE = 150_000  # bytes
HOSTILE = '<img src=x onerror="window.hacked=1"></script><script>window.hacked=1</script>'
CLICK_TO_PICTURE = """async (i) => {
  const tile = document.getElementById(`tile-${i}`);
  const start = performance.now();
  tile.click();
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start;
}"""


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser):
    """A function that opens a report; afterwards no error and no request may have been seen."""
    seen, pages = [], []

    def open_report(path, width=1280, **options):
        page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        page.on("console", lambda message: seen.append(message.text))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("request", lambda r: None if own(r.url) else seen.append(r.url))
        page.goto(path.as_uri())
        pages.append(page)
        return page

    def own(url):
        return url.startswith(("file:", "data:"))

    yield open_report
    for page in pages:
        page.close()
    assert seen == []


@pytest.fixture(scope="module")
def atoms():
    return gabor_atoms(40, 10, np.random.default_rng(1))


@pytest.fixture(scope="module")
def page_of_atoms(atoms, tmp_path_factory):
    path = tmp_path_factory.mktemp("reports") / "atoms.html"
    shots = [np.roll(atoms[0], shift, axis=0) for shift in (2, 1, 0)]
    return csc.plot.report(
        atoms[0], path, analysis=atoms[1], snapshots=shots, signals=patches_of(atoms[0])
    )


def patches_of(atoms):
    """Every atom at eleven strengths."""
    return np.concatenate([-strength * atoms for strength in range(1, 12)])


def order(page):
    """Numbers of the atoms in the sheet, as it shows them."""
    return page.eval_on_selector_all(
        ".sheet .tile", "all => all.filter(t => !t.hidden).map(t => Number(t.dataset.i))"
    )


def bright(page):
    """The set of atoms that are not faded."""
    return set(
        page.eval_on_selector_all(
            ".sheet .tile:not(.faded)", "all => all.map(t => Number(t.dataset.i))"
        )
    )


def pixels(canvas):
    """Grey values of a canvas, row by row."""
    values = canvas.evaluate(
        "c => [c.width, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )
    return np.array(values[1:]).reshape(-1, values[0], 4)[..., 0]


def photographed(locator, side):
    """What is seen of a picture, one value for each of its pixels."""
    image = np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("L"), int)
    at = ((np.arange(side) + 0.5) * len(image) / side).astype(int)
    return image[np.ix_(at, at)]


def drag(page, selector, start, end):
    """Drag over a plot, between points given as shares of its width and height."""
    page.locator(f"{selector} .over").scroll_into_view_if_needed()
    box = page.locator(f"{selector} .over").bounding_box()
    for k, (x, y) in enumerate((start, end)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)
        (page.mouse.up if k else page.mouse.down)()


def bright_in(page, layer):
    """The set of atoms of a layer that are not faded."""
    chosen = f"[id^={layer}-].tile:not(.faded)"
    return set(page.eval_on_selector_all(chosen, "all => all.map(t => Number(t.dataset.i))"))


def minus(value, decimals=2):
    """A number as pages show it."""
    return f"{value:.{decimals}f}".replace("-", "\u2212")


def test_a_click_shows_the_atom_and_its_fit(opened, page_of_atoms, atoms):
    page, fit = opened(page_of_atoms), atoms[1].fit
    page.locator("#tile-7").click()
    assert page.inner_text("#atom-name") == "Atom 7"
    p = {name: getattr(fit, name)[7] for name in ("x", "y", "orientation", "frequency")}
    p |= {name: getattr(fit, name)[7] for name in ("sigma_x", "sigma_y", "phase", "amplitude")}
    truth = gabor((10, 10), *p.values())
    grey = 255 * (0.5 + truth / abs(atoms[0][7]).max() / 2)
    canvases = page.locator(".view canvas").all()
    np.testing.assert_allclose(pixels(canvases[0]), grey.clip(0, 255), atol=1.01)
    rest = 255 * (0.5 + (atoms[0][7, 0] - truth) / abs(atoms[0][7]).max() / 2)
    np.testing.assert_allclose(pixels(canvases[1]), rest.clip(0, 255), atol=2.01)
    spectrum = abs(np.fft.fftshift(np.fft.fft2(atoms[0][7, 0], (64, 64))))
    np.testing.assert_allclose(pixels(canvases[2]), 255 * spectrum / spectrum.max(), atol=4)
    shown = photographed(page.locator(".view .tile"), 10)
    np.testing.assert_allclose(shown, pictures_of(atoms[0])[7], atol=1)
    responses = np.einsum("nchw,chw", patches_of(atoms[0]), atoms[0][7])
    responses /= np.linalg.norm(atoms[0][7])
    best = np.argsort(-abs(responses))[4]
    assert page.locator(".used figcaption").all_inner_texts()[4] == minus(responses[best])
    shown = photographed(page.locator(".used .tile").nth(4), 10)
    patch = patches_of(atoms[0])[best]
    patch = patch - patch.mean()
    np.testing.assert_allclose(shown, pictures_of(patch[None])[0], atol=1)
    page.locator(".linked").first.click()
    nearest = csc.analysis.similar_atoms(atoms[0], 1).indices[7, 0]
    assert page.inner_text("#atom-name") == f"Atom {nearest}"


def test_sorting_filtering_and_keys(opened, page_of_atoms, atoms):
    page, fit = opened(page_of_atoms), atoms[1].fit
    assert sorted(order(page)) == list(range(40))
    assert (np.diff(fit.r2[order(page)]) < 1e-3).all()  # the page has four digits
    page.select_option("#sort", "n_x")
    like = np.flatnonzero(fit.gabor_like)
    expected = like[np.argsort(-fit.n_x[like])].tolist()
    assert order(page)[: len(like)] == expected
    page.click("#direction")
    assert order(page)[: len(like)] == expected[::-1]
    page.click("button[data-value=like]")
    page.check("#only")
    assert order(page) == expected[::-1]
    assert page.inner_text("#count") == f"{len(like)} of 40 atoms"
    page.focus(".sheet")
    for key, at in (("Home", 0), ("ArrowRight", 1), ("End", -1), ("ArrowLeft", -2)):
        page.keyboard.press(key)
        assert page.inner_text("#atom-name") == f"Atom {expected[::-1][at]}"


def test_brushing_marks_the_atoms_in_all_panels(opened, page_of_atoms, atoms):
    page, fit = opened(page_of_atoms), atoms[1].fit
    left = (46 / 420, (46 + 159) / 420)  # the left half of the axes of n_y
    drag(page, "#shapes", (left[0], 9 / 372), (left[1], 325 / 372))
    middle = np.sqrt(0.05 * 3)
    inside = set(np.flatnonzero(fit.gabor_like & (fit.n_y < middle)))
    near = set(np.flatnonzero(abs(fit.n_y / middle - 1) < 0.05))
    assert inside - near <= bright(page) <= inside | near
    assert page.locator("#waves .brush").count() == 0
    chips = page.locator(".chip")
    assert chips.count() == 2
    while chips.count():
        chips.first.click()
    assert len(bright(page)) == 40
    # from beyond the horizontal rim to a twelfth of a turn short of the vertical, close to the middle
    x, y = 0.1 * np.cos(np.pi / 3), 0.1 * np.sin(np.pi / 3)  # in cycles per pixel
    centre = np.array([210, 222])
    end = centre + 2 * 176 * np.array([x, -y])
    drag(page, "#waves", (400 / 420, 221.9 / 262), tuple(end / (420, 262)))
    inside = fit.gabor_like & (fit.orientation < np.pi / 3) & (fit.peak_frequency > 0.1)
    near = abs(fit.orientation - np.pi / 3) < 0.02
    near |= (abs(fit.peak_frequency - 0.1) < 0.005) | (fit.orientation < 0.02)
    assert bright(page) ^ set(np.flatnonzero(inside)) <= set(np.flatnonzero(near))
    assert 0 < len(bright(page)) < len(inside)
    page.click("summary")
    page.fill("#frequency-from", "0.1")
    page.fill("#frequency-to", "0.2")
    inside &= (fit.peak_frequency >= 0.1) & (fit.peak_frequency <= 0.2)
    assert bright(page) ^ set(np.flatnonzero(inside)) <= set(np.flatnonzero(near))


def test_a_click_in_a_plot_chooses_the_nearest_atom(opened, page_of_atoms, atoms):
    page, fit = opened(page_of_atoms), atoms[1].fit
    i = np.flatnonzero(fit.gabor_like)[0]
    scale = 318 / np.log(3 / 0.05)
    x = 46 + scale * np.log(np.clip(fit.n_y[i], 0.05, 3) / 0.05)
    y = 326 - scale * np.log(np.clip(fit.n_x[i], 0.05, 3) / 0.05)
    box = page.locator("#shapes .over").bounding_box()
    ratio = box["width"] / 420
    page.mouse.click(box["x"] + x * ratio, box["y"] + y * ratio)
    assert page.inner_text("#atom-name") == f"Atom {i}"


def test_patches_of_pictures_say_where_they_are(opened, atoms, tmp_path):
    pictures = np.zeros((2, 1, 30, 40))
    pictures[1, :, 8:18, 20:30] = atoms[0][6]
    path = csc.plot.report(atoms[0], tmp_path / "p.html", analysis=atoms[1], signals=pictures)
    page = opened(path)
    page.click("#tile-6")
    first = page.locator(".used .tile").first
    value = minus(np.linalg.norm(atoms[0][6]))
    expected = f"patch of picture 1, row 8, column 20 with inner product {value}"
    assert first.get_attribute("aria-label") == expected
    centred = atoms[0][6] - atoms[0][6].mean()
    np.testing.assert_allclose(photographed(first, 10), pictures_of(centred[None])[0], atol=1)


def test_the_slider_shows_the_atoms_of_the_pass(opened, page_of_atoms, atoms):
    page, pictures = opened(page_of_atoms), pictures_of(atoms[0])
    page.locator("#pass").focus()
    for key, now, shift in (("Home", 1, 2), ("ArrowRight", 2, 1), ("End", 3, 0)):
        page.keyboard.press(key)
        assert page.inner_text("#pass-now") == f"pass {now} of 3"
        shown = photographed(page.locator("#tile-3"), 10)
        np.testing.assert_allclose(shown, pictures[3 - shift], atol=1)


def test_pairs_of_a_comparison_stand_side_by_side(opened, atoms, tmp_path):
    a, fit = atoms[0], atoms[1].fit
    b = -a[np.roll(np.arange(40), 7)]
    sets = [filter_set(name, *of) for name, of in (("learned", atoms), (HOSTILE, (b, atoms[1])))]
    compared = csc.analysis.compare_filters(*sets, n_bootstrap=2, rng=0)
    page = opened(csc.plot.report([compared, compared], tmp_path / "page.html"))
    page.click("#tile-5")
    assert page.inner_text("#pair-name") == "Score 1.00"
    first, second = page.locator(".view .tile").all()
    np.testing.assert_allclose(photographed(first, 10), pictures_of(a)[5], atol=1)
    np.testing.assert_allclose(photographed(second, 10), pictures_of(a)[5], atol=1)  # sign turned
    assert HOSTILE in page.locator(".set-name").all_inner_texts()
    assert page.evaluate("window.hacked") is None
    drag(page, "#shapes", (46 / 420, 9 / 372), (237 / 420, 167 / 372))
    low, high = (0.05 * 3) ** 0.5, 0.05 * 60 ** (191 / 318)
    inside = fit.gabor_like & (fit.n_x > low) & (fit.n_y < high)
    near = set(np.flatnonzero((abs(fit.n_x / low - 1) < 0.02) | (abs(fit.n_y / high - 1) < 0.02)))
    shown = page.eval_on_selector_all(
        ".box:not(.faded)", "all => all.map(t => Number(t.dataset.i))"
    )
    assert set(shown) ^ set(np.flatnonzero(inside)) <= near
    assert set(np.flatnonzero(fit.gabor_like & (fit.n_y > high) & (fit.n_x > low))) - near
    page.select_option("#comparison", "1")
    assert page.locator(".box").count() == 40


def test_before_and_after_meet_at_the_divider(opened, tmp_path):
    dark, light = np.full((40, 60), 0.2), np.full((40, 60), 0.6)
    truth = np.full((40, 60), 0.5)
    case = csc.plot.Restoration(dark, {"good": light, HOSTILE: 2 * light}, truth=truth)
    page = opened(csc.plot.report(case, tmp_path / "page.html"))
    stage = page.locator("#divider")

    def halves():
        image = np.asarray(Image.open(io.BytesIO(stage.screenshot())).convert("L"), int)
        middle = image[len(image) * 3 // 4]
        return [middle[int(len(middle) * share)] for share in (0.1, 0.4, 0.9)]

    assert halves() == [51, 51, 153]
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20, steps=3)
    page.mouse.up()
    assert halves() == [51, 153, 153]
    assert abs(float(stage.get_attribute("aria-valuenow")) - 25) <= 1
    stage.focus()
    page.keyboard.press("End")
    assert halves() == [51, 51, 51]
    page.keyboard.press("Home")
    page.select_option("#right", HOSTILE)
    assert halves() == [255, 255, 255]
    assert page.evaluate("window.hacked") is None
    page.locator("button.link", has_text="good").click()
    page.click("#swap")
    assert halves() == [51, 51, 51]
    page.click("#swap")
    page.locator("#gain").focus()
    page.keyboard.press("Home")  # once, not enlarged
    page.wait_for_function("document.querySelector('.difference').width === 60")
    values = pixels(page.locator(".difference"))
    assert (abs(values - (127.5 + 153 - 128)) <= 1).all()  # 0.6 and 0.5 are 153 and 128 of 255
    assert "25.00 of 255" in page.locator("figcaption").inner_text()


def test_a_deep_atom_opens_into_its_parts(opened, tmp_path, rng):
    first, second = rng.standard_normal((4, 1, 5, 5)), np.zeros((3, 4, 2, 2))
    second[1, [2, 0, 3], [0, 1, 0], [1, 1, 0]] = 1.0, -0.5, 0.1
    second[0, 1, 0, 0] = second[2, 2, 1, 1] = 1.0
    third = np.zeros((2, 3, 2, 2))
    third[0, 1, 0, 0] = third[1, 0, 1, 1] = 1.0
    D = csc.MultiLayerDictionary([csc.Dictionary(a) for a in (first, second, third)])
    page = opened(csc.plot.report(D, tmp_path / "page.html"))
    assert page.inner_text("#atom-name") == "Layer 3, atom 0"
    assert bright_in(page, "layer2") == {1}
    assert bright_in(page, "layer1") == {0, 2, 3}
    page.locator("summary.part").first.click()
    inner = page.locator(".parts .parts .part")
    inner.first.wait_for()  # `details` says that it is open a little later
    codes = [minus(code, 3) for code in (1.0, -0.5, 0.1)]
    assert inner.locator(".part-code").all_inner_texts() == codes
    page.click("#layer2-1")
    page.locator("#parts").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    truth = D.effective(2).atoms[1, 0]
    two = truth.copy()
    two[:5, :5] -= 0.1 * first[3, 0]
    energy = 100 * (1 - ((truth - two) ** 2).sum() / (truth**2).sum())
    assert page.locator(".view figcaption").nth(1).inner_text() == (
        f"sum of the first 2 parts: {energy:.0f} % of the energy"
    )
    grey = 127.5 * (1 + two / abs(truth).max())
    assert abs(pixels(page.locator("canvas.sum")) - grey.clip(0, 255)).max() < 2
    page.locator(".part button").nth(1).click()
    order_of_parts = np.argsort(-np.array([np.linalg.norm(first[2]), np.linalg.norm(first[0]) / 2]))
    assert page.inner_text("#atom-name") == f"Layer 1, atom {[2, 0][order_of_parts[1]]}"


def test_hostile_names_do_nothing(opened, atoms, tmp_path):
    path = tmp_path / "<img src=x onerror=alert(1)>.html"
    page = opened(csc.plot.report(atoms[0], path, analysis=atoms[1], title=HOSTILE))
    assert page.inner_text("h1") == HOSTILE
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0


def test_pages_have_names_for_all_and_two_sets_of_colours(opened, page_of_atoms):
    page = opened(page_of_atoms, width=400, color_scheme="dark")
    nameless = page.evaluate("""() => [...document.querySelectorAll(
        "button, input, select, [role=img], [role=listbox], [role=option]")]
        .filter(e => !e.closest("button [role=img]"))
        .filter(e => !(e.getAttribute("aria-label") || e.textContent.trim() || (e.labels || []).length))
        .map(e => e.outerHTML)""")
    assert nameless == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.inner_text("#theme") == "Colours: Light"
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark, light) == ("rgb(20, 22, 24)", "rgb(247, 246, 242)")
    page.emulate_media(media="print")
    assert not page.locator(".toolbar").is_visible()
    assert page.locator("#tile-3").is_visible()


def test_two_thousand_atoms_stay_fluent(opened, tmp_path, monkeypatch, record_property):
    atoms, found = gabor_atoms(2000, 12, np.random.default_rng(2))
    some = csc.analysis.SimilarAtoms(np.zeros((2000, 5), int), np.ones((2000, 5)))
    monkeypatch.setattr(_atoms, "similar_atoms", lambda *_: some)  # takes three seconds
    path = csc.plot.report(atoms, tmp_path / "many.html", analysis=found)
    assert path.stat().st_size < 2_000_000
    page = opened(path)
    milliseconds = [page.evaluate(CLICK_TO_PICTURE, i) for i in (1999, 3, 1000, 500, 7, 1700, 77)]
    assert page.inner_text("#atom-name") == "Atom 77"
    record_property("milliseconds from click to picture", milliseconds)
    assert np.quantile(milliseconds, 0.25) < 100, milliseconds  # other work may delay some


def look_at_atoms(page):
    page.locator("#size").fill("1")  # so that the plots are seen below the sheet
    drag(page, "#waves", (0.52, 200 / 262), (0.75, 60 / 262))
    page.locator(".sheet .tile:not(.faded)").nth(12).click()


def look_at_pairs(page):
    page.locator(".box").nth(3).click()


def look_at_a_restoration(page):
    page.locator("#divider").focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")


def look_at_layers(page):
    page.locator("#layer3-11").click()
    page.locator("summary.part").first.click()


@pytest.mark.skipif(
    DEMO_PAGES is None, reason="pictures of the docs are made with CSC_PICTURES=out"
)
@pytest.mark.parametrize(
    ("demo", "picture", "look", "height"),
    [
        ("v1_filters", "atoms", look_at_atoms, 1500),
        ("cnn_first_layer", "comparison", look_at_pairs, 1230),
        ("restoration", "restoration", look_at_a_restoration, 1000),
        ("learn_multilayer_photographs", "layers", look_at_layers, 1000),
    ],
)
def test_pages_of_demos_have_pictures_in_the_docs(opened, demo, picture, look, height):
    page = opened(Path(DEMO_PAGES).resolve() / f"{demo}.html", color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": height})
    look(page)
    page.mouse.move(1, 1)
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(300)  # until what is far from the view is drawn
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    small = shot.resize((900, height * 900 // 1280), Image.Resampling.LANCZOS)
    few = small.quantize(palette=palette(), dither=Image.Dither.NONE)
    few.save(DOCS / f"report_{picture}.png", optimize=True)
    assert (DOCS / f"report_{picture}.png").stat().st_size < MAX_PICTURE


def palette():
    """A small palette for all pictures: greys, the colours of pages in tints, a cube of colours."""
    greys = [(level,) * 3 for level in range(3, 256, 6)]
    tints = [
        [round(255 + share * (part - 255)) for part in colour]
        for colour in ((0, 114, 178), (213, 94, 0), (0, 158, 115), (0, 107, 76), (29, 31, 34))
        for share in (0.1, 0.25, 0.5, 0.75, 1)
    ]
    cube = (np.indices((4, 4, 4)).reshape(3, -1).T * 85).tolist()
    image = Image.new("P", (1, 1))
    colours = [*greys, (247, 246, 242), (222, 220, 213), *tints, *cube]
    image.putpalette(np.ravel(colours).tolist())
    return image
