"""Gradients of objectives that are taken at one point; what two of them have in common is computed once.

The losses of G and of E weigh the same terms differently. Where a node of their graph is reached through terms of one
ratio of weights alone, the gradient that flows into it for the one is a multiple of the other's. So the second loss
begins where terms of other ratios join in, and has no need to go through D and G again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


@dataclass(frozen=True)
class Objective:
    """A loss, and the parameters that shall descend it."""

    loss: Tensor
    parameters: Sequence[nn.Parameter]


@dataclass(frozen=True)
class Rest:
    """What an objective has to compute once that of number `first` is known.

    Attributes:
        edges: where its gradient is the first one's times a ratio, and that ratio.
        roots: terms of its own that it must begin at, and their weights.
    """

    first: int
    edges: dict[Edge, float]
    roots: dict[Node, float]


def gradients(objectives: Sequence[Objective]) -> list[Gradients]:
    """The gradient of each loss with respect to its own parameters, None where it does not reach."""
    rests: list[Rest | None] = []
    for number, objective in enumerate(objectives):
        whole = [i for i in range(number) if rests[i] is None] if fast_paths.taken() else []
        found = (rest_of(objective, objectives[i], i) for i in whole)
        rests.append(next((rest for rest in found if rest is not None), None))
    results: list[Gradients] = []
    captured: dict[tuple[int, Edge], Tensor | None] = {}
    for number, (objective, rest) in enumerate(zip(objectives, rests, strict=True)):
        edges = list(dict.fromkeys(e for r in rests if r is not None and r.first == number for e in r.edges))
        more = number + 1 < len(objectives)
        with gradients_only_of(objective.parameters):
            if rest is None:
                asked: list[Any] = [*objective.parameters, *(GradientEdge(*edge) for edge in edges)]
                flows = torch.autograd.grad(objective.loss, asked, retain_graph=more, allow_unused=True)
                results.append(flows[: len(objective.parameters)])
                captured |= {(number, e): flow for e, flow in zip(edges, flows[len(results[-1]) :], strict=True)}
            else:
                results.append(_finish(objective, rest, captured, more))
    return results


def _finish(objective: Objective, rest: Rest, captured: dict[tuple[int, Edge], Tensor | None], more: bool) -> Gradients:
    """The gradient of an objective from its cut on."""
    given = {edge: (captured[rest.first, edge], ratio) for edge, ratio in rest.edges.items()}
    starts = [(GradientEdge(*edge), flow * ratio) for edge, (flow, ratio) in given.items() if flow is not None]
    starts += [(GradientEdge(node, 0), objective.loss.new_full((), weight)) for node, weight in rest.roots.items()]
    outputs, flows = [edge for edge, _ in starts], [flow for _, flow in starts]
    return torch.autograd.grad(outputs, objective.parameters, flows, retain_graph=more, allow_unused=True)


# ----------------------------------------------------------------------------------------------------- where to begin


def rest_of(objective: Objective, first: Objective, number: int = 0) -> Rest | None:
    """What is left of `objective` beside `first`, which has this number; None where nothing would be saved."""
    weights, earlier = weights_of_terms(objective.loss), weights_of_terms(first.loss)
    ratios = {term: weight / earlier[term] for term, weight in weights.items() if earlier.get(term)}
    if not ratios:
        return None
    labels = {term: {ratios.get(term)} for term in weights | earlier}
    order = _in_order(labels)
    for node in order:
        for child, _ in _children(node):
            labels.setdefault(child, set()).update(labels[node])
    leaves = set(map(id, objective.parameters))
    needed: set[Node] = set()
    for node in reversed(order):
        if id(getattr(node, "variable", None)) in leaves or any(child in needed for child, _ in _children(node)):
            needed.add(node)
    again, cut = _cut([node for node in order if node in needed], labels)
    if not needed - again - cut:
        return None
    used = {edge: None for node in order for edge in _children(node)} | {(term, 0): None for term in labels}
    edges = {edge: next(iter(labels[edge[0]])) for edge in used if edge[0] in cut}
    roots = {term: weight for term, weight in weights.items() if term in again and term in needed}
    return Rest(number, {edge: ratio for edge, ratio in edges.items() if ratio is not None}, roots)


def _cut(needed: Sequence[Node], labels: dict[Node, set[float | None]]) -> tuple[set[Node], set[Node]]:
    """The nodes that the second objective must go through again, and those it begins at: first nodes first.

    It goes again through leaves, and through what is reached with several ratios or by terms that are not shared; it
    begins before these. What follows a beginning is gone through again, for gradients flow on from there.
    """
    inside = set(needed)
    again = {n for n in needed if hasattr(n, "variable") or len(labels[n]) > 1 or None in labels[n]}
    cut: set[Node] = set()
    size = -1
    while size != len(again):
        size = len(again)
        for node in needed:
            children = {child for child, _ in _children(node) if child in inside}
            if node not in again and children & again:
                cut.add(node)
            if node in again or node in cut:
                again |= children
    return again, cut - again


def weights_of_terms(loss: Tensor) -> dict[Node, float]:
    """The scalars that the loss is a sum of, with numbers as weights: the nodes that made them, and these numbers."""
    found: dict[Node, float] = {}
    waiting = [(loss.grad_fn, 1.0)] if loss.grad_fn is not None else []
    while waiting:
        node, weight = waiting.pop()
        summands = _summands(node)
        if summands is None:
            found[node] = found.get(node, 0.0) + weight
        else:
            waiting += [(child, weight * factor) for child, factor in summands]
    return found


def _summands(node: Node) -> list[tuple[Node, float]] | None:
    """The scalars and the numbers that this scalar is a weighted sum of; None for one that is anything else."""
    children, name = [child for child, _ in _children(node)], node.name()
    if not children or not all(map(_is_scalar, children)):
        if name == "SumBackward0" and [child.name() for child in children] == ["StackBackward0"]:
            stacked = [child for child, _ in _children(children[0])]
            return [(child, 1.0) for child in stacked] if all(map(_is_scalar, stacked)) else None
        return None
    if name in ("AddBackward0", "SubBackward0") and len(node.next_functions) == len(children) == 2:
        second = float(node._saved_alpha)
        return [(children[0], 1.0), (children[1], second if name == "AddBackward0" else -second)]
    if name == "NegBackward0":
        return [(children[0], -1.0)]
    if name in ("MulBackward0", "DivBackward0") and len(children) == 1:
        number = _number(node._saved_other)
        if number is not None and node.next_functions[0][0] is not None:
            return [(children[0], number if name == "MulBackward0" else 1 / number)]
    return None


def _is_scalar(node: Node) -> bool:
    return hasattr(node, "_input_metadata") and [tuple(m.shape) for m in node._input_metadata] == [()]


def _number(tensor: Tensor | None) -> float | None:
    """The Python number that autograd keeps as a tensor; None for what has always been a tensor, and may change."""
    if tensor is None or tensor.dim() or tensor.device.type != "cpu":
        return None
    # A number takes on the precision of the tensor that it is multiplied with; a tensor does not.
    narrow = torch.float16 if tensor.is_floating_point() else torch.int8
    if torch.result_type(tensor, torch.empty((), dtype=narrow)) != narrow:
        return None
    with torch.utils._python_dispatch._disable_current_modes():  # it is no tensor whose value a recording would freeze
        return float(tensor)


def _children(node: Node) -> Iterator[Edge]:
    return ((child, index) for child, index in node.next_functions if child is not None)


def _in_order(roots: dict[Node, Any]) -> list[Node]:
    """All nodes below these, each before what follows it."""
    order: list[Node] = []
    seen: set[Node] = set()
    waiting: list[tuple[Node, bool]] = [(root, False) for root in roots]
    while waiting:
        node, left = waiting.pop()
        if left:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            waiting.append((node, True))
            waiting += [(child, False) for child, _ in _children(node)]
    return order[::-1]
