"""Steps by replay: a step is traced once, and from then on its operations alone are run, not what found them out.

A step of these methods is hundreds of small operations, and finding out which they are takes longer than doing them.
On a CPU torch's own tracer writes them down below autograd, and the list is run as it stands, on the same weights,
optimiser states and generators: the same numbers, bit for bit. On a GPU a CUDA graph holds them. What changes from step
to step reaches both through tensors that they read: minibatches are inputs, learning rates and noise levels lie in
fixed places, generators are put at the step before it runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.node import map_arg
from torch.nn.modules.dropout import _DropoutNd

from modecover.engine.engine import Engine
from modecover.engine.side_by_side import AnyEngine, SideBySide
from modecover.engine.stacked import is_steady
from modecover.errors import UserError
from modecover.methods.base import Method
from modecover.methods.registry import is_registered

WARM_UP, CAPTURE_WARM_UP = 2, 3
"""Eager steps before a trace: they make the optimisers' state; before a capture libraries choose algorithms too."""

QUICKER = """add baddbmm bmm cat clone div exp expand log mean mul neg pow relu sqrt squeeze stack sub sum tanh
transpose unsqueeze var view where""".split()
"""Operations that take half a microsecond less through torch's own function or method than through `torch.ops`."""

REGISTERS_GENERATORS = tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 14)
"""From torch 2.14 on a CUDA graph finds the generators by itself."""


def stepper(engine: AnyEngine) -> Callable[[], None]:
    """What computes the engine's next step, by the fastest way that computes the same."""
    if isinstance(engine, SideBySide):
        steps = [stepper(each) for each in engine.engines]
        return AtOnce(engine, steps).step if engine.options.capture else partial(_in_turn, steps)
    if engine.options.capture:
        return CapturedSteps(engine).step
    return TracedSteps(engine).step if traceable(engine) else engine.step


def _in_turn(steps: Sequence[Callable[[], None]]) -> None:
    for step in steps:
        step()


def traceable(engine: Engine) -> bool:
    """Whether steps are replayed on a CPU. Convolutions are left alone: they take so long that nothing is gained."""
    one = engine.device.type == "cpu" and engine.processes.count == 1
    networks = engine.networks.values()
    small = not any(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for network in networks for m in network.modules())
    return one and small and same_every_step(engine.method, networks)


def same_every_step(method: Method, networks: Iterable[nn.Module]) -> bool:
    """Whether every step does the same operations on the same tensors, as modecover's own methods and networks do."""
    return is_registered(type(method)) and all(map(is_steady, networks))


class TracedSteps:
    """`step()` of an engine on a CPU. The first steps run eagerly, two more as they are traced; all of them train."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self._revision, self._eager, self._given_up = engine.revision, 0, False
        self._earlier: torch.fx.GraphModule | None = None
        self._run: Callable[..., list[Tensor]] | None = None

    @property
    def replaying(self) -> bool:
        """Whether steps are replays by now."""
        return self._run is not None

    def step(self) -> None:
        engine = self.engine
        with engine.next_step():
            if engine.revision != self._revision:  # batch norm was frozen, say, or a rate that is a number has changed
                self._revision, self._eager, self._given_up = engine.revision, 0, False
                self._earlier, self._run = None, None
            if self._run is not None:
                engine.terms = dict(zip(engine.terms, self._run(*engine.read_batches()), strict=True))
            elif self._given_up or self._eager < WARM_UP:
                self._eager += 1
                engine.compute()
            else:
                self._trace()

    def _trace(self) -> None:
        """A step under torch's tracer. Two in a row must do the same before the third is a replay."""
        from torch.fx.experimental.proxy_tensor import make_fx

        engine = self.engine
        torch.fx.node.has_side_effect(torch.ops.modecover.require_finite.default)

        def compute(*batches: Tensor) -> list[Tensor]:
            engine.compute(batches)
            return list(engine.terms.values())

        traced = make_fx(compute)(*engine.read_batches())
        if self._earlier is None:
            self._earlier = traced
        else:
            self._given_up = not _same(traced, self._earlier)
            self._run, self._earlier = None if self._given_up else _function(traced), None


def _same(*traces: torch.fx.GraphModule) -> bool:
    """Whether two traces do the same operations on the same tensors, or on numbers that each made anew."""

    def equal(a: Any, b: Any) -> bool:
        both = isinstance(a, Tensor) and isinstance(b, Tensor) and not a.requires_grad
        return a is b or (both and a.dim() == 0 and a.dtype == b.dtype and a.tolist() == b.tolist())

    read = ([getattr(each, node.target) for node in each.graph.nodes if node.op == "get_attr"] for each in traces)
    return traces[0].code == traces[1].code and all(map(equal, *read))


def _function(traced: torch.fx.GraphModule) -> Callable[..., list[Tensor]]:
    """The traced operations as a function of the minibatches; what else they read are arguments that are given now."""
    graph = traced.graph
    given: dict[int, torch.fx.Node] = {}
    values: dict[torch.fx.Node, Any] = {}
    inputs = next(iter(graph.nodes))

    def give(node: torch.fx.Node, value: Any) -> None:
        if id(value) not in given:
            with graph.inserting_before(inputs):
                given[id(value)] = graph.placeholder(f"given_{len(given)}")
            values[given[id(value)]] = value
        node.replace_all_uses_with(given[id(value)])
        graph.erase_node(node)

    for node in reversed(list(graph.nodes)):
        if getattr(node.target, "namespace", "") == "profiler":
            graph.erase_node(node)  # what optimisers tell a profiler
    for node in list(graph.nodes):
        if node.op == "get_attr":
            give(node, getattr(traced, node.target))
        elif not isinstance(node.target, torch._ops.OpOverload):
            continue
        elif node.target is torch.ops.aten.detach.default:  # below autograd it is what it detaches
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif node.target.is_view and values.keys() >= set(node.all_input_nodes):
            # Another view of weights, which stay where they are: it is made once.
            give(node, node.target(*map_arg(node.args, values.__getitem__), **node.kwargs))
        elif (name := node.target._schema.name.removeprefix("aten::")) in QUICKER:
            node.target = getattr(torch, name, None) or getattr(Tensor, name)
    graph.eliminate_dead_code()
    traced.recompile()
    return torch.no_grad()(partial(traced.forward, *values.values()))


class CapturedSteps:
    """`step()` of an engine on a GPU. The first steps run eagerly; they train like any other."""

    def __init__(self, engine: Engine):
        if engine.device.type != "cuda":
            raise ValueError("only a step on a GPU can be captured")
        self.engine = engine
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._eager = 0
        self._side = torch.cuda.Stream(engine.device)

    def step(self) -> None:
        engine = self.engine
        with engine.next_step():
            if self._graph is None and self._eager < CAPTURE_WARM_UP:
                self._eager += 1
                self._side.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(self._side):
                    engine.compute()
                torch.cuda.current_stream().wait_stream(self._side)
                return
            if self._graph is None:
                self._graph = self._capture(engine)
            else:
                for place, batch in zip(self._inputs, engine.read_batches(), strict=True):
                    place.copy_(batch)
            self._graph.replay()

    def _capture(self, engine: Engine) -> torch.cuda.CUDAGraph:
        self._inputs = [batch.clone() for batch in engine.read_batches()]
        graph, buffers = torch.cuda.CUDAGraph(), Buffers(engine.networks.values())
        for generator in engine.generators() if REGISTERS_GENERATORS else ():
            graph.register_generator_state(generator)
        try:
            # The stream that the weights' gradients know from the first steps. Other threads (a data loader's) may use
            # the GPU meanwhile.
            with torch.cuda.graph(graph, stream=self._side, capture_error_mode="thread_local"):
                engine.compute(self._inputs)
                buffers.put_back()
        except RuntimeError as error:
            if "captur" not in str(error):
                raise
            raise UserError(
                f"This step cannot be captured: {str(error).splitlines()[0]}. A network or method that reads numbers "
                "back from the GPU (.item(), if tensor > 0) must do without: leave out capture."
            ) from error
        return graph


class AtOnce:
    """`step()` of engines side by side on a GPU: a step of one leaves most of the GPU idle, so each has a stream of its
    own, on which it runs on while the others' steps are begun. The engine waits for all where something is read.

    Layers that draw from torch's own generator (dropout) would draw from one state at the same time: such engines take
    turns on one stream.
    """

    def __init__(self, engine: SideBySide, steps: Sequence[Callable[[], None]]):
        networks = [network for each in engine.engines for network in each.networks.values()]
        drawing = any(isinstance(m, _DropoutNd) for network in networks for m in network.modules())
        alone = not drawing and same_every_step(engine.method, networks)
        streams = [torch.cuda.Stream(engine.device) for _ in (steps if alone else steps[:1])]
        self._turns = list(zip(itertools.cycle(streams), steps, strict=False))
        self._streams, self._device = streams, engine.device
        engine.join = self.join

    def step(self) -> None:
        """Begin a step of each."""
        looking = torch.cuda.current_stream(self._device)
        for stream, step in self._turns:
            stream.wait_stream(looking)  # which may still read what the step will change
            with torch.cuda.stream(stream):
                step()

    def join(self) -> None:
        """Let what comes next on the present stream come after all steps."""
        for stream in self._streams:
            torch.cuda.current_stream(self._device).wait_stream(stream)


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
