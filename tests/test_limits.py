"""What cannot fit is refused from its size; what runs out in spite of that is told in one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modecover import kinds, limits
from modecover.cli import main as command
from modecover.data import open_data
from modecover.engine.schedules import Schedule
from modecover.errors import UserError
from modecover.methods import registry
from modecover.runs.build import build_engine, build_networks
from modecover.runs.fitting import networks_that_fit, require_fit
from modecover.runs.listener import Listener
from modecover.runs.run import train
from modecover.runs.settings import Settings, resolve

CPU = torch.device("cpu")


# ---------------------------------------------------------------- want of memory, and numbers too large


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: torch.empty(10**14),
        lambda: torch.empty(10**18, 10**18),
        lambda: torch.zeros(3).repeat(10**18),
        lambda: torch.empty(10**30),
        lambda: torch.ones(2) * 10**30,
        lambda: torch.randint(10**30, (2,)),
        lambda: np.empty(10**16),
        lambda: np.empty((10**12, 10**12)),
        lambda: np.zeros(10**30),
        lambda: np.arange(10**20),
        lambda: bytes(10**15),
        lambda: float(10**400),
    ],
)
def test_every_allocator_is_understood(attempt: Callable[[], Any]) -> None:
    with (
        pytest.raises(UserError, match=r"^(This does not fit into memory|A number is too large)[^\n]*\.$"),
        limits.within_limits(),
    ):
        attempt()


def test_other_errors_pass_as_they_are() -> None:
    for error in (
        ZeroDivisionError(),
        ValueError("2 and 3"),
        RuntimeError("shapes do not match"),
        UserError("Mend it."),
    ):
        with pytest.raises(type(error)) as caught, limits.within_limits():
            raise error
        assert caught.value is error


def test_it_guards_a_function_as_a_decorator() -> None:
    @limits.within_limits()
    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    for _ in range(2):
        with pytest.raises(UserError, match=r"does not fit into memory \(2.00 GiB more were asked for\)"):
            full()


def test_what_is_free_is_less_than_there_is_and_more_than_nothing() -> None:
    assert 2**24 < limits.free_memory() < 2**60


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_s_limit_counts_without_the_files_it_keeps(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tightest group above the process is taken: 1,000 allowed, 700 used, 200 of these files that can go."""
    proc, root = tmp_path / "cgroup", tmp_path / "groups"
    inner = root / ("memory" if version == 1 else "") / "outer" / "inner"
    inner.mkdir(parents=True)
    proc.write_text("0::/outer/inner\n" if version == 2 else "5:cpu:/\n3:memory:/outer/inner\n")
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if version == 1 else ("memory.max", "memory.current")
    for folder, values in ((inner, (9000, 10)), (inner.parent, (1000, 700))):
        for name, value in zip(names, values, strict=True):
            (folder / name).write_text(f"{value}\n")
    (inner.parent / "memory.stat").write_text("active_file 5\ninactive_file 200\n")
    monkeypatch.setattr(limits, "_GROUPS_OF_THIS_PROCESS", proc)
    monkeypatch.setattr(limits, "_GROUPS", root)
    assert limits._of_the_group() == 1000 - (700 - 200)


def test_the_sentence_has_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "free_memory", lambda device=None: 3e9)
    limits.require_memory("3 cats", 3e9, "have two")
    with pytest.raises(
        UserError, match=r"^3 cats do not fit into memory: 1.5 TB at least, and 3 GB are free; have two\.$"
    ):
        limits.require_memory("3 cats", 1.5e12, "have two")


@pytest.mark.parametrize(("size", "words"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2e18, "2 EB")])
def test_bytes_in_words(size: float, words: str) -> None:
    assert limits.readable(size) == words


# ---------------------------------------------------------------- runs


def test_the_size_of_a_run_is_counted_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adam keeps two numbers beside weight and gradient; a minibatch is x, G(z), z and what G's linear layers make."""
    data = open_data(np.random.default_rng(0).normal(size=(1000, 2)))
    chosen = {"width": 8, "batch": 100, "latent": 3}
    method, settings = resolve("gan", (2,), protocol="none", chosen=chosen)
    seen: list[float] = []
    monkeypatch.setattr("modecover.runs.fitting.require_memory", lambda what, size, *_: seen.append(size))
    networks = build_networks(method, settings, (2,), 0)
    weights = sum(p.numel() for network in networks.values() for p in network.parameters())
    made = sum(layer.out_features for layer in networks["G"].modules() if isinstance(layer, torch.nn.Linear))
    require_fit(method, settings, data, networks, CPU)
    assert seen == [4 * 4 * weights + 4 * 100 * (2 + 2 + 3 + made)]


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"batch": 10**12}, "Minibatches of 1,000,000,000,000 rows do not fit into memory: .* choose a smaller batch"),
        ({"latent": 10**9}, "Networks.* do not fit into memory.* choose a smaller width or latent dimension"),
        ({"latent": 10**18}, "Networks.* do not fit into memory"),
        ({"width": 10**7}, "Networks of 10,000,000 weights and more|Networks do not|Networks of"),
        ({"seeds": 10**8}, "for each of 100,000,000 seeds do not fit into memory.* or fewer seeds"),
        ({"evaluate_samples": 10**12}, "Evaluations of 1,000,000,000,000 samples do not fit .* with evaluate_samples"),
    ],
)
def test_a_run_that_cannot_fit_is_refused_from_its_size(chosen: dict[str, Any], sentence: str) -> None:
    method, settings = resolve("gan", (2,), chosen=chosen)
    with pytest.raises(UserError, match=sentence):
        build_engine(method, settings, open_data("ring"), device=CPU)


def test_networks_are_refused_before_they_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modecover.runs.fitting.free_memory", lambda: 8 * 3 * 100)
    layers = ((9, 10), (2, 10))
    with pytest.raises(UserError, match="Networks of 110 weights and more for each of 3 seeds"):  # noqa: SIM117
        with networks_that_fit(Settings(seeds=3)):
            [torch.nn.Linear(*sizes, bias=False) for sizes in layers]
    torch.nn.Linear(100, 100)  # outside nothing is counted any more


def test_the_building_of_many_seeds_is_told() -> None:
    method, settings = resolve("gan", (2,), chosen={"width": 4, "seeds": 3, "batch": 4})
    told: list[tuple[int, int]] = []
    build_engine(method, settings, open_data("ring"), device=CPU, progress=lambda *where: told.append(where))
    assert told == [(2, 3), (3, 3)]


def test_a_slow_step_is_told_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    class Notes(Listener):
        def note(self, sentence: str) -> None:
            heard.append(sentence)

    for speed in (1e10, 1.0):
        heard: list[str] = []
        monkeypatch.setattr("modecover.runs.fitting.SPEED", speed)
        train("gan", "ring", listener=Notes(), steps=1, batch=8, width=4, evaluate_samples=50, device="cpu")
        told = [sentence for sentence in heard if "a step of 8 rows takes" in sentence]
        assert len(told) == (speed == 1.0)


# ---------------------------------------------------------------- settings from Python


WRONG: dict[str, list[Any]] = {
    "int": [True, 2.5, "4", None, [1], 10**30, float("nan"), b"1"],
    "float": [True, "0.1", None, [1.0], float("nan"), float("inf"), 1e300, 10**400, 1j],
    "bool": [1, 0.0, "yes", None, []],
    "str": [1, None, b"x", ["auto"]],
}


@pytest.mark.parametrize("cls", [Settings, *map(registry.get, ("gan", "ivgan", "ldmgan", "wgan-gp", "vae"))])
def test_a_field_of_another_kind_is_named(cls: type) -> None:
    tried = 0
    for name, kind in kinds.fields_of(cls).items():
        plain = str(kind).replace("<class '", "").replace("'>", "")
        base = next((key for key in WRONG if plain.split(" | ")[0] == key), None)
        for value in [object(), {}, *(WRONG[base] if base else [1.5])]:
            if value is None and "None" in plain:
                continue
            with pytest.raises(UserError, match=rf"^{name} is "):
                cls(**{name: value})
            tried += 1
    assert tried


def test_numbers_of_numpy_are_taken_and_become_python_s() -> None:
    settings = Settings(steps=np.int64(7), lr=np.float32(0.5), capture=np.bool_(False), clip=1)  # type: ignore[arg-type]
    found = (settings.steps, settings.lr, settings.capture, settings.clip)
    assert found == (7, 0.5, False, 1.0)
    assert [type(value) for value in found] == [int, float, bool, float]


@pytest.mark.parametrize(
    "text", ["1e308", "0:1e999", "nan:1", "nan", "inf", "0:1,0.5:-1e30", "\u0663", "0:1,1~1e39", ""]
)
def test_schedules_hold_numbers_that_can_be_computed_with(text: str) -> None:
    with pytest.raises(UserError, match="instance_noise is"):
        Schedule.parse(text, "instance_noise")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("G/mode", "'G/mode' is not of the form network/term=schedule"),
        ("G/mode=1;", "'' is not of the form"),
        ("=1", "'=1' is not of the form"),
        ("G/mode=", "'G/mode=' is not of the form"),
        ("G/mode=1; G/mode=2", "G/mode is in it twice"),
        ("G/mode=0:-1", "loss_schedule of G/mode is '0:-1': its values must not be negative"),
        ("G/mode=0:1,0.5", "loss_schedule of G/mode is '0:1,0.5'"),
    ],
)
def test_schedules_of_losses_name_each_once(text: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        Settings(loss_schedule=text)


def test_any_value_fits_into_a_sentence() -> None:
    assert kinds.shown(10**5000) == "a int"
    assert kinds.shown("x\ny") == "'x\\ny'"
    assert kinds.shown({"a": [1]}) == "{'a': [1]}"
    assert kinds.shown("\udcff") == "'\\udcff'"


def test_deep_and_long_values_are_cut() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, [1] * 10**6, "x" * 10**6, np.zeros(10**6), torch.zeros(10**6)):
        assert len(kinds.shown(value)) <= 80 and "\n" not in kinds.shown(value)


# ---------------------------------------------------------------- the command line


@pytest.mark.parametrize(
    "words",
    [
        "--steps 1e300",
        "--steps 99999999999999999999999",
        "--steps \u0663",
        "--steps nan",
        "--batch 1e15",
        "--latent 1e12",
        "--width 1e12",
        "--evaluate-samples 1e15",
        "--memory-limit 1e300",
        "--memory-limit -1",
        "--memory-limit 0",
        "--instance-noise 1e308",
        "--lr 1e300",
        "--lr -0",
        "--seeds 1e12 --dry-run",
        "--seed 1e19",
        "--latent 1_0_0_0_0_0_0_0_0_0_0_0_0_0",
    ],
)
def test_numbers_without_bound_are_one_sentence(words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = command(["train", "gan", "--data", "ring", "--out", str(tmp_path / "run"), *words.split()])
    error = capsys.readouterr().err
    assert code == 2 and error.startswith("modecover: ") and error.count("\n") == 1 and "Traceback" not in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["a\0b", "\udcff.png", "\ud800"])
@pytest.mark.parametrize("before", ["train gan --data ring --out", "sample run --out", "audit --json", "data check"])
def test_names_that_no_file_can_have(before: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command([*before.split(), name]) == 2
    error = capsys.readouterr().err
    assert error.startswith("modecover: The word ") and error.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "This does not fit into memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 5000000 bytes."),
            "(5 MB more",
        ),
        (OverflowError("int too big to convert"), "A number is too large"),
        (ValueError("embedded null byte"), "A file name holds a NUL"),
        (UnicodeEncodeError("utf-8", "a\udcff", 1, 2, "surrogates not allowed"), "The name 'a\\udcff' is not in UTF-8"),
    ],
)
def test_wherever_it_comes_up_the_command_says_it_in_a_sentence(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import modecover.cli.models as models

    def run(words: list[str]) -> int:
        raise error

    monkeypatch.setattr(models, "run_sample", run)
    assert command(["sample"]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    with pytest.raises(type(error)):
        command(["sample", "--traceback"])
