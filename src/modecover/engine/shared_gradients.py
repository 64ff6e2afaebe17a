"""Gradients of objectives that are taken at one point; what two of them have in common is computed once.

The losses of G and of E weigh the same terms differently. Where a node of their graph is reached through terms of one
ratio of weights alone, the gradient that flows into it for the one is a multiple of the other's. So the second loss
begins where terms of other ratios join in, and has no need to go through D and G again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from modecover import fast_paths
from modecover.wanted import gradients_only_of

Node = Any  # of autograd's graph
Edge = tuple[Node, int]
Gradients = tuple[Tensor | None, ...]


LARGEST_RATIO = 2.0**20
"""Weights of one term that differ by more would lose digits, or the term, in a product with their ratio."""


@dataclass(frozen=True)
class Objective:
    """A loss, and the parameters that shall descend it."""

    loss: Tensor
    parameters: Sequence[nn.Parameter]


@dataclass(frozen=True)
class Rest:
    """What an objective has to compute once that of number `first` is known.

    Attributes:
        ratios: of its gradient to the first one's, at the edges where it begins.
        roots: terms of its own that it must begin at, and their weights.
    """

    first: int
    ratios: dict[Edge, float]
    roots: dict[Node, float]


def gradients(objectives: Sequence[Objective], *, share: bool = True, known: bool = True) -> list[Gradients]:
    """The gradient of each loss with respect to its own parameters, None where it does not reach.

    Args:
        share: compute what they have in common once. Only for graphs in which every gradient is a linear function of
            the one that flows in, and nothing happens on its way: hooks on tensors, and nodes of others, break that.
        known: whether no node of others is in the graphs; see `gradients_only_of`.
    """
    rests: list[Rest | None] = []
    for number, objective in enumerate(objectives):
        whole = [i for i in range(number) if rests[i] is None] if share and fast_paths.taken() else []
        found = (rest_of(objective, objectives[i], i) for i in whole)
        rests.append(next((rest for rest in found if rest is not None), None))
    results: list[Gradients] = []
    flows: dict[tuple[int, Edge], Tensor | None] = {}
    for number, (objective, rest) in enumerate(zip(objectives, rests, strict=True)):
        more = number + 1 < len(objectives)
        with gradients_only_of(objective.parameters) if known else nullcontext():
            if rest is not None:
                results.append(_finish(objective, rest, flows, more))
                continue
            edges = [edge for r in rests if r is not None and r.first == number for edge in r.ratios]
            own, at_edges = _whole(objective, list(dict.fromkeys(edges)), more)
            results.append(own)
            flows |= {(number, edge): flow for edge, flow in at_edges.items()}
    return results


def _whole(objective: Objective, edges: Sequence[Edge], more: bool) -> tuple[Gradients, dict[Edge, Tensor | None]]:
    """The gradient of an objective from its loss on, and what flows through `edges`."""
    asked: list[Any] = [*objective.parameters, *(GradientEdge(*edge) for edge in edges)]
    found = torch.autograd.grad(objective.loss, asked, retain_graph=more, allow_unused=True)
    count = len(objective.parameters)
    return found[:count], dict(zip(edges, found[count:], strict=True))


def _finish(objective: Objective, rest: Rest, flows: dict[tuple[int, Edge], Tensor | None], more: bool) -> Gradients:
    """The gradient of an objective from where it begins."""
    given = [(edge, flows[rest.first, edge], ratio) for edge, ratio in rest.ratios.items()]
    starts = [(GradientEdge(*edge), flow * ratio) for edge, flow, ratio in given if flow is not None]
    starts += [(GradientEdge(node, 0), objective.loss.new_full((), weight)) for node, weight in rest.roots.items()]
    outputs, slopes = [edge for edge, _ in starts], [slope for _, slope in starts]
    return torch.autograd.grad(outputs, objective.parameters, slopes, retain_graph=more, allow_unused=True)


# ----------------------------------------------------------------------------------------------------- where to begin

NOT_SHARED = 0.0
"""The ratio of a term that only one of two losses has."""


def rest_of(objective: Objective, first: Objective, number: int = 0) -> Rest | None:
    """What is left of `objective` beside `first`, which has this number; None where nothing would be saved."""
    weights, earlier = weights_of_terms(objective.loss), weights_of_terms(first.loss)
    ratios = {term: _ratio(weights.get(term, 0.0), earlier.get(term, 0.0)) for term in weights | earlier}
    if not any(ratios.values()):
        return None
    order = _in_order(ratios, _children)
    reached = _ratios_that_reach(order, ratios)
    needed = _leading_to(objective.parameters, order)
    again, cut = _cut([node for node in order if node in needed], reached)
    if not needed - again - cut:
        return None
    used = [(term, 0) for term in ratios] + [edge for node in order for edge in _edges(node)]
    begin = {edge: next(iter(reached[edge[0]])) for edge in used if edge[0] in cut}
    return Rest(number, begin, {term: weight for term, weight in weights.items() if term in again})


def _ratio(weight: float, earlier: float) -> float:
    """One weight over the other, to 15 digits, so that .3 / .1 is .9 / .3; `NOT_SHARED` where that is no way to go."""
    ratio = float(f"{weight / earlier:.15g}") if earlier else NOT_SHARED
    return ratio if 1 / LARGEST_RATIO <= abs(ratio) <= LARGEST_RATIO else NOT_SHARED


def _ratios_that_reach(order: Sequence[Node], ratios: dict[Node, float]) -> dict[Node, set[float]]:
    """For each node the ratios of all terms that it is reached by."""
    reached = {node: {ratios[node]} if node in ratios else set() for node in order}
    for node in order:
        for child in _children(node):
            reached[child] |= reached[node]
    return reached


def _leading_to(parameters: Sequence[nn.Parameter], order: Sequence[Node]) -> set[Node]:
    """The nodes that gradients go through on their way to these parameters."""
    leaves, found = set(map(id, parameters)), set()
    for node in reversed(order):
        if id(getattr(node, "variable", None)) in leaves or any(child in found for child in _children(node)):
            found.add(node)
    return found


def _cut(needed: Sequence[Node], reached: dict[Node, set[float]]) -> tuple[set[Node], set[Node]]:
    """Of nodes in their order, those that the second objective must go through again, and those it begins at.

    It goes again through leaves, and through what is reached with several ratios or by terms that are not shared; it
    begins before these. What follows a beginning is gone through again, for gradients flow on from there.
    """
    inside = set(needed)
    again = {n for n in needed if hasattr(n, "variable") or len(reached[n]) > 1 or NOT_SHARED in reached[n]}
    cut: set[Node] = set()
    size = -1
    while size != len(again):
        size = len(again)
        for node in needed:
            children = {child for child in _children(node) if child in inside}
            if node not in again and children & again:
                cut.add(node)
            if node in again or node in cut:
                again |= children
    return again, cut - again


def weights_of_terms(loss: Tensor) -> dict[Node, float]:
    """The scalars that the loss is a sum of, with numbers as weights: the nodes that made them, and these numbers."""
    if loss.grad_fn is None or not _is_scalar(loss.grad_fn):
        return {}
    summands: dict[Node, list[tuple[Node, float]]] = {}

    def children(node: Node) -> list[Node]:
        summands[node] = _summands(node)
        return [child for child, _ in summands[node]]

    found: dict[Node, float] = {}
    weights = {loss.grad_fn: 1.0}
    for node in _in_order([loss.grad_fn], children):
        for child, factor in summands[node]:
            weights[child] = weights.get(child, 0.0) + weights[node] * factor
        if not summands[node]:
            found[node] = weights[node]
    return found


def _summands(node: Node) -> list[tuple[Node, float]]:
    """The scalars and the numbers that this scalar is a weighted sum of; none for one that is anything else."""
    children, name = _children(node), node.name()
    if not children or not all(map(_is_scalar, children)):
        stacked = name == "SumBackward0" and [child.name() for child in children] == ["StackBackward0"]
        parts = _children(children[0]) if stacked else []
        return [(part, 1.0) for part in parts] if all(map(_is_scalar, parts)) else []
    if name in ("AddBackward0", "SubBackward0") and len(node.next_functions) == len(children) == 2:
        second = float(node._saved_alpha)
        return [(children[0], 1.0), (children[1], second if name == "AddBackward0" else -second)]
    if name == "NegBackward0":
        return [(children[0], -1.0)]
    if name in ("MulBackward0", "DivBackward0") and len(children) == 1 and node.next_functions[0][0] is not None:
        number = _number(node._saved_other)
        if number:
            return [(children[0], number if name == "MulBackward0" else 1 / number)]
    return []


def _is_scalar(node: Node) -> bool:
    return hasattr(node, "_input_metadata") and [tuple(m.shape) for m in node._input_metadata] == [()]


def _number(tensor: Tensor | None) -> float | None:
    """The Python number that autograd keeps as a tensor; None for what has always been a tensor, and may change."""
    if tensor is None or tensor.dim() or tensor.device.type != "cpu":
        return None
    # A number takes on the precision of the tensor that it is multiplied with; a tensor does not.
    narrow = {torch.float64: torch.float16, torch.int64: torch.int8}.get(tensor.dtype)
    if narrow is None or torch.result_type(tensor, torch.empty((), dtype=narrow, device="cpu")) != narrow:
        return None
    with torch.utils._python_dispatch._disable_current_modes():  # it is no tensor whose value a recording would freeze
        return float(tensor)


# -------------------------------------------------------------------------------------------------------------- graphs


def _edges(node: Node) -> list[Edge]:
    return [(child, index) for child, index in node.next_functions if child is not None]


def _children(node: Node) -> list[Node]:
    return [child for child, _ in _edges(node)]


def _in_order(roots: Iterable[Node], children: Callable[[Node], list[Node]]) -> list[Node]:
    """All nodes below these, each before what follows it."""
    order: list[Node] = []
    seen: set[Node] = set()
    waiting = [(root, False) for root in roots]
    while waiting:
        node, left = waiting.pop()
        if left:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            waiting.append((node, True))
            waiting += [(child, False) for child in children(node)]
    return order[::-1]
