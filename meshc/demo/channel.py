"""How compiled files reach the Envoys of the demonstration: agents, or one server for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from meshc.artifact.store import DirectoryStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from meshc.artifact.store import NodeBundle
    from meshc.delivery.agent.generations import Generation


@dataclass(frozen=True, slots=True)
class Places:
    """Where things lie in the folder of a demonstration."""

    folder: Path

    @property
    def specs(self) -> Path:
        """Specs, a copy that may be edited."""
        return self.folder / "specs"

    @property
    def built(self) -> Path:
        """What was compiled last, and judged by Envoy; nobody is told of it."""
        return self.folder / "built"

    @property
    def published(self) -> Path:
        """Bundle that agents or the server follow."""
        return self.folder / "out"

    def host(self, node: str) -> Path:
        """Directory of a host: its files, its logs."""
        return self.folder / "hosts" / node

    def drain_time(self) -> str:
        """Return how long a replaced listener may live, as Envoy writes durations."""
        return DirectoryStore(self.built).manifest().drain_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What should run: the build, and for each host what its files are."""

    build: str
    nodes: Mapping[str, Generation]


class Channel(Protocol):
    """Brings compiled files to Envoys and says what became of them."""

    programs: str
    """What runs on a host, for the story."""
    is_first: bool
    """Whether it must know a build before an Envoy of it can start."""

    def open(self) -> None:
        """Start what all hosts share; it has the newest build when this returns."""

    def equip(self, bundle: NodeBundle) -> None:
        """Give a host what its Envoy starts with: at least ``bootstrap.json``."""

    def attend(self, node: str) -> None:
        """Start what runs beside a host's Envoy."""

    def is_delivered(self, node: str, wanted: Wanted) -> bool:
        """Whether a host's Envoy is known to run what it should."""

    def problem_of(self, node: str, wanted: Wanted) -> str:
        """Return why it never will unless somebody acts; nothing where it may still come."""

    def say_of(self, node: str) -> str:
        """Return what is said of a host, as a sentence."""

    def commands(self, node: str) -> Sequence[str]:
        """Return what can be tried while the mesh runs."""
