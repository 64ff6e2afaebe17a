"""The page of an audit: what it says and in which order, that it stands alone, and how a real browser lays it out."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import audits
import numpy as np
import pytest
from browser import Browser, find_browser
from PIL import Image

from modecover.auditing.findings import gallery
from modecover.auditing.page import bins_plot, histograms, page, ticks
from modecover.auditing.results import (
    Bins,
    ClassShare,
    Curves,
    Estimate,
    Metric,
    Missed,
    NeighbourDistances,
    interval,
    number,
    quantity,
)
from modecover.auditing.run import Audit, audit
from modecover.cli.terminal import print_audit

VOID = {"meta", "img", "br", "polyline", "polygon", "line", "rect", "circle", "path"}


class Elements(HTMLParser):
    """Every element with its attributes; fails where a tag is closed that was not open."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def words(text: str) -> str:
    """What a reader sees of a piece of HTML."""
    text = re.sub(r"<(style|title|svg).*?</\1>", "", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


# ---------------------------------------------------------------- what it says


def test_failures_found_come_first_and_the_headline_counts_them():
    said = words(page(audits.audit()))
    assert "Two failures found" in said
    assert "This generator shows missing mass and low quality ." in said
    order = [said.index(sentence) for sentence in ("no counterpart", "one generated sample in nine", "right weights")]
    assert order == sorted(order)
    assert "400 generated samples ( generated.npz ) were held against 400 real ones ( digits )" in said


def test_a_sound_generator_is_told_so():
    quiet = tuple(dataclasses.replace(v, fires=False) for v in audits.audit().verdicts)
    text = page(audits.audit(verdicts=quiet))
    assert "No failures found" in words(text)
    assert "None of the five verdicts fires." in words(text)
    assert 'class="verdict fires"' not in text


def test_data_held_against_themselves_are_told_on_page_and_terminal(capsys: pytest.CaptureFixture[str]):
    rows = np.random.default_rng(0).normal(size=(60, 2))
    same, other = audit(rows, rows.copy(), train=rows[::-1]), audit(rows, rows[::-1])
    assert same.warning.startswith("The generated samples are the real ones, number for number")
    assert same.warning in words(page(same)) and not other.warning
    assert "are the test ones" in audit(rows, rows[::-1], test=rows[::-1].copy()).warning
    print_audit(same)
    assert "check what was given as either" in " ".join(capsys.readouterr().out.split())


def test_shares_are_percentages_with_interval_and_null():
    said = words(page(audits.audit()))
    assert "29.2 % share of the real mass" in said
    assert "95% interval 27.2 to 31.2% real against real 0.4%, 0.0 to 1.2%" in said
    assert "0.98 ratio of standard deviations" in said


def test_every_metric_is_listed_with_the_identity_of_its_extractor():
    said = words(page(audits.audit()))
    assert "coverage (k=5) ↑ [pixels-pca-64:1a2b3c4d] 0.683 0.66 to 0.71 0.968" in said
    assert "support size (collisions) ↑ ∞ 21,000 to ∞ ∞" in said


def test_numbers_keep_four_digits_and_say_when_there_are_none():
    numbers = {
        0.123456: "0.1235",
        1234567.0: "1,235,000",
        41000.0: "41,000",
        -0.5: "−0.5",
        3.0: "3",
        0.0: "0",
        1e12: "1e+12",
    }
    numbers |= {198312.4: "198,300", 12345.0: "12,345", 1e-5: "1e−05", math.nan: "not measured", -math.inf: "−∞"}
    assert {value: number(value) for value in numbers} == numbers


def test_quantities_are_percentages_or_have_two_decimals():
    assert [quantity(x, "share of the samples") for x in (0.0, 0.1234, 1.0, math.nan)] == [
        "0.0%",
        "12.3%",
        "100.0%",
        "not measured",
    ]
    assert [quantity(x, "ratio") for x in (0.9997, 0.04321, 1234.5)] == ["1.00", "0.0432", "1,230"]
    assert interval(Estimate(0.2, 0.1, 0.3), "share") == "10.0 to 30.0%"
    assert interval(Estimate(0.2, 0.2, 0.2), "ratio") == "0.20"


def test_names_that_look_like_html_are_shown_and_not_obeyed():
    nasty = "<script>alert(1)</script>&\"'"
    inputs = {role: {"name": nasty, "count": 3, "shape": [2], "fingerprint": nasty} for role in ("real", "fake")}
    changed = audits.audit(inputs=inputs, settings={nasty: nasty})
    text = page(dataclasses.replace(changed, verdicts=(dataclasses.replace(changed.verdicts[0], sentence=nasty),)))
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#34;&#39;") >= 6


def test_the_page_stands_alone():
    text = page(audits.audit())
    elements = Elements(text)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in elements.found}
    assert "@import" not in text and "url(" not in text
    assert all((image["src"] or "").startswith("data:image/png;base64,") for image in elements.all("img"))
    assert {"http-equiv", "content"} <= set(elements.all("meta")[2])
    assert "default-src 'none'" in (elements.all("meta")[2]["content"] or "")
    values = [value or "" for _, attributes in elements.found for value in attributes.values()]
    assert not any("//" in value for value in values if not value.startswith("data:image/png;base64,"))


# ---------------------------------------------------------------- pictures


def test_the_sheet_shows_exactly_the_missed_examples_pixel_for_pixel():
    made = audits.audit(missed=tuple(Missed(row, 0.9) for row in (51, 7, 300)), starved={}, copies=())
    assert made.gallery is not None
    section = page(made).split("Real examples that are missed")[1].split("<section>")[0]
    images = Elements(f"<div>{section.split('</h2>')[1].split('</section>')[0]}</div>").all("img")
    assert [image["alt"] for image in images] == ["51", "7", "300"]
    for image, row in zip(images, (51, 7, 300), strict=True):
        picture = Image.open(io.BytesIO(base64.b64decode((image["src"] or "").partition(",")[2])))
        expected = np.rint((made.gallery.real[row][0] + 1) * 127.5)
        np.testing.assert_allclose(np.asarray(picture, dtype=float), expected, atol=0.51)


def test_a_starved_bin_shows_its_members_and_both_shares():
    made = audits.audit()
    bins = made.curves.bins
    assert bins is not None
    said = words(page(made))
    share = 100 * bins.real[3] / sum(bins.real)
    assert f"Cluster 3 {share:.2g}% of the real samples, 0% of the generated ones 7 8 9 10" in said


def test_copies_stand_beside_what_they_copy():
    said = words(page(audits.audit()))
    assert "5 · 17 0 apart" in said
    assert "9 · 31 0.173 apart" in said


def test_large_images_are_reduced_and_channels_beyond_colour_are_panels():
    for shape, size in (((3, 300, 200), (101, 152)), ((2, 30, 20), (40, 30))):
        made = audits.audit(shape, count=30, missed=(), starved={}, copies=())
        source = Elements(page(made)).all("img")[0]["src"] or ""
        assert Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).size == size


def test_points_of_the_plane_are_drawn_all_and_the_missed_ones_marked():
    made = audits.audit((2,), missed=(Missed(3, 1.0), Missed(77, 0.9)), starved={1: (5,)}, copies=())
    text = page(made)
    dots = re.findall(r'<path d="([^"]*)" class="dots (\w+)"', text)
    assert [kind for _, kind in dots] == ["real", "alarm", "fake"], (
        "real rows are missed: the generator's panel shows its own alone"
    )
    assert [path.count("M") for path, _ in dots] == [400, 3, 400]
    assert "base64" not in text


def test_points_of_one_or_many_dimensions_have_a_view_too():
    assert "Real and generated numbers" in page(audits.audit((1,)))
    many = audits.audit((9,), missed=(Missed(3, 0.75),))
    assert many.gallery is not None
    first = ", ".join(number(float(x)) for x in many.gallery.real[3][:6])
    assert f"3 0.75 {first}, ..." in words(page(many))


def test_counts_of_classes_that_the_table_of_classes_corrects_are_told_from_it():
    counts = Metric("classes with 5 samples, of 10 [classifier-32:1a2b3c4d]", "modes-5", 3, 10, None, None, "higher")
    classes = (ClassShare(0, 0.1, 0.0, 0.0, 0.02),)
    for found in ((counts,), ()):
        said = words(page(audits.audit(classes=classes, metrics=(*audits.audit().metrics, *found))))
        assert ("which the table of classes corrects" in said) == any(found)


def test_without_a_gallery_the_verdicts_and_plots_are_still_there():
    text = page(dataclasses.replace(audits.audit(), gallery=None))
    assert "Two failures found" in text
    assert "Clusters of the real data" in text
    assert "<img" not in text


def test_the_gallery_holds_what_is_shown_and_little_more():
    rows = np.arange(5000, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 2, 2), np.float32)
    picked = gallery(audits.audit(count=500), *map(audits.samples, (rows, -rows, 10 * rows)))
    evenly = set(np.linspace(0, 4999, 24).astype(int))
    assert set(picked.real) == {*range(40, 64), 7, 8, 9, 10, 100, 101, 102} | evenly
    assert set(picked.fake) == {pair.fake for pair in audits.audit(count=500).copies} | evenly
    assert set(picked.spread["real"]) == set(picked.spread["fake"]) == evenly
    assert {row: float(image[0, 0, 0]) for row, image in picked.train.items()} == {17: 170.0, 31: 310.0}


def test_the_gallery_holds_large_images_as_the_page_shows_them():
    rows = np.zeros((500, 3, 300, 200), np.uint8)
    rows[:, :, :150] = np.arange(500)[:, None, None, None] % 256
    picked = gallery(audits.audit(count=500), *map(audits.samples, (rows, rows, rows)))
    for row in (7, 40):
        image = picked.real[row]
        assert image.shape == (3, 152, 101) and image.dtype == np.float32
        assert (image[:, 10], image[:, -10]) == (pytest.approx(row / 127.5 - 1), pytest.approx(-1))
    assert picked.real.kept.stored.nbytes == len(picked.real) * 3 * 152 * 101


def test_rows_are_numbered_as_in_the_source_they_were_taken_from():
    """Row i of either source holds the number i; the fake rows end in the middle of the real ones."""
    found = audit(np.arange(9000.0)[:, None], np.arange(4500.0)[:, None], samples=300)
    assert found.missed and min(missed.index for missed in found.missed) > 4000
    assert found.starved and min(min(rows) for rows in found.starved.values()) > 4000
    assert [abs(copy.fake - copy.train) for copy in found.copies] == pytest.approx(
        [copy.distance for copy in found.copies], abs=1e-3
    )
    assert max(copy.train for copy in found.copies) > 300
    assert found.gallery is not None
    for rows in (found.gallery.real, found.gallery.fake, found.gallery.train):
        assert rows and all(float(row[0]) == index for index, row in rows.items())


# ---------------------------------------------------------------- plots


def numbers_of(svg: str, tag: str, kind: str) -> list[dict[str, float]]:
    found = re.findall(rf'<{tag} ([^>]*)class="{kind}"', svg)
    return [{name: float(value) for name, value in re.findall(r'(\w+)="([\d.-]+)"', text)} for text in found]


def test_a_bin_s_dot_stands_at_its_share_and_is_coloured_by_its_test():
    svg = bins_plot(Bins(real=(10, 50, 40), fake=(0, 5, 95), p_values=(1e-4, 0.2, 1e-3)))
    bars = numbers_of(svg, "rect", "bar real")
    assert [bar["height"] / bars[0]["height"] for bar in bars] == pytest.approx([1, 0.8, 0.2], abs=0.02)
    (missing,), (quiet,), (many,) = (numbers_of(svg, "circle", f"dot {k}") for k in ("alarm", "quiet", "fake"))
    assert missing["cx"] == pytest.approx(bars[2]["x"] + bars[2]["width"] / 2, abs=0.2)  # the smallest bin is last
    floor = missing["cy"]
    assert (floor - many["cy"]) / (floor - quiet["cy"]) == pytest.approx(0.95 / 0.05, rel=0.02)


def test_histograms_have_the_same_area_whatever_the_counts():
    random = np.random.default_rng(0)
    svg = histograms(random.normal(size=90), random.normal(size=9000), "t", "x")
    areas = []
    for kind in ("real", "fake"):
        ends = re.search(rf'<polygon points="([^"]*)" class="area {kind}"', svg)
        assert ends is not None
        x, y = np.array([[float(v) for v in pair.split(",")] for pair in ends[1].split()]).T
        areas.append(abs(float(np.sum(x * np.roll(y, 1) - y * np.roll(x, 1)))) / 2)
    assert areas[0] == pytest.approx(areas[1], rel=0.02)


@pytest.mark.parametrize(
    "curves",
    [
        Curves(Bins((5,), (0,), (1.0,)), NeighbourDistances((), ())),
        Curves(
            Bins((0, 0), (0, 0), (1.0, math.nan)),
            NeighbourDistances((0.0, 0.0), (0.0,)),
        ),
        Curves(Bins((), (), ()), NeighbourDistances((math.inf, 1.0), (math.nan,))),
    ],
)
def test_curves_of_the_emptiest_kind_can_be_drawn(curves):
    text = page(audits.audit(curves=curves))
    Elements(text)
    assert "nan" not in re.sub(r"[^<>]*</(text|title)>", "", "".join(re.findall(r"<svg.*?</svg>", text)))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 0.31, [0, 0.1, 0.2, 0.3]), (-1.3, 1.3, [-1, 0, 1])],
)
def test_ticks_are_round_and_inside(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


# ---------------------------------------------------------------- in a browser

BROWSER = find_browser()
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert BROWSER is not None
    with Browser(BROWSER, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module", params=[(1, 28, 28), (2,), (9,)], ids=str)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Audit]:
    made = audits.audit(request.param)
    long = {"name": "a/very/long/path/" * 12 + "real.npz", "count": 10**6, "shape": [1], "fingerprint": "f" * 64}
    made = dataclasses.replace(made, inputs={**made.inputs, "real": long})
    return made.save(tmp_path_factory.mktemp("page") / "audit.html"), made


@needs_browser
@pytest.mark.parametrize("width", [320, 400, 1400])
def test_nothing_overflows_at_any_width(browser, written, width):
    browser.open(written[0], width)
    assert browser.evaluate("window.innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    wide = "[...document.querySelectorAll('main *')].filter(e => !e.closest('svg') && e.getClientRects().length)"
    wide += f".filter(e => e.getBoundingClientRect().right > {width} + 0.5 || e.scrollWidth > e.clientWidth + 1 "
    wide += "&& getComputedStyle(e).display != 'inline').map(e => e.className + ' ' + e.textContent.slice(0, 40))"
    assert browser.evaluate(wide) == []


@needs_browser
def test_every_picture_is_shown_and_nothing_is_asked_of_the_network(browser, written):
    browser.open(written[0], 1400)
    broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth || !i.clientWidth).length"
    assert browser.evaluate(broken) == 0
    assert [url for url in browser.requested() if not url.startswith("data:")] == [written[0].absolute().as_uri()]
    assert browser.complaints() == []


@needs_browser
def test_the_verdicts_are_what_one_sees_first(browser, written):
    browser.open(written[0], 1400, 900)
    tops = browser.evaluate("[...document.querySelectorAll('.verdict')].map(e => e.getBoundingClientRect().top)")
    assert len(tops) == 5
    assert tops == sorted(tops) and tops[1] < 600
    sections = "[...document.querySelectorAll('section')].map(e => e.getBoundingClientRect().top)"
    assert min(browser.evaluate(sections)) > tops[-1]


@needs_browser
@pytest.mark.parametrize("width", [400, 1400])
def test_the_smallest_words_can_be_read(browser, written, width):
    browser.open(written[0], width)
    sizes = "[...document.querySelectorAll('svg text')].map(e => 13 * e.getScreenCTM().a)"
    assert min(browser.evaluate(sizes)) >= 9.5
    sizes = "[...document.querySelectorAll('main :not(svg *)')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    assert min(browser.evaluate(sizes)) >= 11


CONTRAST = """(() => {
  const levels = c => c.match(/[\\d.]+/g).slice(0, 3).map(Number).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = c => levels(c).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => { while (e && getComputedStyle(e).backgroundColor == 'rgba(0, 0, 0, 0)') e = e.parentElement;
    return getComputedStyle(e || document.body).backgroundColor; };
  return [...document.querySelectorAll('h1, h2, h3, p, td, th, dt, dd, .chip, .key, figcaption, summary')].map(e => {
    const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05); });
})()"""


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_light_and_dark_are_both_readable(browser, written, dark):
    """Contrast of 4.5 to 1 for all words, as WCAG 2.1 asks at level AA; the paper is light or dark as asked."""
    browser.open(written[0], 1400, dark=dark)
    assert min(browser.evaluate(CONTRAST)) >= 4.5
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", paper)[0]) < 128) == dark


@needs_browser
def test_the_screenshot_shows_the_page(browser, tmp_path):
    browser.open(audits.audit().save(tmp_path / "audit.html"), 1400)
    browser.photograph(tmp_path / "page.png")
    pixels = np.asarray(Image.open(tmp_path / "page.png").convert("RGB")).astype(int)
    assert pixels.shape[1] == 1400 and pixels.shape[0] > 1500
    orange = (abs(pixels - [0xC4, 0x42, 0x0B]).max(axis=2) < 8).sum()
    assert orange > 2000, "the headline and the marks of what was found"
