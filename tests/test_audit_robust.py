"""The audit where tools break: collapsed generators, tiny and odd-shaped samples, ties, half precision, little memory.

Every case must end with all verdicts, JSON and a page; and where the failure is plain, with the verdict that names it.
"""

from __future__ import annotations

import io
import math
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from rich.console import Console

import modecover
from modecover.auditing import expected
from modecover.auditing.findings import METRICS
from modecover.auditing.gates import KNOWN, gate_numbers
from modecover.auditing.page import page
from modecover.auditing.run import Audit
from modecover.auditing.verdicts import NAMES
from modecover.cli.terminal import Display, headline
from modecover.errors import UserError
from modecover.features.kept import Kept

RANDOM = np.random.default_rng(0)
CENTRES = 6 * RANDOM.standard_normal((5, 4))


def mixture(count: int, seed: int, modes: int = 5) -> np.ndarray:
    """`count` points of a mixture in four dimensions, of its first `modes` modes."""
    random = np.random.default_rng(seed)
    return CENTRES[random.integers(0, modes, count)] + 0.5 * random.standard_normal((count, 4))


def audited(real: object, fake: object, **options: object) -> Audit:
    """An audit that is whole: all verdicts, sound numbers, JSON there and back, and a page."""
    found = modecover.audit(real, fake, **options)
    assert tuple(verdict.name for verdict in found.verdicts) == NAMES
    for verdict in found.verdicts:
        for estimate in (verdict.effect, verdict.null):
            assert math.isnan(estimate.value) or estimate.low <= estimate.value <= estimate.high, verdict
            if verdict.unit.startswith("share"):
                assert math.isnan(estimate.value) or 0 <= estimate.low <= estimate.high <= 1, verdict
        assert verdict.sentence.endswith(".")
    assert Audit.from_json(found.to_json()).to_json() == found.to_json()
    text = page(found)
    assert "</html>" in text
    for metric in found.metrics:
        if metric.key in ("precision", "recall", "coverage"):
            assert 0 <= metric.value <= 1
        if metric.key == "frechet":
            assert metric.value >= 0
    return found


def firing(found: Audit) -> set[str]:
    return {verdict.name for verdict in found.firing}


# ---------------------------------------------------------------- collapsed generators


def test_a_generator_of_one_point_misses_the_other_modes():
    found = audited(mixture(600, 0), np.repeat(mixture(1, 9), 500, axis=0))
    assert {"missing mass", "copying"} <= firing(found)
    assert found.verdict("missing mass").effect.value > 0.5


def test_a_generator_of_noise_far_away_makes_nothing_real():
    found = audited(mixture(600, 0), mixture(500, 1) + 1e4)
    assert "low quality" in firing(found)
    assert found.verdict("low quality").effect.value == 1


def test_where_it_cannot_be_told_how_often_modes_are_made_shares_do_not_tell_it():
    random, classes = np.random.default_rng(3), np.arange(600) % 3
    real = random.normal(size=(600, 2)) + 8 * classes[:, None]
    same = modecover.audit(real, real[::2] + 0.1 * random.normal(size=(300, 2)), labels=classes)
    assert same.verdict("imbalance").measured and len(same.classes) == 3
    noise = modecover.audit(real, random.normal(size=(500, 2)) + 1e4, labels=classes)
    assert not noise.verdict("imbalance").measured and noise.classes == () and noise.starved == {}


def test_duplicates_of_a_few_points_are_a_small_support():
    found = audited(mixture(600, 0), mixture(12, 1)[np.random.default_rng(2).integers(0, 12, 600)])
    assert "copying" in firing(found)


# ---------------------------------------------------------------- constant and nearly constant data


@pytest.mark.parametrize("dimensions", [2, 16])
@pytest.mark.parametrize("count", [1, 20])
def test_samples_that_vary_a_little_about_few_repeat_each_other(dimensions, count):
    """A collapsed generator's samples are all a little different, as a network's are: they repeat all the same."""
    random = np.random.default_rng(count)
    real, few = random.normal(size=(1500, dimensions)), random.normal(size=(count, dimensions))
    fake = few[random.integers(count, size=1500)] + 1e-3 * random.normal(size=(1500, dimensions))
    found = modecover.audit(real, fake).verdict("copying")
    assert found.fires and found.effect.value > 0.95
    assert abs(found.evidence["different samples"] - count) < 0.2 * count + 1
    assert "repeat another one, or nearly" in found.sentence


@pytest.mark.parametrize(("dimensions", "width"), [(1, 0.1), (2, 0.2), (16, 0.3), (64, 0.3)])
def test_a_mode_that_has_shrunk_does_not_repeat_its_samples(dimensions, width):
    random = np.random.default_rng(7)
    real, fake = random.normal(size=(1500, dimensions)), width * random.normal(size=(1500, dimensions))
    assert not modecover.audit(real, fake).verdict("copying").fires


@pytest.mark.parametrize("count", [24, 40, 300])
def test_noise_in_many_dimensions_does_not_repeat_itself(count):
    """Axes that were fitted to real rows spread these, and hardly any others."""
    random = np.random.default_rng(count)
    for seed in range(3):
        real, fake = random.integers(0, 256, (2, count, 3, 16, 16), dtype=np.uint8)
        assert not modecover.audit(real, fake, seed=seed).verdict("copying").fires


def test_counts_repeat_each_other_as_the_data_do():
    random = np.random.default_rng(8)
    real, fake = random.poisson(3, size=(2, 1500, 2))
    assert not modecover.audit(real, fake).verdict("copying").fires


def test_constant_data_made_constantly_are_no_failure_of_quality_or_modes():
    assert not {"missing mass", "low quality", "imbalance"} & firing(audited(np.zeros((300, 3)), np.zeros((200, 3))))


@pytest.mark.parametrize("fake", [np.ones((200, 3)), mixture(200, 1)[:, :3]])
def test_samples_that_are_not_the_one_value_of_constant_data_are_no_crash(fake):
    audited(np.zeros((300, 3)), fake)


@pytest.mark.parametrize("fake", [np.ones((200, 3)), mixture(200, 1)[:, :3]])
def test_samples_that_are_not_the_one_value_of_constant_data_are_of_low_quality(fake):
    assert "low quality" in firing(audited(np.zeros((300, 3)), fake))


def test_samples_far_from_all_data_miss_everything_and_share_no_bin_with_it():
    found = audited(mixture(300, 0), 0.1 * np.random.default_rng(1).normal(size=(300, 4)) + 90)
    assert {"missing mass", "low quality"} <= firing(found)
    assert found.verdict("missing mass").effect.value > 0.9
    assert found.verdict("low quality").effect.value == 1
    assert not found.verdict("shrink").fires


def test_a_constant_feature_beside_others_changes_nothing_much():
    wide = [np.hstack([mixture(600, seed), np.full((600, 2), 3.0)]) for seed in (0, 1)]
    assert not firing(audited(*wide))


def test_duplicate_rows_on_both_sides_are_no_failure():
    values = np.random.default_rng(3).integers(0, 4, size=(2, 600, 2)).astype(float)
    found = audited(values[0], values[1])
    assert not {"missing mass", "imbalance", "low quality"} & firing(found)


# ---------------------------------------------------------------- sizes


def test_twenty_samples_of_each_are_enough_for_an_answer():
    found = audited(mixture(20, 0), mixture(20, 1))
    assert "missing mass" not in firing(found), "20 samples cannot show that something is missing"


@pytest.mark.parametrize(("real", "fake"), [(20, 300), (300, 20), (10, 10)])
def test_sides_of_different_and_smallest_sizes(real, fake):
    audited(mixture(real, 0), mixture(fake, 1))


@pytest.mark.parametrize(("real", "fake"), [(9, 50), (50, 1)])
def test_too_few_samples_are_refused_with_the_number_needed(real, fake):
    with pytest.raises(UserError, match="samples; an audit needs at least 10"):
        modecover.audit(mixture(real, 0), mixture(fake, 1))


def test_fewer_samples_than_dimensions_are_no_crash():
    random = np.random.default_rng(0)
    found = audited(random.standard_normal((60, 300)), random.standard_normal((50, 300)))
    assert not {"imbalance", "low quality", "copying"} & firing(found)


def test_fewer_samples_than_dimensions_do_not_look_shrunk():
    random = np.random.default_rng(0)
    found = audited(random.standard_normal((60, 300)), random.standard_normal((50, 300)))
    assert "shrink" not in firing(found)


def bimodal(seed: int) -> np.ndarray:
    """800 numbers about 5 and -5."""
    random = np.random.default_rng(seed)
    return np.where(random.random(800) < 0.5, 5.0, -5.0) + 0.3 * random.standard_normal(800)


def test_one_feature():
    assert not {"missing mass", "imbalance", "shrink", "low quality"} & firing(audited(bimodal(0), bimodal(1)))


def test_one_feature_does_not_look_copied():
    assert "copying" not in firing(audited(bimodal(0), bimodal(1)))


# ---------------------------------------------------------------- types and values


def test_half_precision_gives_the_answer_of_the_same_numbers_in_full():
    half = [torch.tensor(mixture(300, seed)).half() for seed in (0, 1)]
    single = audited(*(rows.float() for rows in half))
    assert [v.effect for v in audited(*half).verdicts] == [v.effect for v in single.verdicts]


@pytest.mark.parametrize("scale", [1e-6, 1e5])
def test_the_unit_of_the_data_does_not_matter(scale):
    plain, scaled = (audited(s * mixture(400, 0), s * mixture(400, 1, modes=3)) for s in (1.0, scale))
    assert firing(plain) == firing(scaled)
    for name in ("imbalance", "shrink", "low quality", "copying"):
        effects = [a.verdict(name).effect.value for a in (plain, scaled)]
        assert effects[1] == pytest.approx(effects[0], abs=0.02), name


def test_the_same_seed_gives_the_same_audit():
    first, again = (audited(mixture(300, 0), mixture(300, 1), seed=4) for _ in range(2))
    assert first.verdicts == again.verdicts
    assert first.metrics == again.metrics


@pytest.mark.parametrize("side", ["real", "generated"])
def test_rows_that_are_not_finite_are_refused_by_number(side):
    sides = [mixture(50, 0), mixture(50, 1)]
    sides[side == "generated"][13, 2] = np.nan
    with pytest.raises(UserError, match=rf"The {side} samples .* row 13 is the first of 1 with NaN"):
        modecover.audit(*sides)


def test_sides_of_different_shape_are_refused():
    with pytest.raises(UserError, match="give both with as many columns"):
        modecover.audit(mixture(50, 0), mixture(50, 1)[:, :2])


# ---------------------------------------------------------------- memory

MANY = """
import resource
import numpy as np
import modecover

random = np.random.default_rng(0)
real, fake = (random.standard_normal((100_000, 16)).astype(np.float32) for _ in range(2))
modecover.audit(real[:200], fake[:200])  # what libraries take does not count
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = modecover.audit(real, fake, samples=3000, memory=20_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, found.inputs["real"]["of"])
print(max(missed.index for missed in found.missed) if found.missed else 3000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
def test_a_hundred_thousand_samples_are_audited_by_a_part_of_them_in_little_memory():
    """All pairs of 3,000 rows would be 72 MB in double precision, and three such tables are looked at."""
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kilobytes, of, highest = map(int, done.stdout.split())
    assert of == 100_000
    assert kilobytes < 125_000
    assert highest >= 3000, "rows are numbered as in the source"


LARGE = """
import resource
import sys
import numpy as np
import torch
import modecover
from modecover.data import Dataset

torch.set_num_threads(1)


class Drawn(Dataset):
    \"\"\"Images of 12 modes in noise, each drawn when it is fetched: nothing is in memory before it is audited.\"\"\"

    shape, name, fingerprint = (3, 64, 64), "drawn", "0"

    def __init__(self, seed, modes, size):
        self.seed, self.modes, self.size = seed, modes, size

    def fetch(self, keys):
        images = torch.empty(len(keys), *self.shape)
        for image, key in zip(images, keys.tolist()):
            random = torch.Generator().manual_seed(10**6 * self.seed + key)
            mode = torch.Generator().manual_seed(int(torch.randint(self.modes, (1,), generator=random)))
            coarse = torch.randn(3, 8, 8, generator=mode) + 0.4 * torch.randn(3, 8, 8, generator=random)
            image[:] = coarse.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
            image.add_(torch.randn(self.shape, generator=random), alpha=0.2)
        return images.mul_(30).add_(128).round_().clamp_(0, 255).div_(127.5).sub_(1)


def audited(size, memory):
    return modecover.audit(Drawn(1, 12, size), Drawn(2, 10, size), samples=size, memory=memory)


small = np.random.default_rng(0).integers(0, 256, (2, 40, 3, 32, 32), dtype=np.uint8)
modecover.audit(small[0], small[1])  # what libraries take does not count
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
little = audited(3000, "100MB")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000)
for audit in (little, audited(3000, "1GB")):
    print(audit.to_json().replace("\\n", ""))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
def test_large_images_are_audited_within_the_memory_that_was_given_and_the_verdicts_are_the_same():
    """As float32 the images of one side would take 147 MB. It is about 80 MB; the blocks in work do not depend on what
    is given, nor what the C library keeps of freed memory, so that a quarter is allowed beyond it."""
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    peak, *texts = done.stdout.splitlines()
    assert float(peak) < 125
    little, much = map(Audit.from_json, texts)
    for one, other in zip(little.verdicts, much.verdicts, strict=True):
        assert (one.name, one.fires, one.sentence) == (other.name, other.fires, other.sentence)
        assert one.effect.value == pytest.approx(other.effect.value, abs=1e-6)
    assert little.verdict("missing mass").fires


def test_a_long_audit_tells_beforehand_how_long(monkeypatch, capsys):
    told: list[tuple[str, float]] = []
    monkeypatch.setattr(expected, "WORTH_TELLING", 0.0)
    monkeypatch.setattr(expected, "FEWEST_ROWS", 100)
    modecover.audit(mixture(200, 0), mixture(200, 1), progress=lambda *stage: told.append(stage))
    (first,) = [stage for stage, _ in told if stage.startswith("about ")]
    assert re.fullmatch(r"about \d+ (seconds|minutes|hours) left", first)
    assert all(0 <= share <= 1 for _, share in told)
    with Display() as display:
        display.auditing("audit", first, 0.0)
    assert f"audit: {first}" in capsys.readouterr().err


def test_the_time_left_is_told_in_words(monkeypatch):
    rows = Kept(np.zeros((20_000, 2), np.float32))
    for seconds, words in {
        5: None,
        33: "about 30 seconds left",
        250: "about 4 minutes left",
        9000: "about 2 hours left",
    }.items():
        monkeypatch.setattr(expected, "_seconds", lambda *_, seconds=seconds: seconds - 1.0)
        assert expected.time_left(rows, (rows,), (), 1.0, memory=10**9) == words
        few = rows.part(np.arange(10))
        assert expected.time_left(few, (few,), (), 1.0, memory=10**9) is None


def test_every_metric_can_be_a_threshold():
    for real in ("ring", "digits"):
        found = audited(real, real, samples=300)
        assert set(gate_numbers(found)) <= set(KNOWN)
        assert {m.key: m.better for m in found.metrics} == {m.key: METRICS[m.key] for m in found.metrics}


def test_copies_of_training_rows_that_were_not_looked_at_are_not_ruled_out():
    random = np.random.default_rng(0)
    train, real = random.normal(size=(4_000, 8)), random.normal(size=(1_000, 8))
    copies = train[random.permutation(4_000)[:1_000]]
    some = modecover.audit(real=real, fake=copies, train=train, samples=1_000).verdict("copying")
    assert some.fires and 0.15 < some.effect.value < 0.35
    assert "the 1,000 of 4,000 training samples looked at: more may be copies of the rest" in some.sentence
    every = modecover.audit(real=real, fake=copies, train=train, samples=4_000).verdict("copying")
    assert every.effect.value > 0.95 and "are copies of training samples." in every.sentence
    none = modecover.audit(real=real, fake=random.normal(size=(1_000, 8)), train=train, samples=1_000)
    assert (
        "No more of the samples are copies of the 1,000 of 4,000 training samples looked at"
        in none.verdict("copying").sentence
    )


def test_what_could_not_be_measured_is_not_called_sound():
    random = np.random.default_rng(0)
    few = modecover.audit(real=random.normal(size=(1_000, 2)), fake=random.normal(size=(10, 2)))
    assert few.untold and not any(verdict.fires for verdict in few.untold)
    names = ", ".join(verdict.name for verdict in few.untold)
    assert headline(few) == f"No failure found ({len(NAMES) - len(few.untold)} verdicts). Not enough to tell: {names}."
    assert page(few).count('<span class="chip">cannot tell</span>') == len(few.untold)
    assert "There was not enough to tell of" in page(few)


@pytest.mark.parametrize("kind", ["points", "two generators", "classifier", "network"])
def test_progress_is_of_the_whole_and_never_goes_back(kind):
    told: list[tuple[str, float]] = []
    tell = lambda *stage: told.append(stage)
    names = (" of A", " of B") if kind == "two generators" else ("",)
    if kind == "two generators":
        modecover.compare_generators(mixture(100, 0), mixture(100, 1), mixture(100, 2), progress=tell)
    elif kind == "points":
        modecover.audit(mixture(100, 0), mixture(100, 1), train=mixture(100, 2), progress=tell)
    else:
        images = np.random.default_rng(0).integers(0, 256, size=(160, 8, 8), dtype=np.uint8)
        options = {"features": "random-convolutions"} if kind == "network" else {"labels": np.arange(80) % 2}
        modecover.audit(images[:80], images[80:], progress=tell, **options)
    stages, shares = [stage for stage, _ in told], [share for _, share in told]
    assert shares == sorted(shares) and 0 <= shares[0] < 0.01 and 0.9 < shares[-1] < 1
    assert stages[0] == "reading samples" and {f"missing mass{name}" for name in names} <= set(stages)


def test_a_bar_keeps_its_place_while_its_stages_change():
    shown = Display(Console(file=io.StringIO(), force_terminal=True))
    with shown:
        shown.auditing("audit", "distances", 0.4)
        (first,) = shown.progress.tasks
        shown.auditing("audit", "missing mass", 1.0)
        (task,) = shown.progress.tasks
    assert task is first and task.description == "audit (missing mass)" and task.completed == 100
