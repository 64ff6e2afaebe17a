"""The one exception that is the user's to mend: it carries a sentence, never a traceback."""

from __future__ import annotations


class UserError(ValueError):
    """Bad input. The message is one clear sentence (or two) naming the cause and the cure.

    The command line prints the message alone and exits with code 2; Python callers catch it as a `ValueError`.
    """


def shown(value: object) -> str:
    """A value as a sentence can hold it: short, in one line."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"a {type(value).__name__}"
