"""The whole step (all updates, optimisers, averages, random draws) captured as one CUDA graph and replayed.

A step of these methods is hundreds of small kernels, and launching them one by one takes longer than they run.
What changes from step to step reaches the graph through tensors it reads: minibatches are copied into fixed places,
learning rates and noise levels are tensors, and generators are registered with the graph and reseeded before it runs.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from modecover.engine.engine import Engine
from modecover.errors import UserError

REGISTERS_GENERATORS = tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 14)
"""From torch 2.14 on a graph finds the generators by itself."""

WARM_UP = 3
"""Eager steps before the capture: they make the optimisers' state and let libraries choose their algorithms."""


class CapturedSteps:
    """`step()` of an engine by replay. The first steps run eagerly; they train like any other."""

    def __init__(self, engine: Engine):
        if engine.device.type != "cuda":
            raise ValueError("only a step on a GPU can be captured")
        self.engine = engine
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: dict[tuple[int, int], Tensor] = {}
        self._eager = 0
        self._side = torch.cuda.Stream(engine.device)

    def step(self) -> None:
        """One step of the method."""
        if self._graph is None and self._eager < WARM_UP:
            self._eager += 1
            self._side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._side):
                self.engine.step()
            torch.cuda.current_stream().wait_stream(self._side)
            return
        engine = self.engine
        engine.prepare()
        if self._graph is None:
            self._graph = self._capture()
        else:
            for (index, part), place in self._inputs.items():
                place.copy_(engine.read_batch(index, part))
        self._graph.replay()
        engine.step_number += 1

    def _capture(self) -> torch.cuda.CUDAGraph:
        engine = self.engine
        assert engine.batches_per_step is not None
        for part in range(engine.options.accumulate):
            for index in range(engine.batches_per_step):
                self._inputs[index, part] = engine.read_batch(index, part).clone()
        graph = torch.cuda.CUDAGraph()
        if REGISTERS_GENERATORS:
            for generator in engine.generators():
                graph.register_generator_state(generator)
        engine.fetch = lambda index, part: self._inputs[index, part]
        buffers = Buffers(engine.networks.values())
        try:
            # The stream that the weights' gradients know from the first steps. Other threads (a data loader's) may use
            # the GPU meanwhile.
            with torch.cuda.graph(graph, stream=self._side, capture_error_mode="thread_local"):
                engine.compute()
                buffers.put_back()
        except RuntimeError as error:
            if "captur" not in str(error):
                raise
            raise UserError(
                f"This step cannot be captured: {str(error).splitlines()[0]}. A network or method that reads numbers "
                "back from the GPU (.item(), if tensor > 0) must do without: leave out capture."
            ) from error
        finally:
            engine.fetch = engine.read_batch
        return graph


class Buffers:
    """Where the buffers of networks lie. A network of a user's may assign a new tensor to one (`self.mean = ...`), and
    a replay would go on to read the old one."""

    def __init__(self, networks: Iterable[nn.Module]):
        modules = {module for network in networks for module in network.modules()}
        self._places = [(m, name, b) for m in modules for name, b in m._buffers.items() if b is not None]

    def put_back(self) -> None:
        """Copy what was assigned into the buffer's first place, which is the network's buffer again."""
        for module, name, place in self._places:
            if (assigned := module._buffers[name]) is not place and assigned is not None:
                place.copy_(assigned)
                module._buffers[name] = place
