"""What a `UserError` says stands on one line, can be printed, and has an end, whatever it quotes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from modecover.cli import main as command
from modecover.errors import LONGEST, UserError, about


@pytest.mark.parametrize(
    ("quoted", "shown"),
    [
        ("a\nb.png", r"a\nb.png"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("\udcff.npy", r"\udcff.npy"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("läufe/模型", "läufe/模型"),
    ],
)
def test_what_does_not_print_is_shown_by_its_code(quoted, shown):
    error = UserError(f"{quoted} cannot be read; repair it.")
    assert str(error) == f"{shown} cannot be read; repair it."
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # as experiments send it to the process that asked


def test_a_long_sentence_keeps_its_cause_and_its_cure():
    sentence = str(UserError(f"there is no file {'x' * 5000}; check the path."))
    assert len(sentence) == LONGEST
    assert sentence.startswith("there is no file xxx") and sentence.endswith("xxx; check the path.")
    assert " ... " in sentence


def test_a_command_quotes_a_long_or_broken_word_on_one_line(capsys):
    for word in ("x" * 5000, "a\nb", "[/red]\x1b[31m"):
        assert command(["data", "check", word]) == 2
        error = capsys.readouterr().err
        assert error.startswith("modecover: ") and error.count("\n") == 1 and len(error) <= LONGEST + 20
        assert "\x1b" not in error


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("it is empty; give rows.", "x/y is empty; give rows."),
        ("the column 'a' is empty.", "x/y: the column 'a' is empty."),
        ("x/y is empty.", "x/y is empty."),
        ("x/y/7.png cannot be read.", "x/y/7.png cannot be read."),
        ("x/yz is empty.", "x/y: x/yz is empty."),
        ("row 3 of x/y cannot be read.", "row 3 of x/y cannot be read."),
    ],
)
def test_what_a_sentence_is_about_is_said_once(sentence, told):
    with pytest.raises(UserError) as caught, about("x/y"):
        raise UserError(sentence)
    assert str(caught.value) == told
    with pytest.raises(KeyError), about("x"):
        raise KeyError("other errors pass")


def test_a_closed_stdout_and_a_locale_of_ascii_are_borne(tmp_path: Path) -> None:
    np.save(tmp_path / "läufe-模.npy", np.random.default_rng(0).standard_normal((50, 2)))
    command = f"{sys.executable} -m modecover"
    plain = {**os.environ, "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for words, environment in (("list >&-", None), ("data check ./läufe-模.npy", plain)):
        line = f"{command} {words}"
        done = subprocess.run(line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr == "", done.stderr
