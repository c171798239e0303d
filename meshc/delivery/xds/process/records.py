"""What libraries log, as lines of the server's own log: escaped, one each, and not too many.

Clients can make libraries say something, and in Python's own way that is many lines of text.
"""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

from meshc.delivery.xds.transport.limits import Allowance

if TYPE_CHECKING:
    from meshc.delivery.log import Log

_A_SECOND, _AT_ONCE = 0.2, 20
_MOST_PLACES = 4


class Records(logging.Handler):
    """Takes the records of all libraries."""

    def __init__(self, journal: Log) -> None:
        super().__init__(logging.WARNING)
        self._journal = journal
        self._allowance = Allowance(_A_SECOND, _AT_ONCE)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, unless there were many just now."""
        if not self._allowance.take(1):
            return
        reason = places = None
        if record.exc_info is not None and (error := record.exc_info[1]) is not None:
            reason = f"{type(error).__name__}: {error}"
            found = traceback.extract_tb(error.__traceback__)[-_MOST_PLACES:]
            places = " ".join(f"{one.filename}:{one.lineno}" for one in found)
        say = self._journal.error if record.levelno >= logging.ERROR else self._journal.warn
        say("library", name=record.name, said=record.getMessage(), reason=reason, places=places)


def take_records(journal: Log) -> None:
    """Write what libraries log from now on into the server's log."""
    logging.basicConfig(handlers=[Records(journal)], level=logging.WARNING, force=True)
