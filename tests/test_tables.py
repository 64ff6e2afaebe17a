"""Tables of numbers, words, truth values and empty cells: their coordinates, the way back, training, and audits."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import modecover
from modecover.auditing.evidence import repetitions
from modecover.auditing.run import Audit
from modecover.cli import main
from modecover.data import Dataset, open_data
from modecover.data.columns import Column
from modecover.errors import UserError
from modecover.runs.rows import column_facts, columns_from_facts, frame_of

pd = pytest.importorskip("pandas")

SMALL = pd.DataFrame(
    {
        "age": [20, 40, 60, 80] * 4,
        "pay": [1.25, None, 3.75, 2.5] * 4,
        "drink": ["low", "high", None, "low"] * 4,
        "smoker": [True, False, False, False] * 4,
        "constant": [7] * 16,
    }
)


def quiet(source: Any, **options: Any) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return open_data(source, **options)


def audited(real: Any, fake: Any, **options: Any) -> Audit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return modecover.audit(real, fake, **options)


def points(data: Dataset) -> torch.Tensor:
    assert data.size is not None
    return data.exact(torch.arange(data.size))


def people(count: int, seed: int) -> Any:
    """Rows in which nearly only the old are widowed."""
    random = np.random.default_rng(seed)
    age = np.clip(random.normal(45, 16, count).round(), 17, 90).astype(int)
    shares = np.stack([np.where(age < 30, 0.7, 0.2), np.where(age < 30, 0.25, 0.55), np.full(count, 0.1)], axis=1)
    shares = np.concatenate([shares, np.where(age > 60, 0.6, 0.02)[:, None]], axis=1)
    shares /= shares.sum(axis=1, keepdims=True)
    place = (shares.cumsum(axis=1) < random.random((count, 1))).sum(axis=1)
    frame = pd.DataFrame({"age": age, "married": np.array(["single", "married", "divorced", "widowed"])[place]})
    frame["pay"] = np.exp(random.normal(10, 0.4, count)).round(2)
    frame["citizen"] = random.random(count) < 0.8
    frame.loc[random.random(count) < 0.08, "pay"] = np.nan
    return frame


REAL = people(2500, 0)
FAKE = people(6000, 1)
ALIKE = FAKE[:2500]
GONE = (FAKE["married"] == "widowed") & (FAKE["age"] > 60)
DROPPED = FAKE[~GONE][:2500]
SHARE = float(((REAL["married"] == "widowed") & (REAL["age"] > 60)).mean())


def test_coordinates_are_those_by_hand() -> None:
    data = quiet(SMALL)
    assert data.columns == (
        *("age", "pay", "pay is missing", "drink=high", "drink=low", "drink is missing", "smoker", "constant"),
    )
    wanted = [
        [20, 1.25, 0, 0, 1, 0, 1, 7],
        [40, 2.5, 1, 1, 0, 0, 0, 7],  # an empty number is the mean of the others, (1.25 + 3.75 + 2.5) / 3
        [60, 3.75, 0, 0, 0, 1, 0, 7],
        [80, 2.5, 0, 0, 1, 0, 0, 7],
    ]
    assert torch.allclose(points(data).double(), torch.tensor(wanted * 4, dtype=torch.float64))
    assert data.encoding is not None
    seen = data.encoding.scaling.apply(points(data)).double()
    # Ages 20, 40, 60, 80: mean 50, variance 500. Pay: variance of 1.25, 3.75, 2.5 around 2.5 is 3.125 / 3.
    assert seen[:4, 0].tolist() == pytest.approx([-30 / 500**0.5, -10 / 500**0.5, 10 / 500**0.5, 30 / 500**0.5])
    assert seen[:4, 1].tolist() == pytest.approx([-1.25 / (3.125 / 3) ** 0.5, 0, 1.25 / (3.125 / 3) ** 0.5, 0])
    assert seen[:, 7].tolist() == [0] * 16
    # Words have shares 1/4, 1/2, 1/4: two rows differ with a chance of 5/8. Truth values: variance 3/16.
    assert (seen[0, 3:6] - seen[1, 3:6]).square().sum().item() == pytest.approx(2 / (5 / 8))
    assert (seen[0, 6] - seen[1, 6]).item() == pytest.approx(1 / (3 / 16) ** 0.5)
    for block in (slice(0, 1), slice(3, 6), slice(6, 7)):  # each column has the variance of one standardised number
        assert seen[:, block].var(dim=0, unbiased=False).sum().item() == pytest.approx(1, rel=1e-5)


def test_a_rare_word_is_no_outlier() -> None:
    frame = pd.DataFrame({"x": np.arange(200.0), "kind": ["usual"] * 198 + ["rare"] * 2})
    encoding = quiet(frame).encoding
    assert encoding is not None
    seen = encoding.scaling.apply(points(quiet(frame)))
    assert (seen[0, 1:] - seen[-1, 1:]).norm().item() == pytest.approx(8**0.5)


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    for frame in (SMALL, REAL):
        data = quiet(frame)
        assert data.encoding is not None
        columns = columns_from_facts(json.loads(json.dumps(column_facts(data.encoding.columns))), data.shape[0])
        assert columns == data.encoding.columns
        back = frame_of(columns, points(data))
        back.to_csv(tmp_path / "back.csv", index=False)
        frame.to_csv(tmp_path / "frame.csv", index=False)
        assert (tmp_path / "back.csv").read_text() == (tmp_path / "frame.csv").read_text()
        again = quiet(back, encoding=data.encoding)
        assert torch.equal(points(again), points(data))


def test_what_lies_between_becomes_the_nearest_row() -> None:
    columns = (Column("n", "numbers", (), True, 1), Column("w", "words", ("a", "b"), True), Column("s", "truth values"))
    rows = torch.tensor([[1.26, 0.4, 0.2, 0.3, 0.1, 0.6], [9.0, 0.7, 0.1, 0.2, 0.5, -1.0]])
    frame = frame_of(columns, rows)
    assert frame["n"][0] == 1.3 and frame["n"].isna().tolist() == [False, True]
    assert frame["w"][0] == "b" and frame["w"].isna().tolist() == [False, True]
    assert frame["s"].tolist() == [True, False]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "pictures"},
        {"words": []},
        {"words": "ab"},
        {"decimals": 99},
        {"name": "n"},
        {"gaps": 1},
        {"name": None},
    ],
)
def test_facts_of_columns_that_cannot_be_are_refused(change: dict[str, Any]) -> None:
    facts = [*column_facts([Column("n", "numbers"), Column("w", "words", ("a", "b"), True)])]
    assert columns_from_facts(facts, 4) is not None
    for wrong, dimension in (([facts[0], {**facts[1], **change}], 4), (facts, 5), (7, 4), ([3], 4)):
        with pytest.raises(UserError, match="columns do not describe"):
            columns_from_facts(wrong, dimension)


def test_every_form_of_a_table_gives_the_same_audit(tmp_path: Path) -> None:
    real, fake = REAL[:600].reset_index(drop=True), DROPPED[:600].reset_index(drop=True)
    real.to_csv(tmp_path / "real.csv", index=False)
    fake.to_csv(tmp_path / "fake.tsv", index=False, sep="\t")
    (tmp_path / "bars.csv").write_text((tmp_path / "real.csv").read_text().replace(",", ";"))
    forms = [(real, fake[["citizen", "pay", "married", "age"]]), (tmp_path / "real.csv", tmp_path / "fake.tsv")]
    forms.append((tmp_path / "bars.csv", lambda count: fake[:count]))
    try:
        real.to_parquet(tmp_path / "real.parquet")
        fake.to_parquet(tmp_path / "fake.parquet")
        forms.append((tmp_path / "real.parquet", tmp_path / "fake.parquet"))
    except ImportError:  # pyarrow is an extra
        pass
    found = [audited(real, fake, samples=600).verdicts for real, fake in forms]
    assert all(verdicts == found[0] for verdicts in found)
    first = quiet(real)
    assert all(quiet(real).fingerprint == first.fingerprint for real, _ in forms)


def test_what_is_missed_is_named_with_its_share() -> None:
    verdict = audited(REAL, DROPPED).verdict("missing mass")
    assert verdict.fires and verdict.effect.low < SHARE < verdict.effect.high
    assert "no samples with married = widowed and age > 60, as " in verdict.sentence
    assert verdict.evidence["real samples with married = widowed and age > 60"] == pytest.approx(SHARE)
    assert verdict.evidence["samples with this"] == 0


def test_the_page_shows_missed_rows_cell_by_cell(tmp_path: Path) -> None:
    page = audited(REAL, DROPPED, samples=1500).save(tmp_path / "a.html").read_text("utf-8")
    assert "married widowed, pay " in page and "<th>cells</th>" in page


def test_a_copula_makes_rows_of_nobody_and_a_bootstrap_copies() -> None:
    """Generators of tables that are not ours, judged by the verdicts that are theirs; how many of the copula's rows
    cannot be is counted from how the people were made, and there are more whose income cannot be."""
    import census

    random = np.random.default_rng(3)
    real = census.people(1500, random)
    of_copula = census.copula(real, random)
    low = modecover.audit(real, of_copula, seed=3).verdict("low quality")
    assert 0.5 < census.impossible(of_copula).mean() <= low.effect.high and low.fires
    assert not census.impossible(real).any()
    again = modecover.audit(real, census.bootstrap(real, random), seed=3)
    assert [verdict.name for verdict in again.verdicts if verdict.fires] == ["copying"] and again.verdict(
        "copying"
    ).effect.value > 0.9


def test_nothing_is_said_of_samples_of_the_same_law() -> None:
    assert audited(REAL, ALIKE).firing == ()


def test_empty_cells_that_are_never_made_are_named() -> None:
    verdict = audited(REAL, ALIKE[ALIKE["pay"].notna()]).verdict("missing mass")
    assert verdict.fires and "no samples with pay is missing" in verdict.sentence


def test_crowded_and_lacking_modes_are_named() -> None:
    random = np.random.default_rng(5)

    def groups(shares: list[float], seed: int) -> Any:
        kind = np.random.default_rng(seed).choice(["a", "b", "c"], 2000, p=shares)
        return pd.DataFrame({"kind": kind, "x": random.normal(size=2000) + 3 * (kind == "b")})

    verdict = audited(groups([0.4, 0.4, 0.2], 0), groups([0.2, 0.4, 0.4], 1)).verdict("imbalance")
    assert verdict.fires and verdict.effect.value == pytest.approx(0.2, abs=0.05)
    assert "most in excess: kind = c (" in verdict.sentence and "most lacking: kind = a (" in verdict.sentence


def test_a_column_of_small_numbers_counts_as_much_as_one_of_large_ones() -> None:
    random = np.random.default_rng(0)
    real, fake = (pd.DataFrame({"a": random.normal(0, 1e4, 9000), "b": random.random(9000)}) for _ in range(2))
    fake = fake[fake["b"] < 0.75]
    real, fake = real[:3000], fake[:3000]
    with pytest.warns(UserWarning, match=r"compared standardised.*standard deviations run from 0.28. \('b'\)"):
        verdict = modecover.audit(real, fake).verdict("missing mass")
    assert verdict.effect.value == pytest.approx(0.25, abs=0.03) and "no samples with b > 0.75" in verdict.sentence
    assert not audited(real, fake, scaling="none").verdict("missing mass").fires
    arrays = audited(real.to_numpy(), fake.to_numpy(), scaling="columns")
    assert arrays.verdict("missing mass").effect.value == pytest.approx(0.25, abs=0.03)
    assert arrays.settings["scaling"] == "columns"
    with pytest.raises(UserError, match="no units of its own"):
        modecover.audit("digits", "digits", scaling="columns")


def test_columns_of_one_scale_are_left_as_they_are() -> None:
    rows = np.random.default_rng(0).normal(size=(400, 2)) * [1, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = modecover.audit(pd.DataFrame(rows[:200], columns=["x", "y"]), rows[200:])
    assert frame.settings["scaling"] == "none"
    assert frame.verdicts == audited(rows[:200], rows[200:]).verdicts


def test_a_table_of_words_alone_is_no_repetition() -> None:
    def words(seed: int) -> Any:
        random = np.random.default_rng(seed)
        return pd.DataFrame({name: random.choice(list("abcde"), 3000, p=[0.4, 0.3, 0.15, 0.1, 0.05]) for name in "xyz"})

    real, fake = words(0), words(1)
    assert audited(real, fake).firing == ()
    verdict = audited(real, fake[~((fake["x"] == "b") & (fake["z"] == "a"))]).verdict("missing mass")
    assert verdict.fires and "no samples with x = b and z = a, as 1" in verdict.sentence


def test_repetitions_are_excused_as_far_as_real_rows_repeat_each_other() -> None:
    real = np.array([[0.0], [0.0], [1.0], [2.0]], np.float32)
    fake = np.array([[0.0]] * 6 + [[1.0]] * 3 + [[5.0]] * 2, np.float32)
    sizes = np.bincount(repetitions(real, fake))
    assert sorted(sizes.tolist()) == [1] * 6 + [2, 3]  # up to 2 * 2 * 11 / 4 zeros, but no ones or fives


# ---------------------------------------------------------------- generated tables that are unlike the real one


def test_a_column_that_is_lacking_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"The generated samples cannot be used: .* has no column 'age', .* it has marr"
    ):
        audited(REAL, ALIKE.drop(columns="age"))


def test_an_array_beside_a_table_with_words_is_refused() -> None:
    with pytest.raises(UserError, match=r"8 numbers, the generated ones 4 .*: give both alike, a table beside a table"):
        audited(REAL, np.zeros((100, 4)))


def test_words_that_the_real_table_has_not_stand_apart() -> None:
    fake = ALIKE.replace({"married": {"divorced": "engaged"}})
    encoding = quiet(REAL).encoding
    assert encoding is not None
    with pytest.warns(UserWarning, match=r"in the column 'married' \d+ rows hold .* nowhere else \(engaged\)"):
        data = open_data(fake, encoding=encoding)
    engaged = points(data)[torch.from_numpy((fake["married"] == "engaged").to_numpy(copy=True))]
    assert len(engaged) and not engaged[:, 1:5].any()
    assert "no samples with married = divorced" in audited(REAL, fake).verdict("missing mass").sentence


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"age": ["old"] * 2500}, "'age' holds words, such as 'old', where numbers belong"),
        ({"age": [None, 1.0] * 1250}, r"'age' is empty in 1,250 rows .row 0 is the first., and was never"),
        (
            {"citizen": [0, 2] * 1250},
            "'citizen': it holds numbers beside 0 and 1|'citizen' holds numbers beside 0 and 1",
        ),
        ({"age": [np.datetime64("2020-01-01")] * 2500}, "'age' holds datetime64, which cannot be compared"),
    ],
)
def test_cells_of_another_kind_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        audited(REAL, ALIKE.assign(**change))


def test_data_sets_of_other_words_are_read_anew() -> None:
    fake = quiet(ALIKE[ALIKE["married"] != "divorced"])
    verdict = audited(quiet(REAL), fake).verdict("missing mass")
    assert "no samples with married = divorced" in verdict.sentence


# ---------------------------------------------------------------- hostile files


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty: give a first line of names"),
        ("\n\n", "is empty: give a first line of names"),
        ("a,b\n", "is empty: give at least one row"),
        ("a,b,a\n1,2,3\n", r"has two columns of one name .a."),
        ("1,2\n3,4\n", "its first line holds numbers"),
        ("a,b\n1,2,3\n4,5,6\n", "rows have more cells than its 2 names"),
        ("a,b\n1,2\n4,5,6\n", "is damaged or not what its name says"),
        ("a,b\n,\n,\n", "is empty: no column holds anything"),
        ("a\n1\ninf\n", "row 1 is the first of 1 with NaN or infinity"),
        ("a\n" + "\n".join(f"word {n}" for n in range(50)), "50 different words in 50 rows"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        open_data(tmp_path / "x.csv")


def test_columns_without_a_name_or_a_cell_are_left_out_and_told(tmp_path: Path) -> None:
    frame = REAL.assign(nothing=np.nan)
    frame.to_csv(tmp_path / "x.csv")  # with the index, which has no name
    with pytest.warns(UserWarning, match="left out") as told:
        data = open_data(tmp_path / "x.csv")
    said = " ".join(str(one.message) for one in told)
    assert "the column without a name is left out" in said and "'nothing' is empty in every row and left out" in said
    assert points(data).shape == points(quiet(REAL)).shape


def test_cells_that_say_nothing_are_empty(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("\ufeffa, b\n1, ?\nNA, yes\n3,\n" + "2,yes\n3,no\n" * 4, encoding="utf-8")
    data = quiet(tmp_path / "x.csv")
    assert data.columns == ("a", "a is missing", "b=no", "b=yes", "b is missing")
    assert points(data)[:3, 1].tolist() == [0, 1, 0] and points(data)[:3, 4].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns of one name"),
        (pd.DataFrame({"a": []}), "is empty"),
        (pd.DataFrame(), "is empty"),
        (pd.Series([1.0]), "is a Series; give a DataFrame"),
        (pd.DataFrame({"a": [[1], [2]]}), "no column of pictures or numbers"),
        (pd.DataFrame({"a": [2**60, 1]}), r"beyond 2\^53"),
    ],
)
def test_frames_that_are_no_tables_are_refused(frame: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_data(frame)


def test_columns_of_every_type_of_pandas() -> None:
    frame = pd.DataFrame(
        {
            "coded": pd.Categorical(["a", "b", None, "a"] * 3),
            "whole": pd.array([1, None, 3, 4] * 3, dtype="Int64"),
            "maybe": pd.array([True, None, False, True] * 3, dtype="boolean"),
            "objects": np.array([1, 2.5, None, 4] * 3, dtype=object),
            3: [0.5] * 12,
        }
    )
    data = quiet(frame)
    assert data.columns == (
        *("coded=a", "coded=b", "coded is missing", "whole", "whole is missing", "maybe", "maybe is missing"),
        *("objects", "objects is missing", "3"),
    )


# ---------------------------------------------------------------- training


def test_a_model_of_a_table_gives_its_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    REAL.to_csv(tmp_path / "real.csv", index=False)
    run = str(tmp_path / "run")
    words = ["train", "gan", "--data", str(tmp_path / "real.csv"), "--steps", "3", "--batch", "16", "--out", run]
    assert main(words) == 0
    assert main(["sample", run, "--count", "50", "--out", str(tmp_path / "rows.csv")]) == 0
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert list(rows.columns) == list(REAL.columns) and len(rows) == 50
    assert rows["age"].dtype == np.int64 and rows["citizen"].dtype == bool
    assert set(rows["married"].dropna()) <= set(REAL["married"])
    model = modecover.load(run)
    assert model.sample_table(50).equals(rows) or model.sample_table(50).to_csv() == rows.to_csv()
    assert model.sample(2).shape == (2, 8)
    assert main(["sample", run, "--count", "5"]) == 0 and (Path(run) / "samples.csv").is_file()
    # Its rows are audited as rows of the table, be it of another order or with other words.
    other = REAL[["married", "citizen", "age", "pay"]]
    assert audited(other[other["married"] != "divorced"], model, samples=300).verdict("missing mass").measured
    assert main(["evaluate", run]) == 0
    capsys.readouterr()


def test_a_model_of_no_table_has_no_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = modecover.train("gan", "ring", steps=1, batch=4, out=tmp_path / "run")
    with pytest.raises(UserError, match="no table: call sample instead"):
        run.models[0].sample_table(3)
    assert main(["sample", str(tmp_path / "run"), "--out", str(tmp_path / "x.csv")]) == 2
    assert "no table" in capsys.readouterr().err


def test_the_block_of_the_page_on_audits_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[1] / "docs" / "judge.md").read_text("utf-8")
    block = page.split("## Tables")[1].split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    REAL.to_csv("adult.csv", index=False)
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        exec(block.replace("steps=2_000", "steps=3"), names)
    assert names["rows"].shape == (1000, 4) and names["audit"].verdict("missing mass").fires
