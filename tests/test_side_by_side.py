"""Seeds side by side: each is the run that it would be alone, and all together look like one engine of stacked ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import METHODS, engine_of
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from modecover.data import open_data
from modecover.engine import replay
from modecover.engine.engine import Engine
from modecover.engine.finite import NonFiniteError
from modecover.engine.schedules import Schedule
from modecover.engine.side_by_side import SideBySide
from modecover.errors import UserError
from modecover.runs.build import build_engine
from modecover.runs.run import train
from modecover.runs.settings import resolve

SEEDS = (3, 11, 4)
CPU = torch.device("cpu")


def beside(name: str, seeds: tuple[int, ...] = SEEDS, **options: Any) -> SideBySide:
    return SideBySide([engine_of(name, (seed,), **options) for seed in seeds])


def tensors(engine: Engine | SideBySide) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in engine.state().items()}


def assert_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []


@pytest.mark.parametrize("name", METHODS)
def test_every_seed_is_bitwise_the_run_that_it_would_be_alone(name: str) -> None:
    options: dict[str, Any] = {"shape": (3, 16, 16), "dtype": torch.float32, "adam": True, "ema": 0.9}
    together = beside(name, **options)
    alone = [engine_of(name, (seed,), **options) for seed in SEEDS]
    for engine in (together, *alone):
        for _ in range(3):
            engine.step()
    found = tensors(together)
    for index, engine in enumerate(alone):
        own = tensors(engine)
        for key, value in own.items():
            shared = "/" not in key or (key.startswith("optimizer/") and key.endswith("/step"))
            assert torch.equal(found[key] if shared else found[key][index], value), f"seed {SEEDS[index]}: {key}"
    means = {key: sum(engine.losses()[key] for engine in alone) / len(SEEDS) for key in together.losses()}
    assert together.losses() == pytest.approx(means)
    assert {key: float(value) for key, value in together.terms.items()} == pytest.approx(means, rel=1e-6)
    with together.evaluating():
        samples = together.sample(5, average=True)
    for made, engine in zip(samples, alone, strict=True):
        with engine.evaluating():
            assert torch.equal(made, engine.sample(5, average=True)[0])
    for index, engine in enumerate(alone):
        assert_equal(together.network("G", index).state_dict(), engine.network("G").state_dict())


@pytest.mark.parametrize("name", METHODS)
def test_it_goes_on_from_a_state_of_stacked_seeds_and_they_from_its_own(name: str) -> None:
    """On points, where both can be had: the same names, shapes and numbers, to rounding in float64."""
    options: dict[str, Any] = {"ema": 0.9, "instance_noise": Schedule.parse("0:0.1,1~0.05"), "steps": 4}
    stacked, apart = engine_of(name, SEEDS, **options), beside(name, **options)
    for engine in (stacked, apart):
        engine.step()
    ours, theirs = tensors(apart), tensors(stacked)
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}
    swapped = engine_of(name, SEEDS, **options), beside(name, **options)
    for engine, state in zip(swapped, (ours, theirs), strict=True):
        engine.load(state)
        engine.step()
    for engine in (stacked, apart):
        engine.step()
    for state in map(tensors, (apart, *swapped)):
        for key, value in tensors(stacked).items():
            torch.testing.assert_close(state[key], value, rtol=1e-9, atol=1e-10, msg=lambda m, k=key: f"{k}: {m}")


def test_a_resumed_one_equals_an_uninterrupted_one_bitwise() -> None:
    options: dict[str, Any] = {"shape": (1, 16, 16), "dtype": torch.float32, "adam": True, "ema": 0.9}
    straight, first, second = (beside("ivlsgan", **options) for _ in range(3))
    for engine, steps in ((straight, 4), (first, 2)):
        for _ in range(steps):
            engine.step()
    second.load(tensors(first))
    for _ in range(2):
        second.step()
    assert second.step_number == 4
    assert_equal(tensors(second), tensors(straight))


# ------------------------------------------------------------------------------------------------- as it is built


class Averaging(nn.Module):
    """Rows less a running mean that is assigned."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return x - self.mean


def generator() -> nn.Module:
    layer = nn.Linear(2, 2)
    return nn.Sequential(layer, nn.BatchNorm1d(2), nn.Tanh(), layer)


def discriminator() -> nn.Module:
    return nn.Sequential(Averaging(), spectral_norm(nn.Linear(2, 4)), nn.Tanh(), nn.Dropout(0.1), nn.Linear(4, 1))


OWN: dict[str, Callable[[], nn.Module]] = {"G": generator, "D": discriminator}


@pytest.mark.parametrize(
    ("data", "own", "kind"),
    [("ring", {}, Engine), ("ring", OWN, SideBySide), ("digits", {}, SideBySide)],
    ids=["ours on points", "a user's", "images"],
)
def test_seeds_run_side_by_side_where_a_network_cannot_be_stacked(data: str, own: Any, kind: type) -> None:
    opened = open_data(data, size=None if data == "ring" else 32)
    chosen = {"width": 4, "batch": 8, "seeds": 2, "latent": 2}
    method, settings = resolve("gan", opened.shape, chosen=chosen)
    assert type(build_engine(method, settings, opened, device=CPU, own=own)) is kind
    method, settings = resolve("gan", opened.shape, chosen={**chosen, "seeds": 1})
    assert type(build_engine(method, settings, opened, device=CPU, own=own)) is Engine


def test_processes_that_read_ahead_are_shared_out() -> None:
    opened = open_data("digits", size=16)
    chosen = {"width": 4, "batch": 8, "seeds": 2, "latent": 2, "workers": 3}
    method, settings = resolve("gan", opened.shape, chosen=chosen)
    engine = build_engine(method, settings, opened, device=CPU)
    assert isinstance(engine, SideBySide)
    feeds: list[Any] = [each.data for each in engine.engines]
    assert [feed.workers for feed in feeds] == [2, 2]
    assert len({feed.dataset.pixels.data_ptr() for feed in feeds}) == 1, "the images are there once"


def test_a_run_of_two_seeds_with_ones_own_networks_is_two_runs(tmp_path: Path) -> None:
    """Spectral norm, a layer used twice, batch norm, dropout and assigned buffers, through averages, checkpoints and
    models: bitwise."""

    def run(seed: int, seeds: int, name: str, **more: Any) -> list[dict[str, Tensor]]:
        quick = {"batch": 8, "lr": 0.01, "ema": 0.5, "evaluate_samples": 50, "sample_every": 0}
        ended = train("gan", "ring", tmp_path / name, networks=OWN, seed=seed, seeds=seeds, steps=6, **quick, **more)
        return [model.networks["G"].state_dict() for model in ended.models]

    run(3, 2, "together", minutes=1e-9)
    together = run(3, 2, "together")
    for state, alone in zip(together, (run(3, 1, "three")[0], run(4, 1, "four")[0]), strict=True):
        assert_equal(state, alone)
    assert not torch.equal(together[0]["0.weight"], together[1]["0.weight"])


def test_seeds_whose_networks_are_one_or_unlike_are_refused() -> None:
    same, sizes = nn.Sequential(Averaging(), nn.Linear(2, 2)), iter(range(2, 9))
    uneven = lambda: nn.Sequential(nn.Linear(2, (size := next(sizes))), nn.Linear(size, 2))
    with pytest.raises(UserError, match="Two of 2 seeds got the same Sequential"):
        train("gan", "ring", networks={"G": lambda: same}, seeds=2, steps=1, batch=4, width=4)
    with pytest.raises(UserError, match="The seeds' networks Sequential differ"):
        train("gan", "ring", networks={"G": uneven}, seeds=2, steps=1, batch=4, width=4)


def test_a_number_that_is_not_finite_is_told_with_its_seed() -> None:
    together = beside("gan", (5, 6))
    together.step()
    for parameter in together.engines[1].networks["G"].parameters():
        parameter.data.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match=r"at step 1: the loss term 'fake' of D \(seed 6\) is not a finite number"):
        together.step()


# ------------------------------------------------------------------------------------ at once, on streams of a GPU


class Stream:
    """What a stream of a GPU does, late: work that is begun on it is done when another has to wait for it."""

    now: Stream

    def __init__(self, device: object = None):
        self.waiting: list[Callable[[], None]] = []

    def wait_stream(self, other: Stream) -> None:
        self.waiting.append(other.finish)
        if self is Stream.main:
            self.finish()  # the program looks at what its own stream has done

    def finish(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()

    main: Stream


@contextmanager
def on(stream: Stream) -> Iterator[None]:
    before, Stream.now = Stream.now, stream
    yield
    Stream.now = before


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Streams that lag as far behind as they may, and steps that are begun on the present one; the seeds in the order
    in which their steps are computed."""
    Stream.main = Stream.now = Stream()
    order: list[int] = []

    class Late:
        def __init__(self, engine: Engine):
            self.engine = engine

        def step(self) -> None:
            Stream.now.waiting += [lambda: order.append(self.engine.seeds[0]), self.engine.step]

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream.now)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(replay, "CapturedSteps", Late)
    return order


LOOKS: dict[str, Callable[[SideBySide], object]] = {
    "state": lambda engine: tensors(engine),
    "losses": lambda engine: engine.losses(),
    "terms": lambda engine: {key: float(value) for key, value in engine.terms.items()},
    "a network": lambda engine: engine.network("G", 1).state_dict(),
    "check": lambda engine: steps_after(engine, engine.check),
    "shared statistics": lambda engine: steps_after(engine, engine.share_batch_statistics),
}


def steps_after(engine: SideBySide, look: Callable[[], None]) -> list[int]:
    look()
    return [each.step_number for each in engine.engines]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.usefixtures("late")
def test_what_is_looked_at_has_waited_for_the_steps(look: str) -> None:
    plain, captured = beside("gan"), beside("gan", capture=True)
    step = replay.stepper(captured)
    for steps in (2, 1):
        for _ in range(steps):
            plain.step()
            step()
        wanted, found = LOOKS[look](plain), LOOKS[look](captured)
        if look in ("state", "a network"):
            assert_equal(found, wanted)  # type: ignore[arg-type]
        else:
            assert found == wanted


@pytest.mark.usefixtures("late")
def test_samples_are_of_all_steps_and_what_is_loaded_is_not_trained_on() -> None:
    plain, captured = beside("gan"), beside("gan", capture=True)
    step, start = replay.stepper(captured), tensors(captured)
    plain.step()
    step()
    with captured.evaluating(), plain.evaluating():
        assert torch.equal(captured.sample(4), plain.sample(4))
    step()
    captured.load(start)
    assert_equal(tensors(captured), start)


def test_a_seed_does_not_wait_for_the_others(late: list[int]) -> None:
    captured = beside("gan", capture=True)
    step = replay.stepper(captured)
    for _ in range(2):
        step()
    assert late == []  # nobody has looked
    captured.check()
    assert late == [3, 3, 11, 11, 4, 4]


class Dropping(nn.Module):
    """Keeps some rows: a draw from torch's own generator."""

    row_wise = True

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.drop = nn.Linear(2, 1), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.drop(x))


def test_networks_that_draw_from_one_generator_take_turns(late: list[int]) -> None:
    captured = beside("gan", capture=True)
    for engine in captured.engines:
        engine.networks["D"] = Dropping()  # type: ignore[index]
    step = replay.stepper(captured)
    for _ in range(2):
        step()
    captured.check()
    assert late == [3, 11, 4, 3, 11, 4]
