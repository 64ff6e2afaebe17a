"""The check of a user's own networks: what passes, what each sentence says, and that nothing is moved by it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from modecover import networks
from modecover.errors import UserError
from modecover.networks import TwoHeads, accepts_option, check_network
from modecover.networks.check import detached_copy

IMAGE = (3, 64, 64)


class Returns(nn.Module):
    """Whatever it is given, B rows of a fixed shape."""

    def __init__(self, *shape: int, value: float = 0.0):
        super().__init__()
        self.shape, self.value = shape, value

    def forward(self, x: Tensor) -> Tensor:
        return torch.full((len(x), *self.shape), self.value)


class Scores(nn.Linear):
    """One number a row, without an axis of its own."""

    def __init__(self) -> None:
        super().__init__(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).flatten()


class Moody(nn.Linear):
    """A generator that is good in evaluation mode; what happens in training is up to `mood`."""

    def __init__(self, mood: Callable[[Tensor, int], Any]):
        super().__init__(4, 2)
        self.mood, self.calls = mood, 0

    def forward(self, z: Tensor) -> Any:
        self.calls += self.training
        return self.mood(super().forward(z), self.calls) if self.training else super().forward(z)


def _raises(error: BaseException) -> Any:
    raise error


class Restless(nn.Module):
    """Moves everything a forward can move, in evaluation mode too."""

    calls: Tensor
    last: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.frozen = nn.BatchNorm1d(2), nn.BatchNorm1d(2).eval()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.zeros(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.last = x
        self.train()
        return self.frozen(self.norm(x + torch.randn_like(x)))


@pytest.mark.parametrize(
    ("preset", "shape"), [("auto", (1, 16, 16)), ("mlp", (1, 5, 5)), ("auto", (2,)), ("pacgan", (2,))]
)
def test_our_own_networks_pass(preset: str, shape: tuple[int, ...]):
    roles = {"G": "generator", "E": "encoder", "D": "discriminator", "L": "latent discriminator"}
    roles["J"] = "joint discriminator"
    asked = {"classes": 3, "split_statistics": True, "stochastic_codes": True, "packing": 2}
    nets = networks.build(roles, shape, 4, preset=preset, width=4, **asked)
    for name, role in roles.items():
        check_network(name, role, nets[name], shape, 4, **asked)


def test_a_user_s_plain_modules_pass():
    check_network("G", "generator", nn.Linear(4, 2), (2,), 4)
    check_network("E", "encoder", nn.Linear(2, 4), (2,), 4)
    check_network("D", "discriminator", nn.Linear(2, 1), (2,), 4)
    check_network("D", "discriminator", Scores(), (2,), 4)


@pytest.mark.parametrize(
    ("name", "role", "module", "options", "sentence"),
    [
        (
            "G", "generator", Returns(3, 60, 60), {},
            "G returned shape (2, 3, 60, 60) for 2 latent rows of 100; the data needs (2, 3, 64, 64): "
            "change the last layers of G or use size=60.",
        ),
        (
            "G", "generator", Returns(1, 64, 64), {},
            "G returned shape (2, 1, 64, 64) for 2 latent rows of 100; the data needs (2, 3, 64, 64): "
            "change the last layers of G.",
        ),
        (
            "E", "encoder", Returns(64), {},
            "E returned shape (2, 64) for 2 data rows of shape (3, 64, 64); a latent dimension of 100 needs (2, 100): "
            "change the last layers of E or use latent=64.",
        ),
        (
            "D", "discriminator", Returns(1, 1, 1), {},
            "D returned shape (2, 1, 1, 1) for 2 data rows of shape (3, 64, 64); a discriminator returns one score a "
            "row, (2,) or (2, 1): end D with a flatten and a linear layer to 1.",
        ),
        (
            "D", "discriminator", Returns(), {"classes": 4},
            "This method classifies into 4 classes on D's features, but D's forward takes no `head`: wrap it as "
            "modecover.networks.TwoHeads(trunk, features, classes=4), the trunk being D without its last layer.",
        ),
        (
            "D", "discriminator", TwoHeads(Returns(7), 7, 3), {"classes": 4},
            'D returned shape (2, 3) for 2 data rows of shape (3, 64, 64) and head="classes"; the method needs (2, 4): '
            "give its classifier head 4 outputs.",
        ),
        (
            "D", "discriminator", TwoHeads(Returns(7), 6, 4), {},
            "The trunk returned 7 features for a row, but TwoHeads was told 6: "
            "write TwoHeads(trunk, features=7, classes=4).",
        ),
        (
            "G", "generator", nn.Linear(8, 8), {},
            "G failed on 2 latent rows of 100: mat1 and mat2 shapes cannot be multiplied (2x100 and 8x8). "
            "Change G's layers to take such rows.",
        ),
        (
            "G", "generator", nn.Sequential(nn.BatchNorm1d(100), Returns(*IMAGE)), {"split_statistics": True},
            "This method keeps separate batch statistics for prior noise and for codes, but G's forward takes no "
            '`kind`: write forward(self, z, kind="prior") and use modecover.networks.SplitBatchNorm in it.',
        ),
        (
            "G", "generator", Returns(*IMAGE, value=float("nan")), {},
            "G returned NaN or infinity for 2 latent rows of 100: start its weights smaller.",
        ),
        (
            "D", "discriminator", nn.Sequential(nn.Flatten(), nn.LazyLinear(1)), {},
            "D has lazy layers that have seen no input yet: call it once on a few rows beforehand.",
        ),
        (
            "D", "critic", Returns(), {},
            "D has the role 'critic', which is none of modecover's.",
        ),
        (
            "D", "discriminator", torch.sum, {},
            "D is a builtin_function_or_method; give an instance of torch.nn.Module.",
        ),
    ],
)  # fmt: skip
def test_each_misfit_has_its_sentence(name: str, role: str, module: Any, options: dict[str, Any], sentence: str):
    with pytest.raises(UserError) as caught:
        check_network(name, role, module, IMAGE, 100, **options)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (lambda: Moody(lambda y, _: y.detach()), "G's output does not depend on its parameters in a way that autograd"),
        (
            lambda: Moody(lambda y, call: y if call < 2 else _raises(RuntimeError("no more"))),
            "G failed in training mode on 2 latent rows of 4: no more. Change",
        ),
        (lambda: Moody(lambda y, _: _raises(SystemExit(0))), "G failed in training mode on 2 latent rows of 4: 0."),
        (lambda: Moody(lambda y, call: y[:, :call]), "G returned the shapes (2, 1) and (2, 2) for the same 2"),
        (lambda: Moody(lambda y, _: (y, y)), "G returned a tuple in training mode for 2 latent rows of 4; let"),
        (lambda: nn.Linear(4, 2).requires_grad_(False), "G is frozen (requires_grad is False for all"),
        (lambda: nn.Linear(4, 2).half(), "G holds numbers of type torch.float16, and data and noise are"),
        (
            lambda: nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 2).double()),
            "G holds numbers of type torch.float64, and data and noise are torch.float32: give G.float()",
        ),
        (lambda: nn.Linear(4, 2, device="meta"), "G is on the meta device, where weights have no values"),
        (lambda: Returns(2), "G is a network without parameters, which cannot be trained"),
    ],
)  # fmt: skip
def test_what_would_fail_in_training_fails_in_the_check(module: Callable[[], nn.Module], sentence: str):
    with pytest.raises(UserError) as caught:
        check_network("G", "generator", module(), (2,), 4)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def _hooked(network: nn.Module) -> nn.Module:
    network.register_forward_hook(lambda module, rows, out: 2 * out)
    network.register_full_backward_hook(lambda module, into, out: None)
    return network


def _used(network: nn.Module) -> nn.Module:
    network(torch.randn(3, 4))
    return network


@pytest.mark.parametrize(
    "module",
    [
        lambda: nn.utils.weight_norm(nn.Linear(4, 2)),
        lambda: _used(nn.utils.weight_norm(nn.Linear(4, 2))),
        lambda: _used(nn.utils.spectral_norm(nn.Linear(4, 2))),
        lambda: _used(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 2))),
        lambda: _hooked(nn.Linear(4, 2)),
        lambda: torch.jit.script(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))),
    ],
    ids=["weight norm", "used weight norm", "used spectral norm", "parametrised", "hooks", "scripted"],
)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_networks_of_any_kind_are_copied_and_pass(module: Callable[[], nn.Module]):
    given = module()
    before = [t.detach().clone() for t in (*given.parameters(), *given.buffers())]
    check_network("G", "generator", given, (2,), 4)
    assert all(torch.equal(t, old) for t, old in zip((*given.parameters(), *given.buffers()), before, strict=True))
    copied = detached_copy(given)
    assert all(p.is_leaf and p.requires_grad for p in copied.parameters())
    rows = torch.randn(3, 4)
    assert torch.equal(copied.eval()(rows), given.eval()(rows))
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert any(p.abs().max() > 0 for p in given.parameters()), "the copy's weights are its own"


def test_what_python_cannot_copy_is_told():
    network = nn.Linear(4, 2)
    network.lock = threading.Lock()
    with pytest.raises(UserError, match=r"A Linear cannot be copied \(cannot pickle '_thread.lock' object\), and"):
        check_network("G", "generator", network, (2,), 4)


@pytest.mark.parametrize("fails", [False, True])
def test_modes_buffers_and_random_state_are_left_as_found(fails: bool):
    net = Restless()
    modes = [part.training for part in net.modules()]
    buffers = {name: (buffer, buffer.clone()) for name, buffer in net.named_buffers()}
    state = torch.get_rng_state()
    if fails:
        with pytest.raises(UserError):
            check_network("G", "generator", net, (3,), 2)
    else:
        check_network("G", "generator", net, (2,), 2)
    assert [part.training for part in net.modules()] == modes
    assert False in modes
    for name, buffer in net.named_buffers():
        assert buffer is buffers[name][0], name
        assert torch.equal(buffer, buffers[name][1]), name
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_two_heads_share_the_trunk():
    torch.manual_seed(0)
    trunk = nn.Conv2d(1, 3, 2)
    net, x = TwoHeads(trunk, 27, classes=5), torch.randn(4, 1, 4, 4)
    features = trunk(x).flatten(1)
    assert torch.equal(net(x, head="features"), features)
    assert torch.allclose(net(x), features @ net.adversarial_head.weight[0] + net.adversarial_head.bias)
    assert net.classes_head is not None
    assert torch.allclose(net(x, head="classes"), net.classes_head(features))
    check_network("D", "discriminator", net, (1, 4, 4), 9, 5)


def test_accepts_option_reads_the_forward():
    class Anything(nn.Module):
        def forward(self, x: Tensor, **options: str) -> Tensor:
            return x

    assert accepts_option(networks.MLPGenerator(2, (2,)), "kind")
    assert accepts_option(networks.MLPDiscriminator((2,)), "head")
    assert accepts_option(Anything(), "head")
    assert not accepts_option(nn.Linear(2, 1), "head")
