"""A publication in a folder, and sources that read it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources import open_source
from tests.delivery.sources.published import OLD, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from meshc.delivery.agent.sources import Source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A publication."""
    folder = tmp_path / "published"
    publish(folder, OLD)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Callable[..., Source]]:
    with contextlib.ExitStack() as stack:

        def opened(place: object, held: Callable[[str], bytes | None] | None = None) -> Source:
            target = tmp_path / "target"
            settings = AgentSettings(node="a", source=str(place), target=target, state=target)
            found = open_source(settings, held or (lambda _digest: None))
            stack.callback(found.close)
            return found

        yield opened
