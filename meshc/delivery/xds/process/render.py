"""The status as text for people."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from meshc.delivery.text import age, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHOWN = 20
"""Streams that are shown unless all are asked for."""
_NAMED = 3
_DIGITS = 12


def verdict(status: Mapping[str, Any], node: str = "") -> tuple[str, bool]:
    """Say in a line how the server is, or one node of it, and whether that is well."""
    streams = of_node(status, node)["streams"]
    refusing = sorted({one["node"] for one in streams if _is_refused(one)})
    nodes = {one["node"] for one in streams}
    generation = status["generation"][:_DIGITS]
    if node and not streams:
        return f"NOT CONNECTED: {node}", False
    refused = ", ".join(refusing[:_NAMED]) + (" …" if len(refusing) > _NAMED else "")
    for what, problem in (
        ("NOT ALL WORKERS SERVE", status.get("worker_problem")),
        (f"SERVES AN OLD GENERATION {generation}", status["problem"]),
        (f"REFUSED by {len(refusing)} of {len(nodes)} nodes", refused),
        ("MEMORY IS SHORT", status["memory_problem"]),
        ("CERTIFICATES ARE NOT RENEWED", status["certificate_problem"]),
    ):
        if problem:
            return f"{what}: {problem}", False
    return f"OK: generation {generation}, {len(nodes)} nodes connected", True


def of_node(status: Mapping[str, Any], node: str) -> dict[str, Any]:
    """Return the status with the streams of one node alone; "" is all of them."""
    streams = [one for one in status["streams"] if not node or one["node"] == node]
    return {**status, "streams": streams}


def render(
    status: Mapping[str, Any],
    style: Any,
    *,
    node: str = "",
    limit: int | None = None,
    now: float | None = None,
) -> Iterator[str]:
    """Yield lines for people: the verdict, the server, and streams, those with trouble first.

    ``node`` shows its streams alone; of more than ``limit`` the rest is counted.
    """
    now = time.time() if now is None else now
    line, is_well = verdict(status, node)
    yield style(printable(line), "good" if is_well else "error")
    yield ""
    yield f"  mesh         {printable(status['mesh'])}"
    yield f"  listens on   {status['listen']}{' (TLS)' if status['tls'] else ' (plaintext)'}"
    yield f"  loaded       {age(now - status['loaded'])} ago"
    yield (
        f"  connections  {status['connections']}; turned away: {status['turned_away']}; failed "
        f"handshakes: {status['handshake_failures']}"
    )
    if workers := status.get("workers"):
        yield f"  workers      {', '.join(map(_worker, workers))}"
    streams = sorted(of_node(status, node)["streams"], key=_urgency)
    for one in streams[:limit]:
        yield ""
        yield from _stream(one, style, now)
    if limit is not None and len(streams) > limit:
        yield ""
        yield f"  … and {len(streams) - limit} more streams: --all, or --node NAME"


def _worker(one: Mapping[str, Any]) -> str:
    again = f", started again {one['restarts']} times" if one["restarts"] else ""
    return f"{one['worker']} {one['state']} ({one['connections'] or 0} connections{again})"


def _stream(one: Mapping[str, Any], style: Any, now: float) -> Iterator[str]:
    of_worker = f"  worker {one['worker']}" if "worker" in one else ""
    since = age(now - one["since"])
    yield f"  {printable(one['node'])}  {one['address']}  since {since}{of_worker}"
    if one["problem"]:
        yield f"    {style(printable(one['problem']), 'warning')}"
    for name, kind in one["types"].items():
        version = kind["acknowledged"] or kind["sent"]
        yield f"    {printable(name):<5}{kind['state']:<13}{printable(version)}"
        if kind["state"] == "refused":
            where = f" ({kind['place']})" if kind["place"] else ""
            yield f"         {style(printable(kind['reason']), 'error')}{where}"


def _urgency(one: Mapping[str, Any]) -> int:
    """Refused and in trouble first, then those that have not accepted everything."""
    if _is_refused(one) or one["problem"]:
        return 0
    return 2 if one["is_settled"] else 1


def _is_refused(one: Mapping[str, Any]) -> bool:
    return any(kind["state"] == "refused" for kind in one["types"].values())
