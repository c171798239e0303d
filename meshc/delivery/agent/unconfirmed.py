"""Deliver without asking Envoy: the same steps in the same order, with waiting in their place.

This is for hosts on which nobody may reach Envoy's admin interface.  Nothing is known
afterwards: a refused file stays on disk, and only Envoy's log says so.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, assert_never

from meshc.artifact.manifest import drain_seconds
from meshc.delivery.agent.configuration import needs_restart, read_configuration
from meshc.delivery.agent.deliver import DeliveryResult
from meshc.delivery.agent.haste import Haste, unhurried
from meshc.delivery.agent.outset import check_complete
from meshc.delivery.agent.steps import AwaitDrain, AwaitWarm, Put, Remove, plan_steps
from meshc.delivery.agent.swap import file_at, put_file, read_files, remove_file, sole_writer
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from meshc.artifact.store import NodeBundle

_DRAIN_MARGIN_S = 5.0
_SLICE_S = 0.05


def deliver_unconfirmed(
    bundle: NodeBundle,
    directory: Path,
    *,
    wait_s: float,
    haste: Callable[[], Haste] = unhurried,
) -> DeliveryResult:
    """Put a bundle's files in place in a safe order, ``wait_s`` apart.

    Raises:
        DeliveryError: the disk refuses; the previous files are back.
    """
    started = time.monotonic()
    written: list[str] = []
    removed: list[str] = []
    left: tuple[str, ...] = ()
    with sole_writer(directory):
        old = read_configuration(read_files(directory), origin=f'"{directory}"')
        new = read_configuration(bundle.files, origin=f'the bundle of "{bundle.node}"')
        check_complete(new, bundle.node)
        undo: list[tuple[Put, bytes | None]] = []
        files = dict(old.files)
        # Whether listeners are still draining is not known, so it is taken for granted.
        steps = plan_steps(old, new, is_draining=True)
        try:
            for step in steps:
                match step:
                    case Put():
                        undo.append((step, files.get(step.path)))
                        put_file(directory, step.path, step.data)
                        files[step.path] = step.data
                        written.append(step.path)
                        _pace(wait_s if step.subscriptions else 0.0, haste)
                    case AwaitWarm():
                        _pace(wait_s, haste)
                    case AwaitDrain():
                        if not _wait(drain_time_s(bundle) + _DRAIN_MARGIN_S, haste):
                            left = step.clusters
                            break
                    case Remove():
                        remove_file(directory, step.path)
                        removed.append(step.path)
                    case _:
                        assert_never(step)
        except DeliveryError as error:
            if isinstance(step, Remove) or not error.is_restored:
                error.is_restored = False  # what was done is in order; the next try goes on here
            else:
                if undo:  # a rename may have been made before the sync of its folder failed
                    path = undo[-1][0].path
                    files[path] = file_at(directory, path) or b""
                _put_back(directory, undo, files, wait_s, error)
            raise
    return DeliveryResult(
        has_changed=bool(steps),
        written=tuple(dict.fromkeys(written)),
        removed=tuple(removed),
        left_clusters=left,
        needs_restart=needs_restart(old, new),
        seconds=time.monotonic() - started,
    )


def drain_time_s(bundle: NodeBundle) -> float:
    """Return how long a replaced listener of this mesh may live."""
    return drain_seconds(bundle.drain_time)


def _pace(seconds: float, haste: Callable[[], Haste]) -> None:
    """Wait between two steps.

    Raises:
        DeliveryError: the process shall end; nothing is taken back, as the order was kept so far.
    """
    if not _wait(seconds, lambda: haste() if haste() is Haste.STOP else Haste.NONE):
        error = DeliveryError("the agent was told to end between two steps; its next start goes on")
        error.is_restored = False
        raise error


def _wait(seconds: float, haste: Callable[[], Haste]) -> bool:
    """Wait; False where that was cut short."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if haste() is not Haste.NONE:
            return False
        time.sleep(min(left, _SLICE_S))
    return True


def _put_back(
    directory: Path,
    undo: list[tuple[Put, bytes | None]],
    files: dict[str, bytes],
    wait_s: float,
    error: DeliveryError,
) -> None:
    for step, previous in reversed(undo):
        if previous is None or files.get(step.path) == previous:
            continue
        try:
            put_file(directory, step.path, previous)
        except DeliveryError:
            error.is_restored = False
            return
        _wait(wait_s if step.subscriptions else 0.0, unhurried)
