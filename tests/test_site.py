"""The site: it is built without a warning, holds every page, command and public name, and is as wide as its window."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import Browser, find_browser
from PIL import Image

import modecover
from modecover import metrics
from modecover.cli.main import COMMANDS
from modecover.cli.train import train_parser
from modecover.methods import registry

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site, as `make docs` builds it."""
    for module in ("sphinx", "furo", "myst_nb"):
        pytest.importorskip(module)
    folder = tmp_path_factory.mktemp("site")
    # The package that is tested, in the processes of the notebooks, too.
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    words = ["-q", "-W", "-n", "-b", "html", "-c", str(DOCS), str(ROOT), str(folder)]
    words += ["-d", str(tmp_path_factory.mktemp("doctrees"))]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *words], env=environment, capture_output=True, text=True, timeout=590
    )
    assert built.returncode == 0, built.stderr[-5_000:]
    return folder


def text_of(page: Path) -> str:
    """What a page says, without its marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.read_text("utf-8").split("<article")[1]))


def test_every_page_is_there_and_every_link_leads_somewhere(site: Path) -> None:
    written = [*DOCS.rglob("*.md"), *(ROOT / "results").glob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert {path.relative_to(ROOT).with_suffix(".html").as_posix() for path in written} <= pages
    assert "url=docs/index.html" in (site / "index.html").read_text("utf-8")
    for name in pages:
        html = (site / name).read_text("utf-8")
        assert str(ROOT) not in html and sys.prefix not in html, f"{name} tells where it was built"
        for link in re.findall(r'(?:href|src)="([^"#?]+)', html):
            if not re.match(r"[a-z]+:", link):
                assert (site / name).parent.joinpath(unquote(link)).exists(), f"{name} leads to {link}"
        outside = re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="(https?:[^"]*)', html)
        assert not outside, f"{name} needs {outside}"


@pytest.mark.parametrize(
    ("name", "pictures", "said"),
    [
        ("modes", 1, ["IVDCGAN, seed 1", "GAN: The generator does not go where"]),
        ("images", 3, ["1250 images of (1, 16, 16)", "missing mass: "]),
        (
            "foreign",
            0,
            ["no mansions: The generator does not go where 1", "no samples with", "B is better in"],
        ),
    ],
)
def test_a_notebook_was_run(site: Path, name: str, pictures: int, said: list[str]) -> None:
    page = (site / "docs" / "notebooks" / f"{name}.html").read_text("utf-8")
    cells = (DOCS / "notebooks" / f"{name}.md").read_text("utf-8").count("```{code-cell}")
    assert cells >= 4 and page.count('class="cell_input ') == cells
    assert len(re.findall(r'<img [^>]*src="[^"]*_images/', page)) == pictures
    assert all(sentence in text_of(site / "docs" / "notebooks" / f"{name}.html") for sentence in said)


def test_the_command_line_has_every_command_and_option(site: Path) -> None:
    text = text_of(site / "docs" / "commands.html")
    assert all(f"modecover {command}" in text for command in COMMANDS)
    for name in registry.names():
        parser = train_parser(name, registry.get(name))
        assert f"modecover train {name}" in text
        assert all(action.option_strings[-1] in text for action in parser._actions if action.dest != "help")
    for option in ("--versus", "--fail-over", "--of-seed", "--torchscript", "--queue", "--page"):
        assert option in text
    assert "[-h]" not in text and "%(" not in text and "%%" not in text


def test_the_api_has_every_public_name(site: Path) -> None:
    page = (site / "docs" / "api.html").read_text("utf-8")
    shown = set(re.findall(r'id="(modecover\.[\w.]+)"', page))
    for name in modecover.__all__:
        module = f'id="module-modecover.{name}"' in page
        assert f"modecover.{name}" in shown or module
    assert {f"modecover.metrics.{name}" for name in metrics.__all__} <= shown
    assert {"modecover.GenerativeModel.sample", "modecover.Audit.check", "modecover.runs.run.Run.sample"} <= shown


def test_the_gallery_tells_of_each_sheet_how_it_was_made(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (site / "docs" / "gallery.html").read_text("utf-8")
    lines = [line for path in (ROOT / "results").glob("*.jsonl") for line in path.read_text("utf-8").splitlines()]
    rows = {row["key"]: row for row in map(json.loads, lines) if "key" in row}
    kept = {path.stem for path in (ROOT / "results" / "images").rglob("*.png")}
    wanted = {(rows[key]["method"], rows[key]["data"]) for key in kept if key in rows}
    shown = {(rows[key]["method"], rows[key]["data"]) for key in kept if key in rows and f"{key}.png" in page}
    assert wanted == shown and len(wanted) > 9
    assert all(
        f"{name}.png" in page for name in kept if name.partition("-")[0] not in rows and name not in ("cpu", "full")
    )
    monkeypatch.syspath_prepend(DOCS)
    from site_pages import gallery

    made = {"steps": 50_000, "processor_seconds": 7_260.0, "hardware": {"processor": "EPYC", "accelerators": ["H200"]}}
    row = {"key": "0a1b", "experiment": "stacked", "scale": "full", "table": "colour", "label": "R3GAN", "broken": ""}
    row |= {"method": "r3gan", "data": "stacked-mnist", "summary": made}
    shorter = {**row, "key": "2c3d", "summary": {**made, "steps": 40_000}}
    told = [json.dumps(each) for each in (row, shorter, {**row, "key": "no sheet"})]
    (tmp_path / "stacked.jsonl").write_text("\n".join(told) + "\n")
    for name in ("0a1b", "0a1b-loss-of-D", "2c3d", "full", "unknown"):
        path = tmp_path / "images" / "stacked" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(path)
    text = gallery(tmp_path)
    assert text.count("![") == 2 and "](../results/images/stacked/0a1b.png)" in text
    facts = ("`r3gan` on stacked-mnist", "50,000 steps", "121.0 minutes of CPU time", "H200")
    for said in ("R3GAN, colour: samples", "R3GAN, colour: loss of D", *facts):
        assert said in text
    assert '    modecover reproduce stacked --scale full --only "R3GAN"' in text


@pytest.mark.skipif(find_browser() is None, reason="there is no browser")
def test_no_page_is_wider_than_its_window(site: Path, tmp_path: Path) -> None:
    with Browser(find_browser() or "", tmp_path) as browser:
        for path in sorted(site.rglob("*.html")):
            if path.parent == site:  # the list of names, and the way to the first page
                continue
            for width in (320, 1100):
                browser.open(path, width)
                assert browser.evaluate("document.documentElement.scrollWidth") <= width, f"{path.name} at {width}"
                assert not browser.complaints(), path.name
