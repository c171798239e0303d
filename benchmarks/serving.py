"""Figures of `meshc serve` beside a bare loop and a control plane in Go, with the same clients.

One service has one host less, so everybody who calls it is sent 20 KB of endpoints.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.measure import Figure, python
from benchmarks.reference_mesh import service_name, service_text
from benchmarks.servers import Bare, Clients, Content, Go, Meshc, Server, go_reference
from tests.consul.authority import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.figures import Bench

_CERTIFICATES = 10
_LESS, _DEPENDENCIES = 9, 10
"""Hosts that are left of the service that changes, and what each service calls."""
_MTLS_RATE, _IN_A_ROW = 500, 20
"""Responses a second that have to be possible, and pushes for which they are counted."""
_MOST_TIME: tuple[float, float] = (1.3, 1.0)
_MOST_MEMORY: tuple[float | None, float | None] = (None, 0.4)
"""Beside the bare loop, and beside Go."""


@dataclass(slots=True)
class _Run:
    """What was measured of one server."""

    server: Server
    connect_s: float = 0.0
    lost: int = 0
    before_mib: float = 0.0
    after_mib: float = 0.0
    cpu_s: float = 0.0
    size: int = 0
    pushes: list[float] = field(default_factory=list)
    """From the signal to the last byte, in ms."""
    whole: list[float] = field(default_factory=list)
    """From the moment that it was told, in ms."""


def _measured(servers: Sequence[Server], clients: Clients, pushes: int) -> list[_Run]:
    """Connect to all servers, then push from each in turn."""
    runs = [_Run(server) for server in servers]
    for number, run in enumerate(runs):
        clients.tell(f"connect {number}")
        found = clients.answer()
        run.connect_s = found["ended"] - found["started"]
        run.lost = found["lost"] + found["late"]
        run.before_mib = run.server.costs().resident_mib
    for _ in range(pushes):
        for number, run in enumerate(runs):
            clients.tell(f"await {number}")
            before = run.server.costs().cpu_s
            told = run.server.push()
            found = clients.answer()
            run.cpu_s += run.server.costs().cpu_s - before
            run.pushes.append((found["ended"] - run.server.signal(told)) * 1000)
            run.whole.append((found["ended"] - told) * 1000)
            run.lost = max(run.lost, found["lost"] + found["late"])
            run.size = found["size"]
    for run in runs:
        run.after_mib = run.server.costs().resident_mib
    return runs


def _sustained(server: Server, number: int, clients: Clients, pushes: int) -> float:
    """Push again and again, each time when everybody has acknowledged; return responses a second.

    Between them the clients pause for 0.2 s, and the server finds and reads what has changed.
    """
    began, received = time.monotonic(), 0
    for _ in range(pushes):
        clients.tell(f"await {number}")
        server.push()
        found = clients.answer()
        received += found["streams"] - found["lost"] - found["late"]
    return received / (time.monotonic() - began)


def serve_push(bench: Bench) -> Iterator[Figure]:
    """20 KB to a thousand and to five thousand streams at once."""
    program = go_reference()
    for count in (1_000,) if bench.is_quick else (1_000, 5_000):
        content = Content(bench, count)
        with contextlib.ExitStack() as stack:
            servers: list[Server] = [stack.enter_context(Meshc(content))]
            servers.append(stack.enter_context(Bare(content)))
            if program is not None:
                servers.append(stack.enter_context(Go(content, program)))
            places = [str(server.port) for server in servers]
            clients = stack.enter_context(Clients(count, places))
            ours, *others = _measured(servers, clients, max(7, bench.repeats))
        yield from _figures(count, ours, others)


def _figures(count: int, ours: _Run, others: Sequence[_Run]) -> Iterator[Figure]:
    lost = "" if not ours.lost else f"!{ours.lost} streams were lost"
    size = ours.size / 1024
    for other, most in zip(others, _MOST_TIME, strict=False):
        yield Figure(
            name=f"serve: push of {size:.0f} KiB to {count:,} streams, last byte",
            unit="ms",
            value=statistics.median(ours.pushes),
            floor_name=other.server.name,
            floor=statistics.median(other.pushes),
            ratio=statistics.median(
                mine / its for mine, its in zip(ours.pushes, other.pushes, strict=True)
            ),
            max_ratio=most,
            details=lost
            or f"from the change in the folder: {statistics.median(ours.whole):.0f} ms",
        )
    if len(others) == 1:
        yield Figure(
            name=f"serve: the same beside Go, {count:,} streams",
            unit="ms",
            value=statistics.median(ours.pushes),
            details="not measured: there is no Go here",
        )
    for other, most_memory in zip(others, _MOST_MEMORY, strict=False):
        yield Figure(
            name=f"serve: resident after the pushes, {count:,} streams",
            unit="MiB",
            value=ours.after_mib,
            floor_name=other.server.name,
            floor=other.after_mib,
            ratio=ours.after_mib / other.after_mib,
            max_ratio=most_memory,
            details=f"before them {ours.before_mib:.0f} and {other.before_mib:.0f} MiB",
        )
    for other in others:
        mine, its = (one.cpu_s / count / len(one.pushes) * 1e6 for one in (ours, other))
        yield Figure(
            name=f"serve: CPU of a push and its acknowledgement, {count:,} streams",
            unit="us",
            value=mine,
            floor_name=other.server.name,
            floor=its,
            ratio=mine / its if its else None,
        )
    for other in others:
        yield Figure(
            name=f"serve: {count:,} streams connect at once, all answered",
            unit="ms",
            value=ours.connect_s * 1000,
            floor_name=other.server.name,
            floor=other.connect_s * 1000,
            ratio=ours.connect_s / other.connect_s,
            details=f"{'!' if ours.lost else ''}lost: {ours.lost} and {other.lost}",
        )


def serve_mtls(bench: Bench) -> Iterator[Figure]:
    """The same over mTLS, beside the plaintext."""
    count = 300 if bench.is_quick else 5_000
    content = Content(bench, count + 1)
    authority = Authority(content.folder / "tls", "bench")
    for number in range(_CERTIFICATES):
        authority.issue(f"front-{number}", f"DNS:front-{number}")
    own = authority.issue("server", "DNS:localhost")
    tls = ("--cert", own.file, "--key", own.key, "--client-ca", authority.file)
    with Meshc(content, *tls) as encrypted, Meshc(content) as plain:
        places = [f"{encrypted.port}:{content.folder / 'tls'},{_CERTIFICATES}", str(plain.port)]
        with Clients(count, places) as clients:
            ours, other = _measured([encrypted, plain], clients, max(7, bench.repeats))
            rate, plain_rate = (
                _sustained(server, number, clients, _IN_A_ROW)
                for number, server in enumerate((encrypted, plain))
            )
    # Where nobody was answered in time, a busy machine was measured and nothing else.
    is_enough = plain_rate > 0 and rate >= _MTLS_RATE
    value = statistics.median(ours.pushes)
    yield Figure(
        name=f"serve: push to {count:,} streams over mTLS, last byte",
        unit="ms",
        value=value,
        floor_name="plaintext",
        floor=statistics.median(other.pushes),
        ratio=statistics.median(a / b for a, b in zip(ours.pushes, other.pushes, strict=True)),
        limit=count / _MTLS_RATE * 1000,
        details=f"!{ours.lost} streams were lost"
        if ours.lost
        else f"{count / value * 1000:,.0f} responses a second, {count:,} streams connected in "
        f"{ours.connect_s:.1f} s, {ours.after_mib:.0f} MiB resident beside {other.after_mib:.0f}",
    )
    yield Figure(
        name=f"serve: responses a second over mTLS, {_IN_A_ROW} pushes in a row",
        unit="",
        value=rate,
        floor_name="plaintext",
        floor=plain_rate,
        ratio=rate / plain_rate if plain_rate else None,
        details=f"{'' if is_enough else '!'}at least {_MTLS_RATE} are wanted",
    )


def serve_loading(bench: Bench) -> Iterator[Figure]:
    """All nodes of the reference mesh at once in one server: time and memory."""
    out = bench.kept(bench.specs)
    samples = []
    for _ in range(bench.repeats):
        found = json.loads(python("benchmarks.loading", "all", out).output)
        floor = json.loads(python("benchmarks.loading", "floor", out).output)
        samples.append((found, floor))
    found = samples[0][0]
    yield Figure(
        name=f"serve: all {found['nodes']:,} nodes of a bundle loaded",
        unit="s",
        value=statistics.median(mine["seconds"] for mine, _ in samples),
        floor_name="the manifest and every distinct file read and parsed once",
        floor=statistics.median(floor["seconds"] for _, floor in samples),
        ratio=statistics.median(mine["seconds"] / floor["seconds"] for mine, floor in samples),
        details=f"{found['resources']:,} distinct resources for {found['uses']:,} uses",
    )
    yield Figure(
        name="its memory",
        unit="MiB",
        value=statistics.median(mine["resident_mib"] for mine, _ in samples),
        floor_name="a process that has imported the server",
        floor=statistics.median(mine["imported_mib"] for mine, _ in samples),
    )


def serve_one_change(bench: Bench) -> Iterator[Figure]:
    """One host less of one service in the reference mesh: who hears of it, and how much."""
    specs = bench.scratch / "specs-one-change"
    shutil.copytree(bench.specs, specs)
    text = service_text(0, services=bench.services, hosts=_LESS, dependencies=_DEPENDENCIES)
    (specs / f"{service_name(0)}.yaml").write_text(text)
    bench.build(specs, bench.kept(specs), bench.cache(bench.specs))
    found = json.loads(
        python("benchmarks.loading", "change", bench.kept(bench.specs), bench.kept(specs)).output
    )
    # Each service is called by as many as it calls; the host that goes was one of its own.
    callers = _DEPENDENCIES * (_LESS + 1)
    is_right = found["delta_nodes"] == found["whole_nodes"] == callers
    yield Figure(
        name=f"serve: nodes of {found['nodes']:,.0f} that hear of a host less",
        unit="",
        value=found["delta_nodes"],
        limit=callers,
        details=f"{'' if is_right else '!'}{callers} nodes call its service",
    )
    yield Figure(
        name="bytes that each is sent, delta",
        unit="B",
        value=found["delta_bytes"],
        floor_name="state of the world",
        floor=found["whole_bytes"],
        ratio=found["delta_bytes"] / found["whole_bytes"],
    )


SERVING_FIGURES: tuple[Callable[[Bench], Iterator[Figure]], ...] = (
    serve_push,
    serve_mtls,
    serve_loading,
    serve_one_change,
)
