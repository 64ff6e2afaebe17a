"""Several processes under torchrun compute what one process computes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as multiprocessing
from tiny import METHODS, ROW_BY_ROW, engine_of, of_means, weights
from torch import Tensor, nn

from modecover.cli import main as command
from modecover.errors import UserError
from modecover.training import checkpoint
from modecover.training.processes import Processes, choose_device, join
from modecover.training.synchronised import synchronised

IMAGES = ("mdgan", "ivlsgan")
"""Methods whose images' networks have batch norm everywhere, and one whose generator has two kinds of it."""

ROWS = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def own_rows(processes: Processes) -> Tensor:
    return ROWS.chunk(processes.count)[processes.rank].clone()


def penalty(processes: Processes) -> dict[str, Tensor]:
    """The gradient of a penalty on gradients through batch norm, and the running statistics afterwards."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5, momentum=0.3), nn.Tanh(), nn.Linear(5, 1)).double()
    x = own_rows(processes).requires_grad_()
    with synchronised(processes):
        (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
        loss = (slope.square().sum(1) - 1).square().mean() + net(x).square().mean()
    names, parameters = zip(*net.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters)
    processes.mean_(gradients)
    return {**dict(zip(names, gradients, strict=True)), **dict(net.named_buffers())}


def narrow(processes: Processes) -> Tensor:
    """bfloat16 rows through batch norm: of the same type, by statistics that are not."""
    norm = nn.BatchNorm1d(3)
    with synchronised(processes):
        return norm((100 + own_rows(processes)).bfloat16()).detach()


def _work(rank: int, port: int, out: Path) -> None:
    os.environ |= {
        **{"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
    }
    torch.set_num_threads(1)
    processes = join(torch.device("cpu"))
    assert (processes.rank, processes.count) == (rank, 2)
    assert processes.any(rank == 1, torch.device("cpu")) and not processes.any(False, torch.device("cpu"))
    found = {}
    for name in METHODS:
        engine = of_means(
            engine_of(name, (0, 1), norm=False, processes=processes, accumulate=2, settings=ROW_BY_ROW.get(name))
        )
        for _ in range(2):
            engine.step()
        found[name] = {"losses": engine.losses(), "weights": weights(engine)}
        engine = of_means(engine_of(name, (0, 1), processes=processes, settings=ROW_BY_ROW.get(name)))
        for _ in range(2):
            engine.step()
        found[name]["normalised"] = weights(engine)
    for name in IMAGES:
        engine = engine_of(name, (0, 1), shape=(1, 16, 16), batch=4, processes=processes)
        engine.step()
        found[f"images/{name}"] = {"weights": weights(engine)}
    found["penalty"] = penalty(processes)
    found["narrow"] = {"out": narrow(processes)}
    torch.save(found, out / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:  # type: ignore[type-arg]
    out = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(_work, (29500 + os.getpid() % 1000, out), nprocs=2)
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_of_two_micro_batches_equal_one(name: str, found: list[dict]) -> None:  # type: ignore[type-arg]
    alone = of_means(engine_of(name, (0, 1), norm=False, settings=ROW_BY_ROW.get(name)))
    for _ in range(2):
        alone.step()
    for rank in found:
        assert rank[name]["losses"] == pytest.approx(alone.losses(), abs=1e-9)
        for key, value in weights(alone).items():
            assert torch.allclose(rank[name]["weights"][key], value, atol=1e-10, rtol=0), key


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_normalise_by_the_statistics_of_the_whole_batch(name: str, found: list[dict]) -> None:  # type: ignore[type-arg]
    alone = of_means(engine_of(name, (0, 1), settings=ROW_BY_ROW.get(name)))
    for _ in range(2):
        alone.step()
    for rank in found:
        for key, value in weights(alone).items():
            assert torch.allclose(rank[name]["normalised"][key], value, atol=1e-10, rtol=0), key


@pytest.mark.parametrize("name", IMAGES)
def test_two_processes_normalise_maps_by_the_statistics_of_the_whole_batch(name: str, found: list[dict]) -> None:  # type: ignore[type-arg]
    alone = engine_of(name, (0, 1), shape=(1, 16, 16), batch=4)
    alone.step()
    for rank in found:
        for key, value in weights(alone).items():
            assert torch.allclose(rank[f"images/{name}"]["weights"][key], value, atol=1e-10, rtol=0), key


def test_statistics_of_all_processes_are_differentiated_twice(found: list[dict]) -> None:  # type: ignore[type-arg]
    for key, value in penalty(Processes()).items():
        for rank in found:
            assert torch.allclose(rank["penalty"][key], value, atol=1e-12, rtol=0), key
    assert penalty(Processes())["0.weight"].abs().max() > 1e-3


def test_narrow_rows_are_normalised_in_full_precision(found: list[dict]) -> None:  # type: ignore[type-arg]
    expected = narrow(Processes())
    got = torch.cat([rank["narrow"]["out"] for rank in found])
    assert got.dtype == expected.dtype == torch.bfloat16
    assert torch.allclose(got.float(), expected.float(), atol=0.02)


def test_torchrun_trains_one_run_and_only_the_first_process_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "train wgan-gp --data ring --steps 20 --batch 16 --width 8 --critic-steps 2 --log-every 5".split()
    words += "--evaluate-samples 50 --evaluate-every 0 --sample-every 0".split()
    assert command([*words, "--out", str(tmp_path / "one")]) == 0
    assert capsys.readouterr().out.count("The run is in") == 1
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    together = [*launch, "modecover", *words, "--out", str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(together, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("The run is in") == 1
    one, two = (checkpoint.load_newest(tmp_path / run / "checkpoints") for run in ("one", "two"))
    assert one is not None and two is not None
    for key, value in one.tensors.items():
        if key.startswith("network/"):
            assert torch.allclose(two.tensors[key], value, atol=1e-5), key


TWICE = """
import atexit, sys
import torch, torch.distributed
import modecover

# What is registered first is called last.
atexit.register(lambda: print("left behind" if torch.distributed.is_initialized() else "left", flush=True))
options = {"steps": 2, "batch": 4, "width": 8, "evaluate_every": 0, "sample_every": 0, "device": "cpu"}
runs = [modecover.train("gan", data="ring", seed=seed, **options) for seed in (0, 0)]
assert torch.equal(runs[0].sample(5), runs[1].sample(5))
"""


def two_processes(words: list[str], port: int) -> list[subprocess.CompletedProcess[str]]:
    """The same Python command as two processes that `torchrun` would start."""
    there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, *words],
            env={**os.environ, **there, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
        )
        for rank in (0, 1)
    ]
    said = [process.communicate(timeout=120) for process in started]
    return [subprocess.CompletedProcess(p.args, p.returncode, *s) for p, s in zip(started, said, strict=True)]


def test_a_process_trains_twice_and_leaves_the_others_when_it_ends() -> None:
    for done in two_processes(["-c", TWICE], 30500 + os.getpid() % 1000):
        assert (done.returncode, done.stdout) == (0, "left\n"), done.stderr


def test_an_error_in_one_process_is_a_sentence_in_the_others(tmp_path: Path) -> None:
    (tmp_path / "somebody's").write_text("")
    words = "-m modecover train gan --data ring --steps 2 --batch 4 --width 8 --device cpu --out".split()
    first, second = two_processes([*words, str(tmp_path)], 31500 + os.getpid() % 1000)
    assert (first.returncode, second.returncode) == (2, 2), (first, second)
    assert "is not empty and is no run folder" in first.stderr
    assert second.stderr.startswith("modecover: Another process of this run has ended"), second.stderr
    assert second.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("wanted", "gpus", "sentence"),
    [
        ("cuda", 0, "The device cuda:0 cannot be used: this PyTorch"),
        ("cuda:7", 0, "The device cuda:7 cannot be used: this PyTorch"),
        ("cuda:1", 1, "There is no device cuda:1 for this process: there is one GPU, cuda:0."),
        ("cuda:7", 4, "There is no device cuda:7 for this process: the 4 GPUs are cuda:0 to cuda:3."),
        ("gpu", 0, "There is no kind of device called 'gpu': use auto, cpu, cuda or cuda:N."),
        ("meta", 0, "The device meta cannot be used here"),
    ],
)
def test_a_device_that_is_not_there_is_one_sentence(
    wanted: str, gpus: int, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(UserError) as caught:
        choose_device(wanted)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_auto_is_the_cpu_where_there_is_no_gpu_else_this_process_s_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match=r"no device cuda:2 .* cuda:0 to cuda:1\. Choose another device, or start"):
        choose_device("auto")
