"""Lay a node's files out in a directory, as an Envoy that is not running yet will find them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshc.artifact.layout import BOOTSTRAP, CDS, LDS, NODE_FILES, SERVICES
from meshc.delivery.agent.configuration import read_configuration
from meshc.delivery.agent.host_files import why_not_startable
from meshc.delivery.agent.steps import Put, Remove, plan_steps
from meshc.delivery.agent.swap import (
    drop_folder,
    put_file,
    read_files,
    remove_file,
    sole_writer,
)
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from meshc.artifact.store import NodeBundle

_LAST = (CDS, LDS, BOOTSTRAP)
"""After what they refer to, so that a set that was cut off is never one that Envoy could start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterializeResult:
    """Which files were written, were right already, were removed; relative to the directory."""

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]


def materialize(bundle: NodeBundle, directory: Path) -> MaterializeResult:
    """Make a directory hold exactly a node's files; anything else in it is left alone.

    For an Envoy that is running use `deliver`, which waits for its answers.

    Raises:
        DeliveryError: the disk refuses, or another delivery into the directory is running.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeliveryError(f'cannot create "{directory}": {error.strerror}') from error
    with sole_writer(directory):
        there = read_files(directory)
        moves = _moves(there, bundle)
        for path, data in moves:
            if data is not None:
                put_file(directory, path, data)
                continue
            remove_file(directory, path)
            if path.startswith(f"{SERVICES}/"):
                drop_folder(directory, path)
    written = tuple(dict.fromkeys(path for path, data in moves if data is not None))
    return MaterializeResult(
        written=written,
        unchanged=tuple(path for path in _plain_order(bundle) if path not in written),
        removed=tuple(path for path, data in moves if data is None),
    )


def _moves(there: Mapping[str, bytes], bundle: NodeBundle) -> list[tuple[str, bytes | None]]:
    """What to put, and what to remove (no bytes), in an order that can be cut off anywhere.

    Where an Envoy could start with what is there, it could after each move: one may be started
    by somebody who does not ask.  Elsewhere none could before the last move.
    """
    if why_not_startable(there, bundle.node) or why_not_startable(bundle.files, bundle.node):
        order = _plain_order(bundle)
        removed = sorted(set(there) - set(bundle.files))
        written = [path for path in order if there.get(path) != bundle.files[path]]
        return [(path, bundle.files[path]) for path in written] + [(path, None) for path in removed]
    old = read_configuration(there, origin="the target")
    new = read_configuration(bundle.files, origin="the bundle")
    moves: list[tuple[str, bytes | None]] = []
    for step in plan_steps(old, new):
        if isinstance(step, Put | Remove):
            if moves and moves[-1][0] == step.path:
                moves.pop()  # only a running Envoy needs what is between
            moves.append((step.path, step.data if isinstance(step, Put) else None))
    return moves


def _plain_order(bundle: NodeBundle) -> list[str]:
    last = [name for name in _LAST if name in bundle.files]
    return sorted(set(bundle.files) - set(NODE_FILES)) + last
