"""argparse with one-sentence errors, near-miss suggestions, and flags in any spelling (`--lr_E`, `--lr-e`)."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Sequence
from typing import NoReturn

from modecover.errors import UserError


class Failure(Exception):
    """Nothing the user typed is wrong, but the work failed. The message is one sentence, `code` the exit code."""

    def __init__(self, sentence: str, code: int = 1):
        super().__init__(sentence)
        self.code = code


def known(word: str, choices: Iterable[str], noun: str, where: str) -> str:
    """`word` if it is one of `choices`; else a `UserError` with the nearest, or with the command that lists them."""
    names = list(choices)
    if word in names:
        return word
    near = difflib.get_close_matches(word.lower(), names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"`{where}` lists them all."
    raise UserError(f"There is no {noun} {word!r}: {hint}")


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UserError` instead of printing its usage and leaving the process."""

    def __init__(self, prog: str, **options: object):
        options.setdefault("formatter_class", _Formatter)
        super().__init__(prog=prog, allow_abbrev=False, add_help=False, **options)  # type: ignore[arg-type]  # passed on
        self.add_argument("-h", "--help", action="help", help="show this page")

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The arguments in `words`; a `UserError` where they are not as declared."""
        arguments, extra = self.parse_known_args(self._joined([self._spelled(word) for word in words]))
        if extra:
            raise UserError(f"{extra[0]!r} is one word too many: `{self.prog} --help` shows what goes where.")
        return arguments

    def error(self, message: str) -> NoReturn:
        message = message.removeprefix("argument ")
        message = message.replace("expected one argument", "a value is missing")
        message = message.replace("the following arguments are required:", "missing:")
        raise UserError(f"{message[0].upper()}{message[1:].rstrip('.')}. `{self.prog} --help` shows what goes where.")

    def _joined(self, words: list[str]) -> list[str]:
        """`--memory -1GB` as `--memory=-1GB`: argparse takes a word with a dash for a flag, and misses a value."""
        joined: list[str] = []
        for word in words:
            action = self._option_string_actions.get(joined[-1]) if joined else None
            if action is not None and action.nargs is None and re.match(r"-\.?\d", word):
                joined[-1] += f"={word}"
            else:
                joined.append(word)
        return joined

    def _spelled(self, word: str) -> str:
        """`word`, and where it is a flag the flag's own spelling; unknown flags are refused here."""
        flag, equals, value = word.partition("=")
        if not flag.startswith("--") or flag == "--":
            return word
        flags = [name for name in self._option_string_actions if name.startswith("--")]
        dashed = flag.replace("_", "-")
        same = [name for name in flags if name == dashed] or [f for f in flags if f.lower() == dashed.lower()]
        if len(same) != 1:
            known(dashed, flags, "flag", f"{self.prog} --help")
        return same[0] + equals + value


class _Formatter(argparse.HelpFormatter):
    """Wide enough for flags like --evaluate-samples, with the help beside them."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=32)
