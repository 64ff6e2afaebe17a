"""An audit as JSON and back, and the thresholds of a continuous-integration job."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys

import audits
import numpy as np
import pytest

import modecover
from modecover.auditing.gates import KNOWN, Gate, check_gates, gate_numbers, parse_gate, require_possible
from modecover.auditing.results import FORMAT, Curves, Estimate, Metric
from modecover.auditing.run import Audit
from modecover.auditing.verdicts import NAMES, VERDICTS
from modecover.errors import UserError

# ---------------------------------------------------------------- JSON


def test_json_and_back_keeps_everything_but_the_pictures():
    made = audits.audit()
    again = Audit.from_json(made.to_json())
    assert again == made
    assert again.to_json() == made.to_json()
    assert again.gallery is None
    assert again.starved == {3: (7, 8, 9, 10), 10: (100, 101, 102)}
    assert again.metrics[-1].value == math.inf


def test_an_audit_without_curves_comes_back_too():
    bare = Audit(verdicts=audits.audit().verdicts, metrics=())
    assert Audit.from_json(bare.to_json()) == bare
    assert bare.curves == Curves()


def test_numbers_that_are_not_finite_are_words_of_strict_json():
    made = audits.audit(metrics=(Metric("a", "a", math.nan, -math.inf),))
    content = json.loads(made.to_json(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert (content["metrics"][0]["value"], content["metrics"][0]["null"]) == ("NaN", "-Infinity")
    assert math.isnan(Audit.from_json(made.to_json()).metrics[0].value)


def test_the_json_says_what_it_is_first():
    content = json.loads(audits.audit().to_json())
    assert list(content)[:3] == ["program", "kind", "version"]
    assert (content["program"], content["kind"], content["version"]) == ("modecover", "audit", FORMAT)
    assert content["verdicts"][0]["effect"] == {"value": 0.292, "low": pytest.approx(0.272), "high": 0.312}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: text[:-20], "This is no JSON"),
        (lambda text: "[1, 2]", "not an audit that modecover wrote"),
        (lambda text: text.replace('"kind": "audit"', '"kind": "run"'), "not an audit that modecover wrote"),
        (
            lambda text: text.replace('"version": 2', '"version": 3'),
            "format version 3, and this modecover reads version 2",
        ),
        (lambda text: text.replace('"metrics"', '"numbers"'), "This audit's JSON is damaged"),
        (lambda text: text.replace('"value": 0.292', '"value": "much"'), "This audit's JSON is damaged"),
    ],
)
def test_what_is_no_audit_is_refused_in_one_sentence(change, sentence):
    with pytest.raises(UserError, match=sentence):
        Audit.from_json(change(audits.audit().to_json()))


def test_save_goes_by_the_suffix_and_makes_the_folder(tmp_path):
    made = audits.audit()
    assert Audit.from_json(made.save(tmp_path / "new" / "audit.json").read_text("utf-8")) == made
    assert made.save(tmp_path / "audit.html").read_text("utf-8").startswith("<!doctype html>")
    with pytest.raises(UserError, match=r"audit.pdf: an audit is saved as .html"):
        made.save(tmp_path / "audit.pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        made.save(tmp_path / "file" / "audit.json")


def test_verdicts_can_be_asked_for_by_name():
    made = audits.audit()
    assert [verdict.name for verdict in made.firing] == ["missing mass", "low quality"]
    assert made.verdict("shrink").effect.value == 0.98
    with pytest.raises(UserError, match="no verdict 'beauty': choose missing mass"):
        made.verdict("beauty")
    assert repr(made) == (
        "Audit(generated.npz against digits: MISSING MASS 0.292 (0.004), imbalance 0.03 (0.004), shrink 0.98 (1), "
        "LOW QUALITY 0.113 (0.004), copying 0.001 (0.004))"
    )


def test_each_verdict_has_a_file_of_its_name():
    assert [judge.__module__.rpartition(".")[2] for judge in VERDICTS] == [name.replace(" ", "_") for name in NAMES]


def test_results_know_neither_the_page_nor_what_measures_them():
    code = "import sys, modecover.auditing.results; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"jinja2", "torch", "modecover.auditing.page", "modecover.auditing.run"} & set(loaded)


# ---------------------------------------------------------------- thresholds


@pytest.mark.parametrize(
    ("text", "side", "key", "bound"),
    [
        ("coverage=0.8", "under", "coverage", 0.8),
        ("missing = 5e-2", "over", "missing", 0.05),
        ("a=-1", "over", "a", -1),
    ],
)
def test_a_threshold_is_a_name_and_a_number(text, side, key, bound):
    assert parse_gate(text, side) == Gate(key, side, bound)


@pytest.mark.parametrize("text", ["coverage", "coverage=", "=0.8", "coverage=high", "coverage=nan", "coverage=inf"])
def test_what_is_no_threshold_is_refused_with_an_example(text):
    with pytest.raises(UserError, match=r"give a name and a number, such as coverage=0\.8"):
        parse_gate(text, "under")


@pytest.mark.parametrize(
    ("text", "side", "broken"),
    [
        ("coverage=0.7", "under", True),
        ("coverage=0.683", "under", False),
        ("coverage=0.6", "under", False),
        ("missing=0.05", "over", True),
        ("missing=0.292", "over", False),
        ("missing=0.3", "over", False),
        ("missing mass=0.3", "over", False),
        ("Low_Quality=0.1", "over", False),  # it may be .093
        ("Low_Quality=0.09", "over", True),
        ("vendi=11", "under", False),
        ("vendi=11", "over", True),
        ("shrink=0.99", "under", False),  # it may be 1
        ("shrink=1.01", "under", True),
    ],
)
def test_a_gate_breaks_on_its_own_side_only(text, side, broken):
    (outcome,) = check_gates(audits.audit(), [parse_gate(text, side)])
    assert outcome.broken == broken


def test_outcomes_say_the_number_and_the_bound():
    gates = [
        parse_gate("coverage=0.8", "under"),
        parse_gate("missing=0.5", "over"),
    ]
    assert [outcome.sentence for outcome in check_gates(audits.audit(), gates)] == [
        "coverage is 0.683, under 0.8",
        "missing is 0.292, under 0.5",
    ]
    (equal,) = check_gates(audits.audit(), [parse_gate("coverage=0.683", "under")])
    assert equal.sentence == "coverage is 0.683, at 0.683"


def test_what_could_not_be_measured_never_passes():
    made = audits.audit(metrics=(Metric("density", "density", math.nan),))
    for side in ("under", "over"):
        (outcome,) = check_gates(made, [parse_gate("density=0.5", side)])
        assert outcome.broken
        assert "could not be measured" in outcome.sentence


@pytest.mark.parametrize(
    ("text", "side", "sentence"),
    [
        ("covrage=0.5", "under", "no number 'covrage' (did you mean 'coverage'?)"),
        ("xyzzy=0.5", "under", "choose one of frechet, kernel"),
        ("coverage=0.8", "over", "would fail good samples: coverage is better higher, so say --fail-under"),
        ("missing=0.05", "under", "would fail good samples: missing-mass is better lower, so say --fail-over"),
        ("missing mass=0.05", "under", "would fail good samples: missing-mass is better lower, so say --fail-over"),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused_without_an_audit(text, side, sentence):
    with pytest.raises(UserError) as error:
        require_possible([parse_gate(text, side)])
    assert sentence in str(error.value)


def test_two_bounds_of_one_side_on_one_number_are_refused():
    gates = [parse_gate(text, "over") for text in ("missing mass=0.1", "shrink=2", "missing-mass=0.2")]
    with pytest.raises(UserError, match=r"missing-mass=0\.2 comes after --fail-over missing mass=0\.1: set one bound"):
        require_possible(gates)
    require_possible([gates[0], gates[1], parse_gate("shrink=0.5", "under")])


def test_a_gate_on_what_this_audit_does_not_know_is_refused():
    with pytest.raises(UserError, match="this audit has no number 'modes-20'; choose one of missing-mass, imbalance"):
        check_gates(audits.audit(), [parse_gate("modes-20=8", "under")])


def test_a_gate_on_what_no_audit_has_is_refused_beforehand():
    require_possible([parse_gate("Missing Mass=0.1", "over"), parse_gate("mode_score=2", "under")])
    with pytest.raises(UserError, match=r"an audit has no number 'coverag' \(did you mean 'coverage'"):
        require_possible([parse_gate("coverag=0.8", "under")])
    assert set(gate_numbers(audits.audit())) <= set(KNOWN)
    assert list(KNOWN)[-len(NAMES) :] == [name.replace(" ", "-") for name in NAMES]


def test_gates_can_be_set_on_metrics_and_on_effects_of_verdicts():
    numbers = gate_numbers(audits.audit())
    assert {"coverage", "frechet", "vendi", "missing-mass", "low-quality", "copying"} <= set(numbers)
    assert numbers["missing-mass"].value == 0.292


def test_thresholds_are_on_what_is_surely_beyond_real_data():
    """The effect of imbalance is .03, [.01, .05]."""
    outcomes = audits.audit().check(fail_over={"imbalance": 0.02, "missing_mass": 0.1})
    assert [outcome.broken for outcome in outcomes] == [False, True]
    assert outcomes[0].sentence == "imbalance is 0.03, over 0.02, but may be 0.01"


def test_a_verdict_is_found_by_any_spelling_that_a_threshold_takes():
    made = audits.audit()
    assert (
        made.verdict("missing_mass")
        is made.verdict("Missing-Mass")
        is made.verdict("missing mass")
        is made.verdict("Missing")
    )


def test_an_audit_with_unknown_numbers_equals_itself_read_again():
    unknown = dataclasses.replace(audits.audit().verdicts[0], effect=Estimate(math.nan, math.nan, math.nan))
    made = audits.audit(verdicts=(unknown,))
    assert Audit.from_json(made.to_json()) == made != audits.audit()


def test_an_audit_as_a_dictionary_a_table_and_a_notebook_shows_the_same_numbers():
    random = np.random.default_rng(0)
    found = modecover.audit(random.standard_normal((200, 2)), random.standard_normal((200, 2)))
    content = found.to_dict()
    assert content["verdicts"][0]["name"] == "missing mass" and content["version"] == FORMAT
    assert Audit.from_json(json.dumps(content)) == found
    pandas = pytest.importorskip("pandas")
    table = found.to_frame().set_index("key")
    assert isinstance(found.to_frame(), pandas.DataFrame)
    verdict = found.verdict("shrink")
    assert table.loc["shrink"].tolist() == ["verdict", *vars(verdict.effect).values(), verdict.null.value, False]
    assert len(table) == len(found.verdicts) + len(found.metrics)
    shown = found._repr_html_()
    assert shown.startswith("<iframe") and shown.count("<") == 2, "the page is escaped inside of its frame"
