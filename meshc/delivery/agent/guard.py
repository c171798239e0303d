"""Refuse sets of files that would take too much away from a node, or put too much on it.

Pure.  Envoy takes an empty file as "remove everything" and calls that a success, so whoever
delivers has to be the one who doubts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshc.artifact.layout import NODE_FILES
from meshc.delivery.agent.configuration import read_configuration, version_of
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.artifact.store import NodeBundle
    from meshc.delivery.agent.configuration import Configuration

_DAILY_LOSS = 1
"""Losing one of two endpoints is daily business, whatever share that is."""
_SMALL = 3
"""What is smaller may grow as if it were this big."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much a set of files makes an Envoy run."""

    listeners: int
    clusters: int
    endpoints: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """By how much a set may differ from the one before.

    ``max_shrink`` is a share of what was there; ``max_growth`` a multiple of it.
    """

    max_shrink: float = 0.3
    max_growth: float = 10.0
    may_shrink: bool = False
    may_be_empty: bool = False


def size_of(configuration: Configuration) -> Size:
    """Count listeners, clusters and endpoints."""
    endpoints = 0
    for path in configuration.endpoint_watchers(configuration.clusters):
        data = configuration.files.get(path)
        if data is not None:
            endpoints += _endpoints(data)
    for cluster in configuration.clusters.values():
        endpoints += _count([cluster.get("load_assignment", {})])
    return Size(
        listeners=len(configuration.listeners),
        clusters=len(configuration.clusters),
        endpoints=endpoints,
    )


def _endpoints(data: bytes) -> int:
    try:
        return _count(json.loads(data)["resources"])
    except (ValueError, RecursionError, KeyError, TypeError):
        return 0  # damaged by somebody's hand; a bundle's own files have been checked


def _count(assignments: Any) -> int:
    try:
        return sum(
            len(locality.get("lb_endpoints", ()))
            for assignment in assignments
            for locality in assignment.get("endpoints", ())
        )
    except (TypeError, AttributeError):
        return 0


def check_whole(bundle: NodeBundle, node: str) -> Configuration:
    """Refuse a bundle that is not a complete set for this node.

    Raises:
        DeliveryError: it is of another node, or a file that is referred to is not in it.
    """
    new = read_configuration(bundle.files, origin=f'the bundle of "{bundle.node}"')
    named = new.bootstrap.get("node", {})
    if bundle.node != node or not isinstance(named, dict) or named.get("id") != node:
        shown = named.get("id") if isinstance(named, dict) else None
        raise DeliveryError(
            f'the bundle is of node "{shown or bundle.node}", this is "{node}"',
            hint="look at --node, and at what the source gives out",
        )
    watched = new.watchers(new.clusters, new.listeners)
    for path in watched:
        if path not in new.files:
            raise DeliveryError(f'the bundle of "{node}" refers to "{path}" and does not have it')
        version_of(new.files[path], path)
    for path in new.files:
        if path not in watched and path not in NODE_FILES:
            read_json(path, new.files[path])
    return new


def read_json(path: str, data: bytes) -> None:
    """Refuse a file that is no JSON object, even if nobody watches it yet."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DeliveryError(f'"{path}" of the bundle is no JSON: {error}') from error
    if not isinstance(value, dict):
        raise DeliveryError(f'"{path}" of the bundle is no JSON object')


def check_size(old: Size | None, new: Size, bounds: Bounds) -> str | None:
    """Return why a set must not be delivered without somebody's word, or None."""
    if not new.listeners and not bounds.may_be_empty:
        return "it has no listeners at all, so Envoy would refuse every connection"
    if old is None:
        return None
    for noun, before, after in (
        ("listeners", old.listeners, new.listeners),
        ("clusters", old.clusters, new.clusters),
        ("endpoints", old.endpoints, new.endpoints),
    ):
        reason = _compare(noun, before, after, bounds)
        if reason:
            return reason
    return None


def _compare(noun: str, before: int, after: int, bounds: Bounds) -> str | None:
    lost = before - after
    if before and not after and not bounds.may_be_empty and not bounds.may_shrink:
        return f"it takes away all {before} {noun}"
    if lost > _DAILY_LOSS and lost > before * bounds.max_shrink and not bounds.may_shrink:
        return (
            f"{noun} shrink from {before} to {after}, by {lost / before:.0%}; "
            f"allowed are {bounds.max_shrink:.0%}"
        )
    most = max(before, _SMALL) * bounds.max_growth
    if after > most and not bounds.may_shrink:
        return f"{noun} grow from {before} to {after}; allowed are {most:.0f}"
    return None


def sizes(files: Mapping[str, bytes], *, origin: str) -> Size | None:
    """Count what a set holds; None where it cannot be read, so it is nothing to compare with."""
    try:
        return size_of(read_configuration(files, origin=origin))
    except DeliveryError:
        return None
