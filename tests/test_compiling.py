"""A compiled program computes what its operations compute, wherever it puts the intermediate tensors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from modecover.engine import replay
from modecover.engine.compiling import compiled
from modecover.engine.placing import placed
from modecover.engine.program import Call, Slot, storage

WEIGHT = torch.linspace(-1, 1, 12).reshape(3, 4)


def chain_of_views(x: Tensor) -> Tensor:
    y = (x @ WEIGHT).relu_()
    return y.t().contiguous().view(2, -1).unsqueeze(0).sum(dim=2).squeeze(0) + y.mean()


def memory_taken_over(x: Tensor) -> Tensor:
    y = x * 2
    for _ in range(5):
        y = (y + x).mul(0.5) - y.neg()
    return y


def ones_beside(x: Tensor) -> Tensor:
    a = torch.cat([x, x.new_ones(1, 1).expand(len(x), 1)], dim=1)
    b = torch.cat([x * 3, x.new_ones(1, 1).expand(len(x), 1)], dim=1)
    return a @ b.t()


def ones_beside_and_overwritten(x: Tensor) -> Tensor:
    return torch.cat([x, x.new_ones(1, 1).expand(len(x), 1)], dim=1).mul_(x[:, :1] - 0.5).sum(dim=1)


def parts_made_in_place(x: Tensor) -> Tensor:
    parts = [x * 2, x + 1, x.exp()]
    whole = torch.cat(parts)
    return whole.sum(dim=1) * parts[1].sum()


def part_overwritten_after(x: Tensor) -> Tensor:
    part = x * 2
    whole = torch.cat([part, x + 1])
    part.add_(100)
    return whole.sum() + part.sum()


def whole_overwritten_after(x: Tensor) -> Tensor:
    part = x * 2
    whole = torch.cat([part, x + 1])
    whole.add_(100)
    return whole.sum() + part.sum()


def the_same_part_twice(x: Tensor) -> Tensor:
    part = x * 2
    return torch.cat([part, part]) + torch.stack([part, part]).flatten(0, 1)


def in_two_wholes(x: Tensor) -> Tensor:
    part, other, third = x * 2, x + 1, x.exp()
    return torch.cat([part, other]) * torch.cat([other, third])


def nothing_reads(x: Tensor) -> Tensor:
    torch.empty(1000)
    (x * 4).exp()
    return x - 1


def input_itself_overwritten(x: Tensor) -> Tensor:
    y = x.view(-1)
    y.add_(1)
    return x.sum() * y


def several_results(x: Tensor) -> Tensor:
    left, right = (x * 2).split(2)
    values, places = x.max(dim=1)
    return torch.cat([left, right]).sum(dim=1) + values * places


def transposed_results(x: Tensor) -> Tensor:
    y = x.t() * 2  # elementwise results keep the strides of what they are given
    return (y.t() @ WEIGHT).sum() + y.reshape(-1)


def losses(x: Tensor) -> Tensor:
    functions = (F.mse_loss, F.smooth_l1_loss, F.binary_cross_entropy_with_logits, F.soft_margin_loss, F.huber_loss)
    each = [3 * function(x, x.sigmoid()) for function in functions]
    return torch.stack(each) + 3 * F.binary_cross_entropy(x.sigmoid(), x.tanh().square()) + 3 * x.logsumexp(1).mean()


def whole_within_a_whole(x: Tensor) -> Tensor:
    return torch.cat([torch.cat([x * 2, x + 1]), x.exp()]) * 1


def filled_within_a_whole(x: Tensor) -> Tensor:
    one = x.new_ones(1, 1).expand(len(x), 1)
    return torch.cat([torch.cat([x, one], 1), torch.cat([x * 2, one], 1)]) * 1


def constants_in_a_stack(x: Tensor) -> Tensor:
    return torch.stack([torch.ones(4, 3), x * 2]).sum() + torch.stack([x.new_zeros(()), x.mean((0, 1)) * 2])


def the_input(x: Tensor) -> Tensor:
    return x


def a_view_of_the_input(x: Tensor) -> Tensor:
    return x[1:]


def of_one_value_into_a_place(x: Tensor) -> Tensor:
    room = torch.empty(3)
    torch.arange(3, out=room)
    torch.ones(1, out=room[:1])
    return x * room


def another_shape_in_place(x: Tensor) -> Tensor:
    y = x * 2
    row = y[0]
    y.unsqueeze_(0)
    return row * 1 + y.sum() + x[:, 0] @ (x * 3)


STEPS = [
    *(chain_of_views, memory_taken_over, ones_beside, ones_beside_and_overwritten, parts_made_in_place),
    *(part_overwritten_after, whole_overwritten_after, the_same_part_twice, in_two_wholes, nothing_reads),
    *(input_itself_overwritten, several_results, transposed_results, losses, whole_within_a_whole),
    *(filled_within_a_whole, constants_in_a_stack, the_input, a_view_of_the_input, of_one_value_into_a_place),
    another_shape_in_place,
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_a_compiled_program_computes_what_was_recorded(
    step: Callable[[Tensor], Tensor], capfd: pytest.CaptureFixture[str]
) -> None:
    inputs = [torch.randn(4, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    recorded = inputs[0].clone()
    run = compiled(replay.record(lambda: {"y": step(recorded)}, [recorded]))
    found = [run(x.clone())["y"] for x in inputs]  # all kept: a result is the caller's own
    for x, y in zip(inputs, found, strict=True):
        assert torch.equal(y, step(x.clone()))
    assert not capfd.readouterr().err  # torch warns where a tensor that it was given had not the right shape


def test_draws_are_those_of_the_generators() -> None:
    generators = [torch.Generator() for _ in range(3)]

    def step() -> dict[str, Tensor]:
        rows = [torch.randn((5, 2), generator=g) for g in generators[:2]]
        return {"y": torch.cat([*rows, torch.rand((5, 2), generator=generators[2])]) * 2}

    def seeded() -> None:
        for seed, generator in enumerate(generators):
            generator.manual_seed(seed)

    seeded()
    expected = step()["y"]
    run = compiled(replay.record(step, []))
    seeded()
    first, second = run()["y"], run()["y"]
    assert torch.equal(first, expected)
    assert not torch.equal(second, expected)


def test_a_place_is_taken_over_when_nothing_reads_it_any_more() -> None:
    x = torch.ones(100)

    def step() -> dict[str, Tensor]:
        y = x * 2
        for _ in range(20):
            y = y + 1
        return {"y": y.sum()}

    with torch.inference_mode():
        program = placed(replay.record(step, [x]), frozen=set())
    places = {storage(call.options["out"]) for call in program.calls if "out" in call.options}
    assert len(places) == 2


def test_views_and_unused_results_are_not_called() -> None:
    x = torch.randn(4, 3)
    run = compiled(replay.record(lambda: {"y": chain_of_views(nothing_reads(x))}, [x]))
    called = [value for name, value in run.__wrapped__.__globals__.items() if name.startswith("c") and callable(value)]
    assert not any(
        getattr(function, "__name__", "") in ("view", "transpose", "unsqueeze", "exp") for function in called
    )


def test_counters_that_go_up_together_stay_the_tensors_they_are() -> None:
    counters = [torch.tensor(3.0), torch.tensor(5.0)]
    one = torch.tensor(7.0)

    def step() -> dict[str, Tensor]:
        torch._foreach_add_(counters, 1)
        torch._foreach_add_([counters[0], one], 1)  # one of them goes up with another too
        torch._foreach_add_(counters, 1)
        return {"sum": counters[0] + counters[1] + one}

    run = compiled(replay.record(step, []))
    assert [float(t) for t in (*counters, one)] == [6, 7, 8]
    assert float(run()["sum"]) == 9 + 9 + 9
    assert [float(t) for t in (*counters, one)] == [9, 9, 9]
    counters[1] += 1  # as an optimiser does that goes on eagerly
    run()
    assert [float(t) for t in (*counters, one)] == [12, 12, 10]


def test_counters_that_the_step_also_sees_otherwise_are_left_alone() -> None:
    counters = [torch.zeros(()), torch.zeros(())]

    def step() -> dict[str, Tensor]:
        torch._foreach_add_(counters, 1)
        made = [counters[0] * 1, counters[1] * 1]
        torch._foreach_add_(made, 1)
        return {"seen": counters[0].view(1) * 1, "made": made[0] + made[1]}

    run = compiled(replay.record(step, []))
    assert [(float(found["seen"]), float(found["made"])) for found in (run(), run())] == [(2, 6), (3, 8)]


def test_two_recordings_count_in_the_same_counters() -> None:
    counters = [torch.zeros(()), torch.zeros(())]

    def step() -> dict[str, Tensor]:
        torch._foreach_add_(counters, 1)
        return {"sum": counters[0] + counters[1]}

    one, two = (compiled(replay.record(step, [])) for _ in range(2))
    assert [float(run()["sum"]) for run in (one, two, one, two)] == [6, 8, 10, 12]


def test_running_statistics_move_though_nothing_reads_the_normalised_rows() -> None:
    mean, variance = torch.zeros(3), torch.ones(3)
    x = torch.full((4, 3), 5.0)

    def step() -> dict[str, Tensor]:
        F.batch_norm(x, mean, variance, training=True)
        return {"y": x * 2}

    run = compiled(replay.record(step, []))
    before = mean.clone()
    run()
    assert (mean > before).all()


def test_a_constant_result_is_the_callers_own() -> None:
    run = compiled(replay.record(lambda: {"y": torch.ones(3)}, []))
    with torch.inference_mode():
        run()["y"].add_(1)
    assert torch.equal(run()["y"], torch.ones(3))


@pytest.mark.parametrize("step", [lambda x: x[x > 0], lambda x: x.masked_select(x > 0), lambda x: x.nonzero()])
def test_shapes_that_depend_on_values_are_not_recorded(step: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(4, 3)
    with pytest.raises(replay.NotReplayable):
        replay.record(lambda: {"y": step(x)}, [x])


def test_calls_know_what_they_are_given_and_make() -> None:
    call = Call(torch.add, [Slot(1), [Slot(2), WEIGHT]], {"alpha": Slot(4)}, results=(3, -1))
    assert call.new == [3]
    assert call.filled({2: WEIGHT}).arguments == [Slot(1), [WEIGHT, WEIGHT]]
