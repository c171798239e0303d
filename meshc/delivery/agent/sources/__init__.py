"""Where a node's bundles come from: a directory, a web server that gives one out, or Consul.

In: the address of a bundle, laid out like `out/` or as `meshc publish` does it.
Out: a `NodeBundle`, verified against manifest or pointer, or an error that says what is missing.
Owns: noticing changes, limits on what a source may cost.
Must not know: what is done with a bundle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from meshc.delivery.errors import DeliveryError
from meshc.diagnostics.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.artifact.store import NodeBundle
    from meshc.delivery.agent.settings import AgentSettings


class SourceError(DeliveryError):
    """A source gives no bundle.

    ``is_incomplete``: what is there contradicts itself, as it does while somebody writes it.
    """

    def __init__(
        self, message: str, *, is_incomplete: bool = False, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.is_incomplete = is_incomplete


class Source(Protocol):
    """Gives out bundles."""

    order: int | None
    """When what was fetched last was published, in milliseconds; None where nobody says so."""

    unwatched: str
    """Why changes are noticed by asking alone; empty: that is meant so, or they are watched."""

    def watch(self, notify: Callable[[float], None]) -> str:
        """Call ``notify`` on changes, from any thread; return why that cannot be, or nothing.

        It is told a moment of the monotonic clock: fetches that began later have seen the change.
        """

    def fetch(self, known: str | None) -> NodeBundle | None:
        """Return the newest bundle, verified; None where it is the generation ``known``.

        Raises:
            SourceError: there is none that is complete.
        """

    def close(self) -> None:
        """Stop watching."""


def open_source(settings: AgentSettings, held: Callable[[str], bytes | None]) -> Source:
    """Return the source that the settings name.

    ``held`` gives a file that is on this host already, by its digest.
    """
    scheme, separator, _ = settings.source.partition("://")
    if not separator or scheme == "file":
        from meshc.delivery.agent.sources.directory import DirectorySource  # noqa: PLC0415

        return DirectorySource(settings)
    if scheme in {"http", "https"}:
        from meshc.delivery.agent.sources.web import WebSource  # noqa: PLC0415, as above: memory

        return WebSource(settings, held)
    if scheme in {"consul", "consul+https"}:
        from meshc.delivery.agent.sources.consul import ConsulSource  # noqa: PLC0415, the same

        return ConsulSource(settings, held)
    raise SettingsError(
        f'the source "{settings.source}" is of no known kind',
        hint="a folder, http(s)://HOST/PATH or consul://HOST:PORT/MESH",
    )
