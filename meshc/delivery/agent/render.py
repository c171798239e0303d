"""The status and the history as text for people."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from meshc.delivery.agent.generations import short
from meshc.delivery.agent.order import moment
from meshc.delivery.text import age, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from meshc.delivery.agent.inotify import Room

_STALE_S = 90.0
"""An agent that lives writes its status at least every 30 s."""
WELL = {"ok", "delivering", "starting", "paused", "unconfirmed"}
"""States in which nobody has to act."""


def headline(status: Mapping[str, Any], *, is_running: bool, now: float) -> tuple[str, str]:
    """Return the first line, and what to do."""
    said = str(status.get("summary", ""))
    if not is_running:
        seen = f"when it was last seen, {age(now - float(status.get('updated', 0)))} ago"
        line = f"AGENT IS NOT RUNNING. Envoy goes on with what it has; {seen}: {said}"
        return line, "systemctl start meshc-agent, or see: journalctl -u meshc-agent"
    silence = now - float(status.get("updated", 0))
    if silence > _STALE_S:
        return (
            f"AGENT IS SILENT for {age(silence)}. It said: {said}",
            "is the disk full? Otherwise: systemctl restart meshc-agent",
        )
    return said, str(status.get("todo", ""))


def render_status(
    status: Mapping[str, Any], *, is_running: bool, room: Room | None, now: float
) -> str:
    """Write the status."""
    line, todo = headline(status, is_running=is_running, now=now)
    lines = [line]
    if todo:
        lines.append(f"  do: {todo}")
    lines.append("")
    lines += [f"  {name:13} {value}" for name, value in _rows(status, room, now)]
    return "\n".join([*map(printable, lines), ""])


def _rows(status: Mapping[str, Any], room: Room | None, now: float) -> Iterator[tuple[str, str]]:
    yield "node", str(status["node"])
    yield "desired", _generation(status["desired"])
    delivered = _generation(status["delivered"])
    if status["delivered"]:
        delivered += ", confirmed" if status["confirmed"] else ", NOT confirmed"
    if status["delivered_at"]:
        delivered += f", delivered {age(now - status['delivered_at'])} ago"
    yield "delivered", delivered
    accepted = ", ".join(f"{kind} {version}" for kind, version in status["accepted"].items())
    yield "accepted", accepted or "not known"
    yield "state", f"{status['state']} for {age(now - status['since'])}"
    envoy = status["envoy"]
    up = {True: "running", False: "DOES NOT ANSWER", None: "not asked"}[envoy["up"]]
    yield "envoy", " ".join(filter(None, [envoy["version"], up, "at", envoy["admin"] or "?"]))
    source = status["source"]
    problem = f"; {source['failures']} failures: {source['problem']}" if source["failures"] else ""
    yield "source", f"{source['address']}{problem}"
    if order := status.get("published", {}).get("order"):  # an older agent says nothing of it
        yield "published", moment(order)
    yield "subscriptions", _subscriptions(status["subscriptions"], room)
    for one in status.get("endpoints", ()):
        yield "endpoints", _endpoints(one)
    if status.get("leftovers"):
        yield "leftovers", "clusters of an earlier generation, until connections have drained"
    if status["validation"]:
        yield "validation", str(status["validation"])
    yield from _stopped(status)
    error = status["last_error"]
    if error:
        yield "last error", f"{age(now - error['at'])} ago: {error['reason']}"
    for note in status["notes"]:
        yield "note", str(note)
    yield "target", str(status["target"])


def _stopped(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name the generations that are not delivered."""
    for name, refusal in status["quarantine"].items():
        place = f" ({refusal['place']})" if refusal["place"] else ""
        yield "quarantine", f"{short(name)}{place}: {refusal['reason']}"
    for name, reason in status["held"].items():
        yield "held", f"{short(name)}: {reason}"


def _generation(entry: Mapping[str, str] | None) -> str:
    if not entry:
        return "nothing"
    build = f" (build {short(entry['build'])})" if entry["build"] else ""
    return f"{short(entry['generation'])}{build}"


def _endpoints(one: Mapping[str, Any]) -> str:
    """Say which hosts of a dependency are used; a reader looks for the one that is not."""
    parts = [f"{one['service']} for {one['consumer']}: {one['used']} of {one['known']} used"]
    if one["panic"]:
        parts[0] = f"{one['service']} for {one['consumer']}: PANIC, all {one['used']} used"
    if one["passing"] is not None:
        parts.append(f"{one['passing']} of {one['known']} pass in Consul")
    hidden = one["known"] - one["used"] - len(one["left_out"])
    if one["left_out"]:
        more = f" and {hidden} more" if hidden > 0 else ""
        parts.append(f"not {', '.join(one['left_out'])}{more}")
    if one["refused"]:
        parts.append(f"not believed: {', '.join(one['refused'])}")
    if one["problem"]:
        parts.append(f"AS BEFORE, because {one['problem']}")
    return "; ".join(parts)


def _subscriptions(count: int, room: Room | None) -> str:
    if room is None:
        return f"{count} file subscriptions; the inotify limit is not known"
    if not room.used and not room.is_complete:
        return f"{count} file subscriptions; of {room.limit} inotify instances that a user may have"
    seen = "" if room.is_complete else "at least "
    return (
        f"{count} file subscriptions; inotify instances of Envoy's user: "
        f"{seen}{room.used} of {room.limit}"
    )


def render_history(entries: Sequence[Mapping[str, Any]], now: float) -> str:
    """Write events, the newest last."""
    lines = []
    for entry in entries:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(float(entry["at"])))
        facts = [str(entry["what"])]
        if entry.get("generation"):
            facts.append(short(str(entry["generation"])))
        if entry.get("seconds") is not None:
            facts.append(f"in {entry['seconds']} s")
        facts += [
            f"{key}: {entry[key]}"
            for key in ("place", "reason", "hint", "endpoints", "times")
            if entry.get(key)
        ]
        lines.append(f"{moment}Z ({age(now - float(entry['at']))} ago)  {'  '.join(facts)}")
    return "".join(printable(line) + "\n" for line in lines)
