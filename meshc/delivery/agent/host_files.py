"""What lies in the target: whether an Envoy could start with it, and whether it has changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from meshc.artifact.layout import NODE_FILES, SERVICES
from meshc.delivery.agent.configuration import read_configuration, version_of
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from meshc.delivery.agent.configuration import Configuration, Subscription

Expected = dict[str, tuple[tuple["Subscription", ...], str]]
"""File → who watches it, and the version that they must say."""

Traces = dict[str, tuple[int, int, int]]
"""File → what changes when it is replaced or written to."""


def why_not_startable(files: Mapping[str, bytes], node: str) -> str:
    """Return why an Envoy could not start with these files as this node; empty: it could."""
    try:
        return why_no_start(read_configuration(files, origin="the target"), node)
    except DeliveryError as error:
        return error.message


def why_no_start(there: Configuration, node: str) -> str:
    """Return why an Envoy could not start with this set as this node; empty: it could."""
    try:
        for path in there.watchers(there.clusters, there.listeners):
            if path not in there.files:
                return f'"{path}" is referred to and not there'
            version_of(there.files[path], path)
    except DeliveryError as error:
        return error.message
    named = there.bootstrap.get("node")
    shown = named.get("id") if isinstance(named, dict) else None
    if shown != node:
        return f'the bootstrap in the target is that of node "{shown}"'
    return ""


def expected_of(there: Configuration) -> Expected:
    """Return what Envoy must say about each file that it watches."""
    return {
        path: (subscriptions, version_of(there.files[path]))
        for path, subscriptions in there.watchers(there.clusters, there.listeners).items()
        if path in there.files
    }


def stale_among(expected: Expected, versions: Mapping[str, str]) -> frozenset[str]:
    """Files that Envoy says it does not run; it has to say something about one to be judged."""
    found = set()
    for path, (subscriptions, version) in expected.items():
        said = {versions.get(f"{name}version_text") for name in subscriptions} - {None}
        if said and said != {version}:
            found.add(path)
    return frozenset(found)


def traces_of(directory: Path) -> Traces:
    """Return the traces of a node's files in its directory; what cannot be read is left out."""
    found: Traces = {}
    _trace(f"{directory}/", NODE_FILES, found)
    try:
        folders = sorted(os.listdir(directory / SERVICES))  # noqa: PTH208, every few seconds
    except OSError:
        return found
    for folder in folders:
        place = f"{SERVICES}/{folder}"
        try:
            names = os.listdir(f"{directory}/{place}")  # noqa: PTH208
        except OSError:
            continue
        _trace(f"{directory}/", [f"{place}/{n}" for n in sorted(names) if _is_file(n)], found)
    return found


def _is_file(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def _trace(prefix: str, paths: tuple[str, ...] | list[str], found: Traces) -> None:
    for path in paths:
        try:
            status = os.stat(prefix + path)  # noqa: PTH116
        except OSError:
            continue
        found[path] = (status.st_ino, status.st_mtime_ns, status.st_size)
