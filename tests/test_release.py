"""What is published: wheel and sdist hold all that they should and nothing else, and the wheel runs where it lies."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import modecover

ROOT = Path(__file__).parents[1]
BUILD = "from hatchling import build; print(build.build_{}({!r}))"


def tracked() -> list[str]:
    """The files of the repository; of an unpacked sdist, which has none, all that are there."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    pytest.skip("needs the repository")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel and the sdist, of a copy of the repository's files."""
    pytest.importorskip("hatchling")
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    for kind in ("wheel", "sdist"):
        words = [sys.executable, "-c", BUILD.format(kind, str(out))]
        subprocess.run(words, cwd=copy, check=True, capture_output=True, timeout=120)
    return {"wheel": next(out.glob("*.whl")), "sdist": next(out.glob("*.tar.gz"))}


def test_the_wheel_holds_the_package_and_nothing_else(built: dict[str, Path]) -> None:
    expected = {name.removeprefix("src/") for name in tracked() if name.startswith("src/modecover/")}
    assert {"modecover/runs/card.md.jinja", "modecover/auditing/page.html.jinja", "modecover/py.typed"} <= expected
    with zipfile.ZipFile(built["wheel"]) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (metadata,) = (wheel.read(name).decode() for name in wheel.namelist() if name.endswith("/METADATA"))
    assert held == expected
    assert f"\nVersion: {modecover.__version__}\n" in metadata and "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "Provides-Extra: export" in metadata and "# modecover" in metadata


def test_the_sdist_holds_all_that_tests_and_docs_need(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as sdist:
        held = {name.partition("/")[2] for name in sdist.getnames()}
    left_out = {name for name in set(tracked()) - held if not name.startswith(".")}
    assert left_out == set()
    assert held - set(tracked()) == {"PKG-INFO"}


def test_the_wheel_runs_from_where_it_is_unpacked(built: dict[str, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        wheel.extractall(tmp_path / "site")
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}

    def run(*words: str) -> str:
        whole = [sys.executable, "-m", "modecover", *words]
        done = subprocess.run(whole, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
        return done.stdout

    where = "import modecover; print(modecover.__file__)"
    found = subprocess.run([sys.executable, "-c", where], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert found.stdout.startswith(str(tmp_path))
    assert run("--version").strip() == f"modecover {modecover.__version__}"
    run("train", "lsgan", "--data", "ring", "--steps", "3", "--batch", "8", "--evaluate-samples", "50", "--out", "run")
    assert "samples.npy" in run("sample", "run", "--count", "5", "--out", "samples.npy")
    assert (tmp_path / "run" / "model" / "README.md").is_file()


def test_the_citation_tells_the_version_and_the_licence() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["cff-version"] == "1.2.0" and {"message", "title", "authors", "type"} <= cited.keys()
    assert cited["version"] == modecover.__version__ and cited["license"] == "Apache-2.0"


def test_what_the_readme_installs_is_an_extra() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    named = {extra for page in pages for extra in re.findall(r"(?:modecover|\.)\[(\w+)\]", page.read_text("utf-8"))}
    assert named <= project["optional-dependencies"].keys()
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert set(re.findall(r"modecover\[(\w+)\]", sources)) <= project["optional-dependencies"].keys()
