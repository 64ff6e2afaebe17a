"""The one exception that is the user's to mend: it carries a sentence, never a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 1000  # characters of a sentence, at most: it may quote a name, a value or a list that has no end


class UserError(ValueError):
    """Bad input. The message is one clear sentence (or two) naming the cause and the cure, on one line.

    Whatever is quoted in it need not be printable, nor have an end: see `one_line`. The command line prints the message
    alone and exits with code 2; Python callers catch it as a `ValueError`.
    """

    def __init__(self, sentence: str):
        super().__init__(one_line(sentence))


def one_line(sentence: str) -> str:
    """`sentence` as a terminal can show it: `printable`, and what is too long cut in the middle, since the cause stands
    first and the cure last."""
    text = printable(sentence)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[5 - LONGEST // 2 :]}"


def printable(text: object) -> str:
    """A name as one line that every terminal, file and picture can hold: line breaks, bytes that are no UTF-8 and all
    else that does not print stand there by their codes."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(text))


@contextmanager
def about(subject: object) -> Iterator[None]:
    """In the block, every `UserError` begins with what it is about, a file or a column: "it is empty" becomes "x.npy is
    empty", and any other sentence stands behind "x.npy: ". One that says already what it is about is left as it is."""
    try:
        yield
    except UserError as error:
        name, sentence = printable(subject), str(error)
        if sentence.startswith((f"{name} ", f"{name}:", f"{name}/")) or f" of {name} " in sentence:
            raise
        said = sentence.removeprefix("it ")
        raise UserError(f"{name}: {said}" if said == sentence else f"{name} {said}") from error
