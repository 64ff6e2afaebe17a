"""A model from somebody else: its config.json and its weights, changed in every way."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hostile_inputs.record import Input, command
from hostile_inputs.things import both, copied

CONFIG, WEIGHTS = "run/model/config.json", "run/model/model.safetensors"

VALUES: dict[str, Any] = {
    "None": None,
    "a list": [],
    "a dictionary": {},
    "a number": 7,
    "a negative": -1,
    "1e9": 10**9,
    "a text": "x",
    "nothing": "",
    "True": True,
    "a float": 1.5,
    "a list of lists": [[1]],
    "nested": [[[[[[[[[[1]]]]]]]]]],
}

KEYS = (
    "library",
    "format",
    "architecture",
    "architecture.G",
    "architecture.G.class",
    "architecture.G.arguments",
    "prior",
    "prior.law",
    "prior.dimension",
    "data",
    "data.shape",
    "method",
)
"""What must be as it was: each is replaced by each value, and left out."""

SOFT = (
    "data.name",
    "data.fingerprint",
    "data.value_range",
    "data.opened",
    "method.name",
    "method.settings",
    "training",
    "training.seed",
)
"""What is only told: strange values are refused or shown, never followed."""


def config(change: Callable[[dict[str, Any]], object], model: str = "run") -> Callable[[], None]:
    """A run's model with its config changed."""

    def make() -> None:
        copied(model)()
        path = Path(model, "model/config.json")
        content = json.loads(path.read_text())
        new = change(content)
        path.write_text(json.dumps(content if new is None else new))

    return make


def put(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    *above, last = key.split(".")

    def change(content: dict[str, Any]) -> None:
        for part in above:
            content = content[part]
        content[last] = value

    return change


def out(key: str) -> Callable[[dict[str, Any]], None]:
    *above, last = key.split(".")

    def change(content: dict[str, Any]) -> None:
        for part in above:
            content = content[part]
        content.pop(last, None)

    return change


def text(content: str | bytes) -> Callable[[], None]:
    def make() -> None:
        copied("run")()
        Path(CONFIG).write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


def weights(change: Callable[[dict[str, Any]], None], model: str = "run") -> Callable[[], None]:
    """A run's model with its tensors changed, and its digest taken away."""

    def make() -> None:
        from safetensors.torch import load_file, save_file

        copied(model)()
        path = Path(model, "model/model.safetensors")
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path, metadata={"format": "pt"})

    return make


def content(data: bytes) -> Callable[[], None]:
    def make() -> None:
        copied("run")()
        Path(WEIGHTS).write_bytes(data)

    return make


def instead(path: str, replace: Callable[[str], None]) -> Callable[[], None]:
    def make() -> None:
        copied("run")()
        os.remove(path)
        replace(path)

    return make


def header(text: str, body: bytes = b"") -> bytes:
    data = text.encode()
    return len(data).to_bytes(8, "little") + data + body


def inputs() -> Iterator[Input]:
    import torch

    ring = "ring-run"

    def sample(name: str, make: Callable[[], None], right: str = "refused", model: str = "run") -> Input:
        return command(name, f"sample {model} --count 20 --out new.npy", make=make, right=right)

    for key in KEYS:
        yield sample(f"without {key}", config(out(key)))
        for name, value in VALUES.items():
            same = (key, name) in {("architecture.G.arguments", "None")}
            right = "either" if (key, name) in _HARMLESS or same else "refused"
            yield sample(f"{key} is {name}", config(put(key, value)), right)
    for key in SOFT:
        yield sample(f"without {key}", config(out(key)), "either")
        for name, value in VALUES.items():
            yield sample(f"{key} is {name}", config(put(key, value)), "either")
    for name in ("../x", "a.b", "forward", "", "training", "modules", "G.0", "__class__", "é", "x" * 10_000, "\0"):
        change = lambda content, name=name: content["architecture"].update({name: content["architecture"]["G"]})
        yield sample(f"a network called {name[:12]!r} too", config(change))
    for name, value in {
        "width": 10**9,
        "hidden": [10**9],
        "latent": 10**12,
        "shape": [10**6, 10**6],
        "nosuch": 1,
    }.items():
        yield sample(f"an argument {name} of {value}", config(put(f"architecture.G.arguments.{name}", value)))
    yield sample("arguments of a list of sizes 1e9", config(_all_arguments(10**9)))
    yield sample("arguments that are all text", config(_all_arguments("x")))
    yield sample("arguments that are all None", config(_all_arguments(None)))
    yield sample("arguments that are all lists", config(_all_arguments([3])))
    yield sample("arguments that are all negative", config(_all_arguments(-1)))
    yield sample("arguments that are all true", config(_all_arguments(True)))
    yield sample("a prior of another dimension", config(put("prior.dimension", 5)))
    yield sample("a shape of another dimension", config(put("data.shape", [3])))
    yield sample("a shape of images", config(put("data.shape", [1, 16, 16])))
    for name in (
        "builtins.exit",
        "os._exit",
        "torch.nn.Linear",
        "MLPEncoder",
        "MLPDiscriminator",
        "GenerativeModel",
        "mlpgenerator",
    ):
        yield sample(f"a network of class {name}", config(put("architecture.G.class", name)))
    for name, raw in {
        "nothing": "",
        "a text": "text",
        "a list": "[]",
        "null": "null",
        "cut off": '{"library": "modecover", "format": 1,',
        "10,000 levels": "[" * 10_000 + "]" * 10_000,
        "100,000 levels of dictionaries": '{"a":' * 100_000 + "1" + "}" * 100_000,
        "a number of 5,000 digits": '{"library": "modecover", "format": ' + "9" * 5000 + "}",
        "NaN": '{"library": "modecover", "format": NaN}',
        "another library": '{"library": "torch"}',
        "a byte-order mark": "\ufeff{}",
        "twice the same key": '{"library": "modecover", "library": 1}',
    }.items():
        yield sample(f"config.json is {name}", text(raw))
    yield sample("config.json is no UTF-8", text(b"\xff\xfe{}"))
    yield sample("config.json is UTF-16", text('{"library": "modecover"}'.encode("utf-16")))
    yield sample("config.json of 200 MB", text(b'{"library": "' + b"x" * 200_000_000 + b'"}'))
    for path in (CONFIG, WEIGHTS):
        short = Path(path).name
        yield sample(f"{short} is a pipe", instead(path, os.mkfifo))
        yield sample(f"{short} is a folder", instead(path, os.mkdir))
        yield sample(f"{short} is absent", instead(path, lambda _: None))
        yield sample(f"{short} is a link to /dev/zero", instead(path, lambda at: os.symlink("/dev/zero", at)))
        yield sample(f"{short} is a link to itself", instead(path, lambda at: os.symlink(os.path.basename(at), at)))
    for name, data in {
        "nothing": b"",
        "text": b"text",
        "a pickle": b"\x80\x04\x95\x0c\0\0\0",
        "a zip of torch.save": b"PK\x03\x04" + b"\0" * 100,
        "a header that never ends": (2**62).to_bytes(8, "little") + b"{}",
        "a header of 100 MB that is not there": (10**8).to_bytes(8, "little"),
        "a header that is no JSON": header("text"),
        "a header of a list": header("[]"),
        "a header 10,000 deep": header("[" * 10_000),
        "offsets beyond the end": header('{"G.x":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'),
        "offsets that overlap": header(
            '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            b"\0" * 4,
        ),
        "an unknown type": header('{"a":{"dtype":"Q9","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4),
        "a shape that overflows": header(
            '{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}', b"\0" * 4
        ),
    }.items():
        yield sample(f"weights of {name}", content(data))
    yield sample("weights NaN", weights(lambda t: [value.fill_(float("nan")) for value in t.values()]))  # type: ignore[arg-type]
    yield sample("one weight NaN", weights(_one(float("nan"))))
    yield sample("one weight infinite", weights(_one(float("inf"))))
    yield sample("complex weights", weights(_as(lambda t: t.to(torch.complex64))))
    yield sample("integer weights", weights(_as(lambda t: t.to(torch.int64))))
    yield sample("truth values", weights(_as(lambda t: t > 0)))
    yield sample("float8 weights", weights(_as(lambda t: t.to(torch.float8_e4m3fn))), "either")
    yield sample("half weights", weights(_as(lambda t: t.half())), "either")
    yield sample("transposed weights", weights(_as(lambda t: t.T.contiguous() if t.ndim == 2 else t)))
    yield sample("weights of another name", weights(lambda t: t.update(x=t.pop(next(iter(t))))))
    yield sample("one weight missing", weights(lambda t: t.pop(next(iter(t)))))  # type: ignore[arg-type]
    yield sample("one weight too many", weights(lambda t: t.update(x=torch.ones(1))))
    yield sample("no weights", weights(lambda t: t.clear()))
    yield sample("huge weights", weights(lambda t: [value.fill_(1e38) for value in t.values()]))  # type: ignore[arg-type]
    yield command("evaluate: weights NaN", "evaluate ring-run", make=weights(_one(float("nan")), ring))
    yield command("audit: weights NaN", "audit --real points.npy --fake run", make=weights(_one(float("nan"))))
    yield from _data_names(ring)


_HARMLESS = {
    ("architecture.G.arguments", "a dictionary"),
    *((key, name) for key in ("method", "data") for name in ()),
    ("method", "a dictionary"),
}
"""Changes that leave a model that can be used, or may."""


def _all_arguments(value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        arguments = content["architecture"]["G"]["arguments"]
        for name in arguments:
            arguments[name] = value

    return change


def _one(value: float) -> Callable[[dict[str, Any]], None]:
    def change(tensors: dict[str, Any]) -> None:
        first = next(tensor for name, tensor in tensors.items() if name.startswith("G") and tensor.is_floating_point())
        first.view(-1)[0] = value

    return change


def _as(cast: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    def change(tensors: dict[str, Any]) -> None:
        tensors.update({name: cast(tensor) for name, tensor in tensors.items() if tensor.is_floating_point()})

    return change


SECRETS = (
    "secret.npy",
    "../here/secret.npy",
    "./secret.npy",
    "secret",
    "pipe.npy",
    "/etc/passwd",
    "/dev/zero",
    "hf:a/b",
    "~/x.npy",
)


def _data_names(ring: str) -> Iterator[Input]:
    """Names of data in a model: never opened as a path when a picture is drawn."""

    def place(name: str) -> Callable[[], None]:
        def make() -> None:
            import numpy as np

            config(put("data.name", name), ring)()
            np.save("secret.npy", np.full((9, 2), np.nan))
            Path("secret").mkdir()
            os.mkfifo("pipe.npy")

        return make

    for name in (*SECRETS, "ring:modes=1e9", "ring:x", "\0", "a\nb", "$x^$", "x" * 5000, "grid:side=100000"):
        check = "Path('new.png').is_file()"
        words = f"sample {ring} --count 20 --out new.png"
        yield command(f"data.name is {name[:20]!r}", words, make=place(name), right="accepted", check=check)
        change = both(place(name), lambda: None)
        yield command(
            f"data.name is {name[:20]!r}, .npy",
            f"sample {ring} --count 20 --out new.npy",
            make=change,
            right="accepted",
        )
    opened = {
        "a pipe": {"source": "pipe"},
        "a device": {"source": "/dev/zero"},
        "a list": {"source": []},
        "nothing": {},
        "an unknown option": {"source": "ring", "nosuch": 1},
        "a device option": {"source": "ring", "device": "meta"},
        "a text": "ring",
        "code": {"source": "builtins:exit"},
        "numbers": {"source": 5},
    }
    for name, value in opened.items():
        make = both(config(put("data.opened", value), ring), lambda: os.mkfifo("pipe"))
        yield command(f"evaluate: data.opened is {name}", f"evaluate {ring} --no-audit", make=make, right="either")
        yield command(
            f"sample: data.opened is {name}", f"sample {ring} --count 9 --out a.png", make=make, right="either"
        )
