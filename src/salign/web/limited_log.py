"""A log that does not fill the disk: it writes a warning at most once a minute, and counts the repetitions."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable


class LimitedLog:
    """Writes warnings of a kind at most once in `seconds`. The next one says how many were left out."""

    def __init__(self, log: logging.Logger, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Write warnings to `log`; `clock` returns the time in seconds."""
        self._log, self._seconds, self._clock = log, seconds, clock
        self._last: dict[str, float] = {}
        self._silent: dict[str, int] = {}
        self._lock = threading.Lock()

    def warning(self, kind: str, message: str, *values: object) -> None:
        """Write a warning unless one of this kind was written in the last `seconds`."""
        now = self._clock()
        with self._lock:
            if kind in self._last and now - self._last[kind] < self._seconds:
                self._silent[kind] = self._silent.get(kind, 0) + 1
                return
            self._last[kind] = now
            more = self._silent.pop(kind, 0)
        self._log.warning(message + (f" ({more} more since the last such line)" if more else ""), *values)
