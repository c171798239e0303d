"""Read one node out of a manifest and its files, without taking in the other ten thousand."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from meshc.artifact.layout import is_host_path
from meshc.artifact.manifest import Manifest, file_digest
from meshc.artifact.store import NodeBundle
from meshc.delivery.agent.generations import generation_of
from meshc.delivery.agent.sources import SourceError
from meshc.diagnostics.errors import BundleError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_SECTIONS = ("services", "nodes", "origins")
_MOST_PARSED = 4 * 1024 * 1024
"""Bytes of JSON; as Python values they may take thirty times as much."""
_MOST_HOSTED, _MOST_MISSES = 256, 64
_END = b"\n}\n"
_HEX, _DIGEST_LENGTH = frozenset("0123456789abcdef"), 64


def read_bundle(
    text: bytes, node: str, known: str | None, read: Callable[[str, str], bytes]
) -> NodeBundle | None:
    """Return a node's bundle; None where it is the generation ``known``.

    Args:
        text: The manifest.
        node: Whose files.
        known: A generation that need not be read again.
        read: Returns the file at a path of the bundle, given its digest too.

    Raises:
        SourceError: the manifest does not name the node, or a file is not what it names.
    """
    try:
        manifest = manifest_for(text, node)
        wanted = manifest.node_files(node)
        build, origins = manifest.generation, manifest.node_origins(node)
    except UnknownNameError as error:
        raise SourceError(
            f"the source has no files for this node: {error.message}", hint=error.hint
        ) from error
    except BundleError as error:
        raise SourceError(error.message, is_incomplete=True, hint=error.hint) from error
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise SourceError(
            f"the manifest is damaged: {type(error).__name__}: {error}", is_incomplete=True
        ) from error
    _check_names(wanted)
    if generation_of({path: digest for path, (_, digest) in wanted.items()}) == known:
        return None
    files: dict[str, bytes] = {}
    for path, (place, digest) in wanted.items():
        data = read(place, digest)
        if file_digest(data) != digest:
            raise SourceError(
                f'"{place}" is not the file that the manifest names',
                is_incomplete=True,
                hint="it may still be on its way; if it stays so, build and publish again",
            )
        files[path] = data
    return NodeBundle(
        node=node,
        generation=build,
        files=files,
        origins=origins,
        drain_time=manifest.drain_time,
    )


def _check_names(wanted: Mapping[str, tuple[str, str]]) -> None:
    """Refuse names before anything is read, kept or written under them."""
    for path, (_, digest) in wanted.items():
        if not is_host_path(path):
            raise SourceError(f"the manifest names {path!r}, which is no file of a node")
        if len(digest) != _DIGEST_LENGTH or not set(digest) <= _HEX:
            raise SourceError(f'the manifest gives no digest for "{path}"')


def manifest_for(text: bytes, node: str) -> Manifest:
    """Read the lines of a manifest that matter to a node; all of it where they are not there.

    A manifest has one line for each service and node: of a mesh with 10,000 nodes it is 12 MB,
    which as Python values would be more than everything else in this process.

    Raises:
        BundleError: it is damaged or of another format.
    """
    if not text.endswith(_END):
        return _whole(text, node)  # cut off, or laid out in another way
    starts = {name: text.find(f'\n"{name}": {{\n'.encode()) for name in _SECTIONS}
    own = dict(_entries(text, starts["nodes"], [node])).get(node)
    if own is None or not isinstance(own.get("uses"), dict) or starts["services"] < 0:
        return _whole(text, node)
    head = text[: starts["services"]].rstrip(b",\n") + b"}"
    try:
        facts = json.loads(head)
    except ValueError:
        return _whole(text, node)
    uses = sorted(own["uses"])
    services = dict(_entries(text, starts["services"], uses))
    if len(services) < len(uses):
        return _whole(text, node)
    hosted = islice(_hosted(text, starts["origins"], node), _MOST_HOSTED)
    origins = dict(_entries(text, starts["origins"], sorted({*uses, *hosted})))
    data = {**facts, "nodes": {node: own}, "services": services, "origins": origins}
    return Manifest.of(data, text)


def _whole(text: bytes, node: str) -> Manifest:
    """Read all of a manifest, as long as that is no matter of gigabytes."""
    if len(text) > _MOST_PARSED:
        raise BundleError(
            f'the manifest has no complete lines for node "{node}", and is too large to look '
            "further",
            hint="look at --node; is the source the output of meshc build?",
        )
    return Manifest.parse(text)


def _entries(text: bytes, start: int, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries of sorted names in the section that begins at ``start``.

    A section is sorted too, so each is looked for behind the one before: a node that calls a
    thousand services costs one pass and not a thousand.
    """
    if start < 0:
        return
    end = text.find(b"\n}", start)
    at = start + 1
    misses = 0
    for name in names:
        mark = b"\n" + json.dumps(name).encode() + b": "
        place = text.find(mark, at, end)
        if place < 0:
            misses += 1
            if misses > _MOST_MISSES:
                return  # made to be searched for ever
            continue
        at = text.find(b"\n", place + 1)
        if at - place > _MOST_PARSED:
            return
        try:
            entry = json.loads(text[place + len(mark) : at].rstrip(b","))
        except ValueError:
            return
        if isinstance(entry, dict):
            yield name, entry


def _hosted(text: bytes, start: int, node: str) -> Iterator[str]:
    """Yield the services of which the node is a host."""
    mark = json.dumps(node).encode() + b":"
    at = start
    while start > 0 and (at := text.find(mark, at + 1)) > 0:
        line = text.rfind(b"\n", 0, at) + 1
        name = text[line : text.find(b":", line)].strip(b' "')
        at = text.find(b"\n", at)
        if at < 0:
            return  # the last line of a manifest is its closing brace
        if name:
            yield name.decode(errors="replace")
