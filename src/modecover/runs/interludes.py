"""What a run does between its steps: pictures and evaluations, which must not hold up training."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SHARE = 0.025
"""Of the time so far, which pictures may have taken, and evaluations as much, where the next one comes by default."""


@dataclass
class Interlude:
    """Work of one kind.

    Attributes:
        every: steps between, as the user wants it; 0: never. None: `default` steps, where there is time.
        default: steps.
        first: by default the work also comes at this step and whenever its number has doubled, before the first
            `default` steps are over; 0: it does not.
        seconds: that it has taken in this start of the run.
    """

    every: int | None
    default: int
    first: int = 0
    seconds: float = 0.0

    def falls_on(self, step: int) -> bool:
        """Whether its interval ends at this step."""
        if self.every is None and self.first and step < self.default:
            doublings, rest = divmod(step, self.first)
            return rest == 0 and doublings.bit_count() == 1
        every = self.default if self.every is None else self.every
        return every > 0 and step % every == 0

    def has_time(self, elapsed: float) -> bool:
        """Whether the work is wanted at any price, or has taken no more than its share of the `elapsed` seconds."""
        return self.every is not None or self.seconds <= SHARE * elapsed

    @contextmanager
    def timed(self) -> Iterator[None]:
        """The block is work of this kind."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - start
