"""What a hostile input is, and what is right for it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Right = Literal["refused", "accepted", "either"]
Make = Callable[[], None]
"""Fills the working folder, which is fresh."""


@dataclass(frozen=True)
class Input:
    """One thing that somebody gives to the command (`words`) or to the library (`code`).

    Attributes:
        name: unique within the kind.
        words: of the command line, without `modecover`.
        code: Python, with `modecover`, `np`, `torch`, `nn` and `Path` at hand.
        make: what lies in the working folder before.
        right: "refused": exit code 2 and one sentence on stderr, or `UserError` from Python, with the folder as it was.
            "accepted": one of `codes`, or no exception, and `check` holds. "either": one of the two.
        codes: exit codes of an acceptance.
        check: an expression that is true after an acceptance; it may use `out` and `err` (what was printed) and what
            `code` may use.
        environment: variables changed; None takes one away.
        fresh: whether a new interpreter is needed: the input works through the environment of a process.
        changes: what a refusal may write all the same, as the beginnings of paths.
        silent: whether Python code is held to print nothing.
    """

    name: str
    words: tuple[str, ...] = ()
    code: str = ""
    make: Make | None = None
    right: Right = "refused"
    codes: tuple[int, ...] = (0,)
    check: str = ""
    environment: Mapping[str, str | None] = field(default_factory=dict)
    fresh: bool = False
    changes: tuple[str, ...] = ()
    silent: bool = True

    @property
    def shown(self) -> str:
        """How somebody would give it."""
        if self.code:
            return self.code.strip()
        variables = [f"{name}={value}" for name, value in self.environment.items() if value is not None]
        return shlex.join([*variables, "modecover", *self.words])


def command(name: str, words: str | list[str], **options: object) -> Input:
    """A command line; a text is split at blanks."""
    split = words.split() if isinstance(words, str) else words
    return Input(name, words=tuple(split), **options)  # type: ignore[arg-type]  # the options are the fields


def python(code: str, **options: object) -> Input:
    """A snippet of Python, named by itself unless `name` is given."""
    name = options.pop("name", None) or " ".join(code.split())[:90]
    return Input(str(name), code=code, **options)  # type: ignore[arg-type]
