"""Several processes under torchrun compute what one process computes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as multiprocessing
from tiny import METHODS, ROW_BY_ROW, engine_of, of_means, weights

import modecover
from modecover.cli import main as command
from modecover.engine.engine import Engine
from modecover.engine.processes import Processes, choose_device, join
from modecover.engine.whole_batches import WholeBatches
from modecover.errors import UserError
from modecover.networks import SplitBatchNorm

NORMALISED = [("ivgan", 1), ("ivgan", 2), ("mdgan", 1), ("wgan-gp", 1), ("vaegan", 1)]
"""Methods and micro-batches: convolutional G, E and D with batch norm, which two processes share."""


def _normalised(name: str, accumulate: int, processes: Processes | None = None) -> Engine:
    shape = (1, 16, 16)
    return engine_of(name, (0, 1), shape=shape, accumulate=accumulate, processes=processes)


def _rows_and_layer() -> tuple[torch.Tensor, torch.nn.BatchNorm1d]:
    torch.manual_seed(0)
    rows = torch.randn(6, 4, 3, dtype=torch.float64) + 100
    return rows.requires_grad_(), torch.nn.BatchNorm1d(4, dtype=torch.float64)


def _slope_of_slope(layer: torch.nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """The gradient, at these rows, of a penalty on gradients of the layer at them."""
    (slope,) = torch.autograd.grad(layer(rows).pow(3).sum(), rows, create_graph=True)
    return torch.autograd.grad(slope.square().sum(), rows)[0]


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
    for name, accumulate in NORMALISED:
        engine = of_means(_normalised(name, accumulate, processes))
        for _ in range(2):
            engine.step()
        found[f"{name} {accumulate}"] = {"losses": engine.losses(), "weights": weights(engine)}
    x, layer = _rows_and_layer()
    with WholeBatches(processes):
        own = x[rank * 3 : rank * 3 + 3]
        found["slopes"] = {"slope": _slope_of_slope(layer, own), "running": layer.running_var}
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


@pytest.mark.parametrize(("name", "accumulate"), NORMALISED)
def test_batch_norm_takes_the_rows_of_all_processes(name: str, accumulate: int, found: list[dict]) -> None:  # type: ignore[type-arg]
    alone = of_means(_normalised(name, accumulate))
    for _ in range(2):
        alone.step()
    assert any(isinstance(m, SplitBatchNorm) or "BatchNorm" in type(m).__name__ for m in alone.networks["G"].modules())
    for rank in found:
        assert rank[f"{name} {accumulate}"]["losses"] == pytest.approx(alone.losses(), abs=1e-8)
        for key, value in weights(alone).items():
            assert torch.allclose(rank[f"{name} {accumulate}"]["weights"][key], value, atol=1e-7, rtol=0), key


def test_gradients_of_gradients_go_through_the_statistics_of_all_processes(found: list[dict]) -> None:  # type: ignore[type-arg]
    x, layer = _rows_and_layer()
    expected = _slope_of_slope(layer, x)
    together = torch.cat([rank["slopes"]["slope"] for rank in found])
    assert torch.allclose(together, expected, rtol=1e-6, atol=1e-8 * float(expected.abs().max()))
    for rank in found:
        assert torch.allclose(rank["slopes"]["running"], layer.running_var, rtol=1e-12)


def test_torchrun_trains_one_run_and_only_the_first_process_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "train ivgan --data ring --steps 20 --batch 16 --width 8 --encoder-steps 2 --log-every 5".split()
    words += "--optimizer sgd --lr 0.01 --lr-E 0.01".split()  # Adam would make steps of what rounding differs by
    words += "--evaluate-samples 50 --evaluate-every 0 --sample-every 0".split()
    assert command([*words, "--out", str(tmp_path / "one")]) == 0
    assert capsys.readouterr().out.count("The run is in") == 1
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    together = [*launch, "modecover", *words, "--out", str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(together, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("The run is in") == 1
    # By samples: a bias before batch norm has no gradient but rounding, which Adam makes as large as any other.
    one, two = (modecover.load(tmp_path / run).sample(64) for run in ("one", "two"))
    assert torch.allclose(one, two, atol=1e-4)


TWICE = """
import os, sys, threading, modecover
for steps in (2, 3):
    run = modecover.train("gan", "ring", steps=steps, batch=8, width=4, evaluate_samples=50)
    assert run.step == steps
if os.environ["RANK"] == "1":
    sys.exit(3)
try:
    modecover.train("gan", "ring", steps=10**6, batch=8, width=4)
except modecover.UserError as error:
    print("told:", error, flush=True)
"""


def test_two_runs_share_a_process_and_the_end_of_one_is_told_to_the_other(tmp_path: Path) -> None:
    (tmp_path / "twice.py").write_text(TWICE)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, str(tmp_path / "twice.py")], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode != 0
    assert "exitcode  : 3" in done.stderr and "SIGABRT" not in done.stderr, done.stderr
    assert "told: Another process of this run has ended or cannot be reached" in done.stdout, done.stderr


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to name a process's threads")
def test_the_threads_of_the_group_end_with_it(tmp_path: Path) -> None:
    # A thread that outlives the group lets go of a tensor while the interpreter ends, now and then: that aborts it.
    (tmp_path / "threads.py").write_text(THREADS)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*launch, str(tmp_path / "threads.py")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    # Both processes write to one pipe, so that a line of one may end within a line of the other.
    assert sorted(re.findall(r"began:True|left:\d+", done.stdout)) == ["began:True"] * 2 + ["left:0"] * 2, done.stdout


THREADS = """
import atexit, os, time, modecover

def threads():
    count = 0
    for task in os.listdir("/proc/self/task"):
        try:
            count += "gloo" in open(f"/proc/self/task/{task}/comm").read()
        except OSError:
            pass  # it has ended meanwhile
    return count

def left():
    # A thread that has been joined is listed until the kernel has put it away.
    deadline = time.monotonic() + 60
    while threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    print(f"left:{threads()}", flush=True)

atexit.register(left)  # after the group's own, which is registered later
modecover.train("gan", "ring", steps=2, batch=8, width=4, evaluate_samples=50)
print(f"began:{threads() > 0}", flush=True)
"""


def test_processes_that_are_not_there_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        UserError, match=r"^The environment says WORLD_SIZE=2, and the other processes cannot be joined"
    ):
        join(torch.device("cpu"))


@pytest.mark.parametrize(
    ("wanted", "gpus", "sentence"),
    [
        ("cuda", 0, "The device cuda:0 cannot be used: this PyTorch"),
        ("cuda:7", 0, "The device cuda:7 cannot be used: this PyTorch"),
        ("cuda:1", 1, "There is no device cuda:1 for this process: there is one GPU, cuda:0."),
        ("cuda:7", 4, "There is no device cuda:7 for this process: the 4 GPUs are cuda:0 to cuda:3."),
        ("gpu", 0, "There is no kind of device called 'gpu': use auto, cpu, cuda or cuda:N."),
        ("meta", 0, "The device meta cannot be used here: this PyTorch"),
        ("lazy", 0, "The device lazy cannot be used here: this PyTorch"),
        ("privateuseone", 0, "The device privateuseone cannot be used here: this PyTorch"),
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


def test_a_rank_beyond_the_world_is_refused_rather_than_waited_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "5")
    with pytest.raises(UserError, match="RANK=5 of WORLD_SIZE=2, and ranks count from 0"):
        join(torch.device("cpu"))
