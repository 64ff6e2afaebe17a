"""Checkpoints: what is read is what was written, bit for bit, or it is known as damaged."""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor

from modecover.errors import UserError
from modecover.files import Json
from modecover.runs import checkpoint
from modecover.runs.checkpoint import digest as tensor_digest
from modecover.runs.checkpoint import load_newest, save


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def bits(tensor: Tensor) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())


def small(value: float = 1.0) -> dict[str, Tensor]:
    return {"w": torch.full((3, 2), value), "n": torch.tensor(7)}


DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"]
DTYPES += ["float16", "bfloat16", "float32", "float64", "complex64", "float8_e4m3fn"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_comes_back_bit_for_bit(tmp_path: Path, dtype: str) -> None:
    kind: torch.dtype = getattr(torch, dtype)
    raw = torch.arange(48, dtype=torch.uint8).mul(5)
    value = (raw > 99 if kind is torch.bool else raw.view(kind)).reshape(2, -1)
    save(tmp_path, 3, {"value": value, "scalar": value[0, 1], "empty": value[:0]}, {})
    loaded = load_newest(tmp_path)
    assert loaded is not None
    for name, expected in {"value": value, "scalar": value[0, 1], "empty": value[:0]}.items():
        assert loaded.tensors[name].dtype is kind
        assert loaded.tensors[name].shape == expected.shape
        assert bits(loaded.tensors[name]) == bits(expected)


def test_nan_payloads_and_signed_zero_survive(tmp_path: Path) -> None:
    odd = torch.tensor([0x7FC00001, -0x80000000, 0x7F800000, 1], dtype=torch.int32).view(torch.float32)
    save(tmp_path, 0, {"odd": odd}, {"best": float("nan"), "worst": float("-inf")})
    loaded = load_newest(tmp_path)
    assert loaded is not None and bits(loaded.tensors["odd"]) == bits(odd)
    assert loaded.record["best"] != loaded.record["best"] and loaded.record["worst"] == float("-inf")


def test_shared_strided_and_differentiable_tensors_are_stored_as_values(tmp_path: Path) -> None:
    base = torch.arange(24.0, requires_grad=True)
    grid = base.detach().reshape(2, 3, 2, 2).to(memory_format=torch.channels_last)
    tensors = {"a": base, "b": base[4:9], "t": base.reshape(4, 6).T, "one": torch.ones(()).expand(5), "grid": grid}
    tensors["conjugate"] = torch.tensor([1 + 2j]).conj()
    save(tmp_path, 1, tensors, {})
    loaded = load_newest(tmp_path)
    assert loaded is not None
    assert loaded.tensors["b"].tolist() == [4, 5, 6, 7, 8]
    assert loaded.tensors["t"][2].tolist() == [2, 8, 14, 20]
    assert loaded.tensors["conjugate"].tolist() == [1 - 2j]
    assert all(torch.equal(loaded.tensors[name], tensors[name]) for name in tensors)
    loaded.tensors["a"].zero_()
    assert loaded.tensors["b"].tolist() == [4, 5, 6, 7, 8]
    again = load_newest(tmp_path)
    assert again is not None and torch.equal(again.tensors["a"], base)


def test_record_and_step_come_back(tmp_path: Path) -> None:
    record: dict[str, Json] = {"seeds": [0, 1], "names": {"ü\n\"'": None}, "big": 2**63, "x": 0.1}
    path = save(tmp_path / "new" / "folder", 12, small(), record)
    assert path.name == "checkpoint-000000012.safetensors"
    loaded = load_newest(path.parent)
    assert loaded is not None and (loaded.step, loaded.record) == (12, record)


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert load_newest(tmp_path) is None
    assert load_newest(tmp_path / "absent") is None


def test_the_last_two_are_kept_and_strangers_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-notes.txt").write_text("mine")
    (tmp_path / ".checkpoint-000000001.safetensors.99.partial").write_text("half")
    for step in (5, 10, 999_999_999, 1_000_000_000, 2_000_000_000):
        save(tmp_path, step, small(step), {})
    assert names(tmp_path) == [
        "checkpoint-1000000000.safetensors",
        "checkpoint-2000000000.safetensors",
        "checkpoint-notes.txt",
    ]


def test_saving_below_a_damaged_newest_keeps_the_good_ones(tmp_path: Path) -> None:
    for step in (10, 20):
        save(tmp_path, step, small(step), {})
    (tmp_path / "checkpoint-000000020.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match="000000020"):
        load_newest(tmp_path)
    save(tmp_path, 15, small(15), {})
    assert names(tmp_path) == ["checkpoint-000000010.safetensors", "checkpoint-000000015.safetensors"]


def test_digest_ignores_order_and_nothing_else() -> None:
    def digest(tensors: dict[str, Tensor], step: int = 1, record: str = "{}") -> str:
        return tensor_digest(tensors, step, record)

    one, two = torch.ones(4), torch.zeros(4)
    same = digest({"a": one, "b": two})
    assert digest({"b": two, "a": one}) == same
    others = [
        digest({"a": two, "b": one}),
        digest({"a": one, "c": two}),
        digest({"a": one.reshape(2, 2), "b": two}),
        digest({"a": one.view(torch.int32), "b": two}),
        digest({"a": one, "b": -two}),
        digest({"a": one, "b": two}, step=2),
        digest({"a": one, "b": two}, record="[]"),
    ]
    assert len({same, *others}) == 8


def test_any_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """One bit at every byte of the file, header and body: never taken for intact."""
    save(tmp_path, 1, {"w": torch.tensor([1.5, -2.0])}, {"k": 1})
    newest = save(tmp_path, 2, {"w": torch.tensor([2.5, -3.0])}, {"k": 2})
    good = newest.read_bytes()
    for place in range(len(good)):
        damaged = bytearray(good)
        damaged[place] ^= 1 << (place % 8)
        newest.write_bytes(damaged)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loaded = load_newest(tmp_path)
        assert loaded is not None and loaded.step == 1, f"byte {place} of {len(good)}: {good[place : place + 1]!r}"
        assert len(caught) == 1


@pytest.mark.parametrize("left", [0, 1, 7, 8, 60, -1])
def test_a_cut_file_falls_back(tmp_path: Path, left: int) -> None:
    save(tmp_path, 1, small(1), {"k": 1})
    newest = save(tmp_path, 2, small(2), {"k": 2})
    newest.write_bytes(newest.read_bytes()[:left])
    with pytest.warns(UserWarning, match=r"checkpoint-000000002.*Going on from checkpoint-000000001"):
        loaded = load_newest(tmp_path)
    assert loaded is not None and loaded.record == {"k": 1} and loaded.tensors["w"][0, 0] == 1


def test_a_renamed_checkpoint_is_damaged(tmp_path: Path) -> None:
    save(tmp_path, 2, small(), {}).rename(tmp_path / "checkpoint-000000003.safetensors")
    with pytest.raises(UserError, match="damaged"):
        load_newest(tmp_path)


def test_all_damaged_is_an_error_with_a_cure(tmp_path: Path) -> None:
    for step in (1, 2):
        save(tmp_path, step, small(), {}).write_bytes(b"\0" * 64)
    with pytest.raises(UserError, match=r"(?s)000000002.*000000001.*backup"):
        load_newest(tmp_path)


def test_another_version_is_refused_by_both_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1, small(), {})
    monkeypatch.setattr(checkpoint, "FORMAT", 12)
    save(tmp_path, 2, small(), {})
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"version 12, and this modecover reads version 1\b"):
        load_newest(tmp_path)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    proof = tmp_path / "executed"
    poison = f"cos\nsystem\n(S'touch {proof}'\ntR.".encode()
    for name in ("checkpoint-000000009.safetensors", "checkpoint-000000010.pt", "pytorch_model.bin"):
        (tmp_path / name).write_bytes(poison)
    with pytest.raises(UserError, match="damaged"):
        load_newest(tmp_path)
    assert not proof.exists()
    pickle.loads(poison)  # the poison works: it is only never read
    assert proof.exists()


def test_interrupted_before_the_rename_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1, small(1), {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 2, small(2), {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_killed_at_the_rename_leaves_the_old_ones_and_the_next_save_cleans_up(tmp_path: Path) -> None:
    for step in (1, 2):
        save(tmp_path, step, small(step), {})
    program = (
        "import os, signal, sys, torch\n"
        "from modecover.runs.checkpoint import save\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "save(sys.argv[1], 3, {'w': torch.ones(3)}, {})\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=_environment(), check=False)
    assert done.returncode == -signal.SIGKILL
    assert sum(name.endswith(".partial") for name in names(tmp_path)) == 1
    loaded = load_newest(tmp_path)
    assert loaded is not None and loaded.step == 2
    save(tmp_path, 3, small(3), {})
    assert names(tmp_path) == ["checkpoint-000000002.safetensors", "checkpoint-000000003.safetensors"]


def test_killed_while_the_library_writes_leaves_nothing_that_the_next_save_does_not_clear(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, threading, time, torch\n"
        "from pathlib import Path\n"
        "from modecover.runs.checkpoint import save\n"
        "def watch():\n"
        "    while not any(path.is_file() for path in Path(sys.argv[1]).rglob('*')):\n"
        "        pass\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "threading.Thread(target=watch, daemon=True).start()\n"
        "save(sys.argv[1], 1, {'w': torch.ones(30_000_000)}, {})\n"
        "time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=_environment(), check=False)
    assert done.returncode == -signal.SIGKILL and names(tmp_path)
    save(tmp_path, 2, small(), {})
    assert [name for name in names(tmp_path) if not name.startswith("checkpoint-")] == []


def test_a_full_disk_is_a_sentence_and_loses_nothing(tmp_path: Path) -> None:
    save(tmp_path, 1, small(1), {})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # as a full disk: a write fails half way
    try:
        with pytest.raises(UserError, match=r"step 2 .* cannot be written .*earlier checkpoints are intact"):
            save(tmp_path, 2, {"big": torch.zeros(100_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == ["checkpoint-000000001.safetensors"]
    loaded = load_newest(tmp_path)
    assert loaded is not None and loaded.step == 1


def test_an_unwritable_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="make the folder writable"):
        save(tmp_path / "file" / "checkpoints", 1, small(), {})


def test_older_files_go_only_after_the_new_one_is_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (1, 2):
        save(tmp_path, step, small(step), {})
    seen: list[list[str]] = []
    real = Path.unlink

    def watched(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith("checkpoint-"):
            seen.append(names(tmp_path))
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", watched)
    save(tmp_path, 3, small(3), {})
    assert seen == [[f"checkpoint-{step:09d}.safetensors" for step in (1, 2, 3)]]


def test_header_is_readable_json_for_other_tools(tmp_path: Path) -> None:
    data = save(tmp_path, 4, small(), {"method": "gan"}).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert json.loads(header["__metadata__"]["record"]) == {"method": "gan"}
    assert header["w"]["shape"] == [3, 2]


def _environment() -> dict[str, str]:
    source = Path(checkpoint.__file__).resolve().parents[2]
    return {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
