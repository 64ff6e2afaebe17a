"""The steps of an engine by replay of one recorded step: for small networks on a CPU."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from modecover import fast_paths
from modecover.engine import replay
from modecover.engine.capture import CapturedSteps
from modecover.engine.compiling import compiled
from modecover.engine.engine import Engine
from modecover.engine.known import are_known, is_own
from modecover.engine.program import Program

WARM_UP = 2
"""Eager steps before the recording: they make the optimisers' state."""


def recordable(engine: Engine) -> bool:
    """Whether every step of this engine does the same operations on the same tensors, but for what replay follows.

    That is known of modecover's methods with modecover's networks. Convolutions are left alone: they take so long that
    nothing is gained, and a recording keeps all intermediate tensors of a step.
    """
    one = engine.device.type == "cpu" and engine.processes.count == 1
    networks = engine.networks.values()
    small = not any(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for network in networks for m in network.modules())
    return fast_paths.taken() and one and small and is_own(engine.method) and are_known(networks)


class RecordedSteps:
    """`step()` of an engine by replay. The first steps run eagerly; they train like any other."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self._run: Callable[..., dict[str, Tensor]] | None = None
        self._earlier: Program | None = None
        self._eager = 0
        self._revision = engine.revision
        self._given_up = False

    @property
    def replaying(self) -> bool:
        """Whether steps are replays by now."""
        return self._run is not None

    def step(self) -> None:
        """One step of the method."""
        engine = self.engine
        engine.prepare()  # which may void a recording: batch norm freezes at some step
        if engine.revision != self._revision:
            self._forget()
        if self._run is not None:
            engine.terms = self._run(*self._batches())
        elif self._given_up or self._eager < WARM_UP:
            self._eager += 1
            engine.compute()
        else:
            self._watch()
        engine.step_number += 1

    def _forget(self) -> None:
        """The engine is not what it was when it was watched."""
        self._run, self._earlier, self._eager, self._given_up = None, None, 0, False
        self._revision = self.engine.revision

    def _batches(self) -> list[Tensor]:
        engine = self.engine
        assert engine.batches_per_step is not None
        parts, each = range(engine.options.accumulate), range(engine.batches_per_step)
        return [engine.read_batch(index, part) for part in parts for index in each]

    def _watch(self) -> None:
        """A step under the recorder. Two in a row must do the same before the third is a replay."""
        engine = self.engine
        batches = self._batches()
        each = engine.batches_per_step or 0

        def compute() -> dict[str, Tensor]:
            engine.compute()
            return engine.terms

        engine.fetch = lambda index, part: batches[part * each + index]
        try:
            program = replay.record(compute, batches)
        except replay.NotReplayable:
            self._given_up = True
            return
        finally:
            engine.fetch = engine.read_batch
        for optimizer in engine.optimizers.values():
            program.follow(optimizer)
        if self._earlier is None:
            self._earlier = program
        elif self._earlier == program:
            self._run, self._earlier = compiled(program), None
        else:
            self._given_up = True


def stepper(engine: Engine, *, capture: bool = False) -> Callable[[], None]:
    """What computes the engine's next step, by the fastest way that computes the same.

    Args:
        engine: at any step.
        capture: replay a CUDA graph.
    """
    if capture:
        return CapturedSteps(engine).step
    return RecordedSteps(engine).step if recordable(engine) else engine.step
