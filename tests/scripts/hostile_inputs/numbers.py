"""Numbers without bound, of the wrong sign, or none at all, wherever the command takes one."""

from __future__ import annotations

from collections.abc import Iterator

from hostile_inputs.record import Input, command
from hostile_inputs.things import arrays, copied

NINES = "9" * 23

NO_NUMBERS = ("", "nan", "inf", "-inf", "0x10", "1;2", "1e", "--5", "1,000", "five", "1e400", "\0", "½")

WHOLE = {
    "--steps": ("0", "-1", "1e300", NINES, "1.5"),
    "--batch": ("0", "-1", "1e9", "1e18", "1e300", NINES),
    "--latent": ("0", "-1", "1e9", "1e18", "1e300", NINES),
    "--width": ("0", "-1", "1e9", "1e18", "1e300", NINES),
    "--evaluate-samples": ("0", "-1", "1e12", "1e18", "1e300", NINES),
    "--seeds": ("0", "-1", "1e6", "1e18", "1e300", NINES),
    "--seed": ("-1", "1.5"),
    "--accumulate": ("0", "-1", "7", "1e18"),
    "--workers": ("-1", "1e9", NINES),
    "--log-every": ("0", "-1", "0.5"),
    "--sample-every": ("-1", "0.5"),
    "--evaluate-every": ("-1",),
    "--checkpoint-every": ("0", "-1"),
    "--freeze-bn-from": ("-1",),
}
"""Flags of `train` that take a whole number, each with values that no run can have."""

REAL = {
    "--minutes": ("0", "-1", "1e-400", "nan"),
    "--lr": ("0", "-1", "1e-400"),
    "--lr-G": ("0", "-2e-4"),
    "--lr-D": ("-0.0",),
    "--beta1": ("1", "-0.1", "2"),
    "--beta2": ("1", "1.5"),
    "--ema": ("1", "-1"),
    "--clip": ("-1",),
    "--weight-decay-E": ("-1",),
}

LARGE_BUT_TRUE = {
    "--steps": ("1e9", "1e18"),
    "--seed": ("1e18", "9223372036854775807", "1e300", NINES),
    "--lr": ("1e300", "1e30"),
    "--clip": ("1e300", "1e-300"),
    "--weight-decay-E": ("1e300",),
    "--log-every": ("1e18", NINES),
    "--checkpoint-every": ("1e18", NINES),
    "--freeze-bn-from": ("1e18", NINES),
    "--minutes": ("1e300", "1e-300"),
    "--seeds": ("3000",),
    "--latent": ("1e6",),
}
"""What may be taken (and may then fail in training, which is exit code 1) or refused, but in a sentence."""

SCHEDULES = (
    *("0.5:", ":1", ":::", "~", "1~~0", "0:1,0:2", "1:1,0.5:0", "nan", "0:nan", "-1", "2:1", "0:1e309", "0:1,", ",0:1"),
    *("0:1;1:2", "-0.1:1", "1e-400:-1", "0:1,1:", "0 : 1 , x", "", " ", "0:1 1:0", "0:0x1", "inf:1", "0:inf"),
)

BUILT_IN = (
    *("ring:modes=99999999999999999999", "ring:modes=0", "ring:modes=-8", "ring:modes=1e3", "ring:modes=8.5"),
    *("ring:modes=1e9", "ring:std=1e300", "ring:radius=1e-300", "ring:radius=1e300", "ring:radius=nan"),
    *(
        "ring:radius=inf",
        "ring:std=nan",
        "ring:std=-1",
        "ring:std=0",
        "ring:std=inf",
        "ring:modes",
        "ring:=8",
        "ring:8",
    ),
    *("ring:modes=8=9", "ring:std=1e-320", "ring:modes=1000000000", "grid:side=100000", "grid:side=0", "grid:step=0"),
    *("grid:step=-1", "grid:step=1e300", "grid:step=1e-300", "grid:side=99999999999999999999", "circle:modes=0"),
    *("circle:radius=1e39", "stacked-mnist:count=99999999999999", "stacked-mnist:count=0", "stacked-mnist:count=-1"),
    *("stacked-mnist:seed=-1", "stacked-mnist:k=0", "stacked-mnist:k=10", "stacked-mnist:k=-1", "stacked-mnist:base=x"),
    *(
        "stacked-mnist:fresh=maybe",
        "stacked-mnist:base=cifar10",
        "digits:x=1",
        "digits:5",
        "ring:,,x,,",
        "ring:modes=٨٨x",
    ),
    *("ring:rädius=1", "mnist:x", "cifar10:9"),
)

SAMPLE = {
    "--count": ("0", "-1", "1e18", "1e300", "1.5", NINES, "nan"),
    "--seed": ("-1", "1.5", "x"),
    "--of-seed": ("7", "-1", NINES, "x"),
}

AUDIT = {
    "--samples": ("0", "-1", "9", "1.5", "nan", "x", ""),
    "--seed": ("-1", "0.5", "x"),
    "--memory": ("0", "-1", "-1GB", "1..2GB", "1ZB", "GB", "", "nan", "infGB", "1e999GB", "1 B B", "0.1B"),
    "--fail-under": (
        *("x", "coverage", "coverage=", "coverage=nan", "coverage=1e999", "=0.5", "coverage=0.5=0.6", "nonexistent=1"),
        *("coverage=0,8", "missing=0.05", "=", "", " = ", "coverage==1", "covrage=0.8"),
    ),
    "--fail-over": ("coverage=0.8", "missing", "missing=-inf", "missing=five", "missing mass"),
    "--of-seed": ("-1", "x"),
}

DATA_FLAGS = {
    "--size": ("0", "-1", "1e9", "1e18", "20000", NINES, "1.5", "x"),
    "--channels": ("0", "2", "4", "-1", "1e18", "x"),
    "--memory-limit": ("-1", "nan", "x"),
    "--layout": ("zz", "", "NHCW", "nhwc,nchw"),
}


def inputs() -> Iterator[Input]:
    train = "train gan --data points.npy --out new"
    for flag, values in WHOLE.items():
        for value in values:
            yield command(f"train {flag} {value[:12]}", [*train.split(), f"{flag}={value}"], make=arrays)
    for flag in ("--batch", "--seed", "--lr", "--ema"):
        for value in NO_NUMBERS:
            yield command(f"train {flag} {value!r}", [*train.split(), f"{flag}={value}"], make=arrays)
    for flag, values in REAL.items():
        for value in values:
            yield command(f"train {flag} {value}", [*train.split(), f"{flag}={value}"], make=arrays)
    for flag, values in LARGE_BUT_TRUE.items():
        for value in values:
            words = [*train.split(), "--width", "4", "--batch", "8", f"{flag}={value}"]
            words += ["--dry-run"] if flag in ("--steps", "--seeds", "--latent") else ["--steps=2"]
            yield command(f"large {flag} {value[:12]}", words, make=arrays, right="either", codes=(0, 1))
    for value in ("1e300", NINES):
        yield command(f"dry run, --steps {value[:9]}", [*train.split(), "--dry-run", f"--steps={value}"], make=arrays)
    for flag in ("--lr-schedule", "--instance-noise"):
        for value in SCHEDULES:
            yield command(f"{flag} {value!r}", [*train.split(), "--steps=2", f"{flag}={value}"], make=arrays)
    yield command("--instance-noise 1e308", [*train.split(), "--steps=2", "--instance-noise=1e308"], make=arrays)
    many = ",".join(["0:1"] * 50_000)
    yield command("a schedule of 50,000 equal points", [*train.split(), f"--lr-schedule={many}"], make=arrays)
    for source in BUILT_IN:
        yield command(f"check {source[:40]}", ["data", "check", source])
    for source in ("ring:std=1e300", "grid:side=100000", "stacked-mnist:count=99999999999999"):
        yield command(f"train on {source}", ["train", "gan", "--data", source, "--steps", "2", "--out", "new"])
    for flag, values in SAMPLE.items():
        for value in values:
            yield command(f"sample {flag} {value[:12]}", ["sample", "run", f"{flag}={value}"], make=copied("run"))
    for flag, values in AUDIT.items():
        for value in values:
            words = ["audit", "--real", "points.npy", "--fake", "fake.npy", f"{flag}={value}"]
            # Which way a metric is better is known when it has been measured: the page is then there.
            yield command(f"audit {flag} {value!r}", words, make=arrays, changes=("audit.html",))
    for value in ("1e9", "1e18", NINES):
        words = ["audit", "--real", "points.npy", "--fake", "fake.npy", f"--samples={value}"]
        yield command(f"audit --samples {value[:9]}", words, make=arrays, right="either")
        words = ["audit", "--real", "ring", "--fake", "points.npy", f"--samples={value}"]
        yield command(f"audit an endless set, --samples {value[:9]}", words, make=arrays)
    words = "audit --real points.npy --fake fake.npy --memory 999999999999TB"
    yield command("audit --memory 999999999999TB", words, make=arrays, right="either")
    for flag, values in DATA_FLAGS.items():
        for value in values:
            # Digits have no split and no layout, and may ignore none of them.
            yield command(f"check digits {flag} {value!r}", ["data", "check", "digits", f"{flag}={value}"])
            yield command(
                f"check points {flag} {value!r}", ["data", "check", "points.npy", f"{flag}={value}"], make=arrays
            )
    for value in ("1e9", "1e300", "0"):
        words = ["data", "check", "images.npy", f"--memory-limit={value}"]
        yield command(f"--memory-limit {value}", words, make=arrays, right="either")
    for words in ("evaluate ring-run --samples 0", "evaluate ring-run --samples 1e18", "evaluate ring-run --seed -1"):
        yield command(words, words, make=copied("ring-run"))
    yield command("reproduce --workers 0", "reproduce ring-ldmgan --workers 0")
    yield command("reproduce --workers x", "reproduce ring-ldmgan --workers x")
    yield command("reproduce --workers -1", "reproduce ring-ldmgan --workers -1")
