"""The house rules of docs/architecture.md, held down by reading the source: arrows, printing, pickles, start-up.

Every rule is a function from a source tree to the list of its violations, so that each can be shown a planted one.
"""

from __future__ import annotations

import ast
import graphlib
import importlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SOURCE = REPOSITORY / "src" / "modecover"

NEEDLESS = {"cloudpickle", "dill", "joblib", "pickle", "shelve", "torchvision"}
HEAVY = {"PIL", "datasets", "huggingface_hub", "matplotlib", "mlxtend", "pandas", "pyarrow", "rich", "scipy", "sklearn"}
HEAVY_AT_THE_TOP = {("runs/model.py", "huggingface_hub"), ("cli/terminal.py", "rich")}
"""A model file's class inherits from the hub's mixin; and cli/terminal.py is itself imported when it is needed."""

HARDWARE_WORDS = {"autocast", "backward", "cpu", "cuda", "device", "dtype", "no_grad", "optim", "rank", "to"}
METHOD_LINES, STEP_LINES = 120, 60
"""Lines of code at most (comments, docstrings and blank lines not counted): of a method's file, of one function."""
LARGEST_ROOM = 0.15
NOT_A_METHOD = {"__init__.py", "base.py", "registry.py"}


@dataclass(frozen=True)
class Import:
    """One imported module (`module`, dotted), at line `line`; `lazy` inside a function, `typing` for types only."""

    module: str
    line: int
    lazy: bool
    typing: bool

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


@dataclass(frozen=True)
class Source:
    """One file of the package, `path` relative to the package's folder."""

    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        return self.path.parts[0].removesuffix(".py").replace("__main__", "cli")

    def where(self, line: int) -> str:
        return f"{self.path.as_posix()}:{line}"

    def imports(self) -> Iterator[Import]:
        package = ["modecover", *self.path.parts[:-1]]
        yield from _imports(self.tree, package, lazy=False, typing=False)

    def lines_of_code(self, node: ast.Module | ast.FunctionDef) -> int:
        """Lines of `node` that are neither blank, nor a comment, nor part of a docstring."""
        lines = self.text.splitlines()
        first, last = (node.lineno, node.end_lineno) if isinstance(node, ast.FunctionDef) else (1, len(lines))
        docstrings: set[int] = set()
        for inner in ast.walk(node):
            if (
                isinstance(inner, ast.Expr)
                and isinstance(inner.value, ast.Constant)
                and isinstance(inner.value.value, str)
            ):
                docstrings.update(range(inner.lineno, (inner.end_lineno or inner.lineno) + 1))
        numbered = enumerate(lines[first - 1 : last], first)
        return sum(bool(line.strip()) and line.strip()[0] != "#" and n not in docstrings for n, line in numbered)


def _imports(node: ast.AST, package: list[str], *, lazy: bool, typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, lazy, typing)
        elif isinstance(child, ast.ImportFrom):
            base = package[: len(package) + 1 - child.level] if child.level else []
            module = ".".join([*base, *([child.module] if child.module else [])])
            # `from modecover import data` names the room data, not the package; so do files of a room.
            ours = module.partition(".")[0] == "modecover"
            names = [f"{module}.{alias.name}" for alias in child.names] if ours else [module]
            for name in names:
                yield Import(name, child.lineno, lazy, typing)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for part in child.body:
                yield from _imports(ast.Module([part], []), package, lazy=lazy, typing=True)
            for part in child.orelse:
                yield from _imports(ast.Module([part], []), package, lazy=lazy, typing=typing)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, package, lazy=lazy or inside, typing=typing)


def read(folder: Path) -> list[Source]:
    """Every Python file of the package in `folder`."""
    return [Source(path.relative_to(folder), path.read_text("utf-8")) for path in sorted(folder.rglob("*.py"))]


def rooms() -> list[str]:
    """The rooms, highest first, as docs/architecture.md lists them."""
    page = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
    section = page.split("## Rooms, and the arrows between them")[1].split("\n## ")[0]
    return re.findall(r"^ {4}(\w+) {2,}\S", section, re.MULTILINE)


def wrong_arrows(files: list[Source]) -> list[str]:
    """Imports that point upwards in the list of rooms; and metrics that know a method."""
    floor = {room: height for height, room in enumerate(reversed(rooms()))}
    found = []
    for file in files:
        if file.path.name == "__init__.py" and len(file.path.parts) == 1:
            continue  # the public names, loaded when used: see `early_imports`
        if file.room not in floor:
            found.append(f"{file.where(1)} is in the room {file.room!r}, which docs/architecture.md does not list")
            continue
        for imported in file.imports():
            if imported.package != "modecover":
                continue
            target = imported.module.split(".")[1] if "." in imported.module else "modecover"
            if target in (file.room, "__version__"):
                continue
            upwards = target not in floor or floor[target] > floor[file.room]
            if upwards or (file.room, target) == ("metrics", "methods"):
                found.append(f"{file.where(imported.line)}: {file.room} may not import {target}")
    return found


def prints(files: list[Source]) -> list[str]:
    """Places outside `cli` that print, or write to the terminal by another door."""
    found = []
    for file in files:
        if file.room == "cli":
            continue
        for node in ast.walk(file.tree):
            if not isinstance(node, ast.Call | ast.Attribute):
                continue
            name = ast.unparse(node.func if isinstance(node, ast.Call) else node)
            if name in ("print", "pprint", "sys.stdout", "sys.stderr"):
                found.append(f"{file.where(node.lineno)}: only cli prints")
        found += [f"{file.where(i.line)}: only cli prints (rich)" for i in file.imports() if i.package == "rich"]
    return found


def pickles(files: list[Source]) -> list[str]:
    """Libraries that have no place here, and calls that would write or run a pickle."""
    found = []
    for file in files:
        found += [f"{file.where(i.line)}: imports {i.package}" for i in file.imports() if i.package in NEEDLESS]
        for node in ast.walk(file.tree):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if name == "torch.save" or (name == "torch.load" and options.get("weights_only") != "True"):
                found.append(f"{file.where(node.lineno)}: {name} pickles")
            if options.get("allow_pickle", "False") != "False":
                found.append(f"{file.where(node.lineno)}: {name} may run a pickle")
    return found


def early_imports(files: list[Source]) -> list[str]:
    """Heavy libraries imported at the top of a module; anything but the standard library in the package's top file."""
    found = []
    for file in files:
        for imported in file.imports():
            if imported.lazy or imported.typing or (file.path.as_posix(), imported.package) in HEAVY_AT_THE_TOP:
                continue
            top = file.path.as_posix() == "__init__.py"
            if imported.package in HEAVY or (top and imported.package not in sys.stdlib_module_names):
                found.append(f"{file.where(imported.line)}: import {imported.package} where it is needed")
    return found


def methods_that_know_the_hardware(files: list[Source]) -> list[str]:
    """Method files that are long, or that name a device, a number type, a process or an optimiser."""
    found = []
    for file in files:
        if file.room != "methods" or file.path.name in NOT_A_METHOD:
            continue
        if (lines := file.lines_of_code(file.tree)) > METHOD_LINES:
            found.append(f"{file.where(1)}: {lines} lines; a method has at most {METHOD_LINES}")
        for node in ast.walk(file.tree):
            if isinstance(node, ast.FunctionDef) and (lines := file.lines_of_code(node)) > STEP_LINES:
                found.append(f"{file.where(node.lineno)}: {lines} lines; a function has at most {STEP_LINES}")
            word = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if word in HARDWARE_WORDS:
                found.append(f"{file.where(getattr(node, 'lineno', 1))}: a method does not know {word!r}")
    return found


def circles(files: list[Source]) -> list[str]:
    """Files that import each other round about, wherever in them; imports for types alone do not count."""
    paths = {file.path.as_posix() for file in files}

    def path_of(module: str) -> str | None:
        """The file of a module, or of the module that something is a name in."""
        parts = module.split(".")[1:]
        places = ["/".join(some) for some in (parts, parts[:-1]) if some]
        return next((p for place in places for p in (f"{place}.py", f"{place}/__init__.py") if p in paths), None)

    graph = {
        file.path.as_posix(): {
            path
            for imported in file.imports()
            if imported.package == "modecover" and not imported.typing and (path := path_of(imported.module))
        }
        for file in files
        if file.path.as_posix() != "__init__.py"
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [" -> ".join(error.args[1])]
    return []


def large_rooms(files: list[Source]) -> list[str]:
    """Rooms that hold more than their share of all lines."""
    lines = Counter[str]()
    for file in files:
        lines[file.room] += len(file.text.splitlines())
    return [
        f"{room} has {count:,} lines of {lines.total():,}"
        for room, count in lines.items()
        if count > LARGEST_ROOM * lines.total() and len(lines) > 5
    ]


RULES = [wrong_arrows, prints, pickles, early_imports, methods_that_know_the_hardware, circles, large_rooms]


def test_the_oldest_torch_that_is_promised_is_the_one_that_is_tested() -> None:
    import tomllib

    promised = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    (floor,) = (line.removeprefix("torch>=") for line in promised if line.startswith("torch>="))
    (tested,) = re.findall(r"^torch==(.+)$", (REPOSITORY / "constraints.txt").read_text(), re.M)
    assert tested.split(".")[: floor.count(".") + 1] == floor.split(".")


@pytest.mark.parametrize("rule", RULES)
def test_the_house_keeps_its_rules(rule):
    assert rule(read(SOURCE)) == []


def test_the_page_and_the_house_have_the_same_rooms():
    """Every room of the page but those still to be built, and no room beside them (see `wrong_arrows`)."""
    assert rooms()[0] == "cli"
    assert rooms()[-1] == "errors"
    assert {"engine", "metrics", "methods", "data"} <= set(rooms())


PLANTED = [
    (wrong_arrows, "methods/gan.py", "from modecover.engine.engine import Engine", "methods may not import engine"),
    (wrong_arrows, "methods/gan.py", "def f():\n    from modecover import engine", "methods may not import engine"),
    (wrong_arrows, "data/feed.py", "from ..losses import adversarial", "data may not import losses"),
    (wrong_arrows, "data/feed.py", "import modecover.cli.main", "data may not import cli"),
    (wrong_arrows, "losses.py", "if TYPE_CHECKING:\n    from modecover.methods.base import Method", "import methods"),
    (wrong_arrows, "metrics/modes.py", "from modecover.methods import registry", "metrics may not import methods"),
    (wrong_arrows, "metrics/modes.py", "from modecover.runs import run", "metrics may not import runs"),
    (wrong_arrows, "data/open.py", "import modecover", "data may not import modecover"),
    (wrong_arrows, "attic/old.py", "import math", "does not list"),
    (prints, "runs/run.py", "def f():\n    print('step')", "runs/run.py:2: only cli prints"),
    (prints, "runs/run.py", "import sys\nsys.stderr.write('')", "run.py:2: only cli prints"),
    (prints, "runs/run.py", "def f():\n    from rich.progress import Progress", "only cli prints (rich)"),
    (pickles, "data/images.py", "def f():\n    import torchvision.transforms", "imports torchvision"),
    (pickles, "runs/model.py", "from pickle import loads", "imports pickle"),
    (pickles, "runs/model.py", "torch.load('x')", "torch.load pickles"),
    (pickles, "runs/model.py", "torch.load('x', weights_only=False)", "torch.load pickles"),
    (pickles, "runs/model.py", "torch.save({}, 'x')", "torch.save pickles"),
    (pickles, "data/arrays.py", "np.load('x', allow_pickle=True)", "may run a pickle"),
    (early_imports, "data/images.py", "from PIL import Image", "import PIL where"),
    (early_imports, "data/images.py", "try:\n    import sklearn.svm\nexcept ImportError: ...", "import sklearn where"),
    (early_imports, "__init__.py", "import torch", "import torch where"),
    (early_imports, "__init__.py", "from modecover.data import open_data", "import modecover where"),
    (methods_that_know_the_hardware, "methods/gan.py", "x = y.to(z.device)", "does not know 'device'"),
    (methods_that_know_the_hardware, "methods/gan.py", "loss.backward()", "does not know 'backward'"),
    (methods_that_know_the_hardware, "methods/gan.py", "x = 1\n" * 121, "a method has at most 120"),
    (methods_that_know_the_hardware, "methods/gan.py", "def step():\n" + "    x = 1\n" * 60, "function has at most 60"),
]


@pytest.mark.parametrize(("rule", "path", "text", "expected"), PLANTED)
def test_a_planted_violation_is_found(rule, path, text, expected, tmp_path):
    target = tmp_path / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    found = rule(read(tmp_path))
    assert found, "the rule saw nothing"
    assert any(expected in sentence for sentence in found)


ALLOWED = [
    "from modecover.errors import UserError\nfrom modecover.data import open_data",
    "from modecover import __version__",
    "from .checkpoint import save",
    "def draw():\n    from PIL import Image",
    "if TYPE_CHECKING:\n    from PIL import Image",
    "torch.load('x', weights_only=True)",
    "np.load('x', allow_pickle=False)",
    "'print(this)'  # print(that)",
]


@pytest.mark.parametrize("text", ALLOWED)
def test_what_is_allowed_is_left_alone(text, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "run.py").write_text(text)
    assert [sentence for rule in RULES for sentence in rule(read(tmp_path))] == []


def test_words_about_a_method_are_not_counted_as_its_code(tmp_path):
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "gan.py").write_text('"""GAN.' + "\n" * 200 + '"""\n\n' + "# why\n" * 200 + "x = 1\n" * 120)
    assert methods_that_know_the_hardware(read(tmp_path)) == []


def test_importing_the_package_loads_no_library():
    code = "import sys, modecover; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "modecover" in loaded
    assert not {"torch", "numpy", *HEAVY} & set(loaded)


def test_every_public_name_is_there_and_comes_from_its_home():
    import modecover

    for name in modecover.__all__:
        value = getattr(modecover, name)
        if name in modecover._HOMES:
            assert value is getattr(importlib.import_module(modecover._HOMES[name]), name)
        else:
            assert name == "__version__" or value is importlib.import_module(f"modecover.{name}")
    assert dir(modecover) == sorted(modecover.__all__)


def test_an_unknown_public_name_is_an_attribute_error():
    import modecover

    with pytest.raises(AttributeError, match="'sample_everything'"):
        _ = modecover.sample_everything


@pytest.mark.parametrize("path", sorted((REPOSITORY / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_what_a_benchmark_takes_of_the_package_is_there(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("modecover"):
            home = importlib.import_module(str(node.module))
            for name in (alias.name for alias in node.names):
                assert hasattr(home, name) or importlib.import_module(f"{node.module}.{name}"), f"{node.module}.{name}"
