"""What several workers say, put together as if one server said it.

Beside what a server says of itself (`meshc.delivery.xds.process.status`) there are
{"worker_problem", "workers": [{"worker", "state", "pid", "restarts", "connections",
"generation"}]}, and each stream names its "worker".
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SUMS = (
    "source_errors",
    "stalls",
    "connections",
    "turned_away",
    "denied",
    "handshake_failures",
    "open_streams",
)
_COUNTS = ("responses", "refusals")
_PROBLEMS = ("problem", "certificate_problem", "memory_problem")


_NOTHING: Mapping[str, Any] = {
    "generation": "",
    "mesh": "",
    **dict.fromkeys(("started", "loaded", "switch_s", "switches", *_SUMS, "nodes"), 0),
    **dict.fromkeys(_PROBLEMS, ""),
    **{key: {} for key in ("subscriptions", *_COUNTS)},
    "refused": [],
    "streams": [],
}
"""As long as no worker answers."""


def merged(statuses: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Put the statuses of workers together, by their names.

    What differs from worker to worker for a moment, such as the generation, is said of the one
    that loaded last.
    """
    all_of = list(statuses.values()) or [_NOTHING]
    newest = max(all_of, key=lambda one: float(one["loaded"]))
    streams = [
        {**stream, "worker": name} for name, one in statuses.items() for stream in one["streams"]
    ]
    return {
        **newest,
        "started": min(one["started"] for one in all_of),
        "switch_s": max(one["switch_s"] for one in all_of),
        "switches": max(one["switches"] for one in all_of),
        **{key: sum(one[key] for one in all_of) for key in _SUMS},
        **{key: _added(one[key] for one in all_of) for key in _COUNTS},
        **{key: _joined({name: one[key] for name, one in statuses.items()}) for key in _PROBLEMS},
        "nodes": len({stream["node"] for stream in streams}),
        "subscriptions": _added_states([one["subscriptions"] for one in all_of]),
        "refused": _added_refusals(one["refused"] for one in all_of),
        "streams": sorted(streams, key=lambda one: (one["node"], one["since"])),
    }


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in counts:
        for name, number in one.items():
            found[name] = found.get(name, 0) + number
    return found


def _added_states(all_of: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    kinds = {kind for one in all_of for kind in one}
    return {kind: _added(one.get(kind, {}) for one in all_of) for kind in sorted(kinds)}


def _added_refusals(all_of: Iterable[Iterable[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for refused in all_of:
        for one in refused:
            counts[one["type"], one["resource"], one["place"]] += one["clients"]
    return [
        {"type": kind, "resource": resource, "place": place, "clients": clients}
        for (kind, resource, place), clients in counts.most_common()
    ]


def _joined(problems: Mapping[str, str]) -> str:
    """Say a problem that all have once, and otherwise who has which."""
    if len(set(problems.values())) <= 1:
        return next(iter(problems.values()), "")
    return "; ".join(f"worker {name}: {said}" for name, said in problems.items() if said)
