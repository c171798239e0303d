"""Read Envoy's refusals: whom it means, how far it came, and its reason in one clean line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshc.validate.envoy_process import Answer

REASON_LIMIT = 1024
_DUMP_LIMIT = 160

# Envoy refuses in three stages.  Reading: the JSON or the outermost constraints are wrong; it
# names an index, or nothing.  Clusters, then listeners: one after the other; only the trace
# tells at which one it stopped.
_READ_AT = re.compile(r"@\s+static_resources\.(clusters|listeners)\[(\d+)\]")
_CONSTRAINT_AT = re.compile(r"StaticResourcesValidationError\.(Clusters|Listeners)\[(\d+)\]")
_LISTENER_BEGUN = re.compile(r"config\|debug\|listener #(\d+):\s*\Z")
_CLUSTER_GONE = re.compile(r"init\|debug\|init manager Cluster (.*) destroyed\s*\Z", re.DOTALL)
_CLUSTERS_BEGUN = "config|info|loading "
_CONFIG_REFUSED = "main|critical|"


@dataclass(frozen=True, slots=True)
class Place:
    """Where Envoy stopped, by position in the lists of the bootstrap.

    ``suspect`` is (kind, index), kind being ``clusters`` or ``listeners``; None when unknown.
    ``good_clusters`` and ``good_listeners`` were accepted before it stopped.
    """

    suspect: tuple[str, int] | None
    good_clusters: frozenset[int] = frozenset()
    good_listeners: frozenset[int] = frozenset()


def place_of(answer: Answer, clusters: Sequence[str], *, eds: frozenset[int]) -> Place:
    """Read from a traced refusal at which resource Envoy stopped.

    It is a strong hint and no proof, because names and messages hold users' text: the caller
    confirms it by judging the suspect alone.

    Args:
        answer: a refusal, traced.
        clusters: unique names of the clusters of the bootstrap, in order.
        eds: indexes of the clusters that get endpoints from elsewhere.
    """
    refusal = answer.refusal or ""
    begun = -1
    gone_before: set[str] = set()
    gone_after: set[str] = set()
    is_refused = has_begun = False
    for record in answer.records:
        if record.startswith(_CONFIG_REFUSED):
            is_refused = True
        elif record.startswith(_CLUSTERS_BEGUN):
            has_begun = True
        elif found := _LISTENER_BEGUN.match(record):
            begun = int(found.group(1))
        elif found := _CLUSTER_GONE.match(record):
            (gone_after if is_refused else gone_before).add(found.group(1))
    if begun >= 0:
        everything = frozenset(range(len(clusters)))
        return Place(("listeners", begun), everything, frozenset(range(begun)))
    if has_begun:
        good = frozenset(i for i, name in enumerate(clusters) if name in gone_after)
        return Place(_suspect_cluster(clusters, gone_before, good, eds), good)
    for pattern in (_CONSTRAINT_AT, _READ_AT):
        if found := pattern.search(refusal):
            return Place((found.group(1).lower(), int(found.group(2))))
    return Place(None)


def _suspect_cluster(
    clusters: Sequence[str], gone: set[str], good: frozenset[int], eds: frozenset[int]
) -> tuple[str, int] | None:
    """Return the cluster at which Envoy stopped.

    A cluster that fails half-built is destroyed before the refusal is logged, the good ones
    after it.  One that fails earlier leaves no trace: then it is the first that is missing,
    in Envoy's order, which is those with endpoints of their own first, EDS later.
    """
    missing = [index for index in range(len(clusters)) if index not in good]
    half_built = [index for index in missing if clusters[index] in gone]
    if half_built:
        return ("clusters", half_built[0])
    missing.sort(key=lambda index: (index in eds, index))
    return ("clusters", missing[0]) if missing else None


_DUMP_START = re.compile(r"goo\.gle/debug\w+\s*")
_CONSTRAINT = ": Proto constraint validation failed ("
_CONSTRAINT_STEP = re.compile(
    r"(?:^|caused by )\w+ValidationError\.([\w\[\]]+): embedded message failed validation \| "
)
_CONSTRAINT_END = re.compile(r"^caused by (?:\w+ValidationError\.([\w\[\]]+): )?(.*)$")
# The shell that the gate put around the resource; it means nothing to the reader.
_SHELL = re.compile(r"^StaticResources\.(?:Clusters|Listeners)\[\d+\]\.")
_PARSE_WRAPS = (
    re.compile(r"^Protobuf message \(type \S+ reason (?:\w+: )?(.*)\) has unknown fields$"),
    re.compile(r"^Unable to parse JSON as proto \((?:[A-Z_]+: )?(.*?)\)(?:: \{.*)?$"),
)
_PARSE_PLACE = re.compile(
    r"^invalid JSON in \S+ @ (?:static_resources\.(?:clusters|listeners)\[\d+\]\.?)?(\S*): "
)
_OFFSET = re.compile(r",? ?near \d+:\d+ \(offset \d+\)")


def clean_reason(refusal: str) -> str:
    """Return Envoy's reason as one printable line of at most 1 KiB, the same on every run.

    Protobuf puts random blanks and one of several marks into its texts, so that nobody
    compares them; we print them into golden files, so blanks are squeezed and marks dropped.
    Dumps of messages go, and so do byte offsets, which count in our file and not in theirs.
    """
    text = refusal
    cut = text.rfind(_CONSTRAINT)
    if cut >= 0:
        text = _constraint(" ".join(text[cut + len(_CONSTRAINT) :].split()).removesuffix(")"))
    else:
        text = " ".join(text.split())
        for wrap in _PARSE_WRAPS:
            if found := wrap.match(text):
                text = _OFFSET.sub("", found.group(1))
                text = _PARSE_PLACE.sub(
                    lambda place: f"{place.group(1)}: " if place.group(1) else "", text
                )
        head, *dump = _DUMP_START.split(text, maxsplit=1)
        text = head + dump[0] if dump and len(dump[0]) <= _DUMP_LIMIT else head.rstrip(" :,")
    return _printable(text) or "refused without a reason"


def _constraint(chain: str) -> str:
    """Turn ``AError.B: embedded … | caused by BError.C: reason`` into ``B.C: reason``."""
    path = _CONSTRAINT_STEP.findall(chain)
    rest = _CONSTRAINT_STEP.sub("", chain)
    if not path:
        rest = f"caused by {rest}"
    if found := _CONSTRAINT_END.match(rest):
        path += [found.group(1)] if found.group(1) else []
        rest = found.group(2)
    return f"{_SHELL.sub('', '.'.join(path))}: {rest}" if path else rest


def _printable(text: str) -> str:
    """Escape what could move a cursor or hide text; keep the end when it is too long."""
    safe = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    ).strip()
    raw = safe.encode("utf-8", "backslashreplace")
    if len(raw) <= REASON_LIMIT:
        return raw.decode()
    mark = "…".encode()
    return (mark + raw[len(mark) - REASON_LIMIT :]).decode("utf-8", "ignore")
