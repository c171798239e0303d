"""The sets that are delivered, written by hand; most files take several blocks of a disk.

What differs between two of them is what differs between two builds: endpoints, a dependency that
comes or goes, routes, addresses that are swapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.campaigns.faults.sets import generation_name
from tests.delivery.node_files import eds_cluster, endpoints, http_listener, node_files, routes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.campaigns.faults.sets import Files

_HOST, _SERVER = "127.0.42.1", "127.0.42.2"
_PORTS = {"a": 9001, "b": 9002, "c": 9003, "d": 9004}
_ENDPOINTS = 80  # 9 kB
_ABOUT = "what the team wants noted about this listener; " * 60
REFUSED = "refused"
REFUSED_VERSION = f"lds-{REFUSED}"


def _set(
    version: str,
    ports: Mapping[str, int],
    *,
    clusters: str = "",
    routed: Mapping[str, str] | None = None,
    first: Mapping[str, int] | None = None,
) -> Files:
    """A set with a listener for each port; ``first``: where the servers' ports begin."""
    names = clusters.split() or [*ports]
    shared: Files = {}
    for name in names:
        begin = (first or {}).get(name, 8001)
        addresses = [(_SERVER, begin + number) for number in range(_ENDPOINTS)]
        shared[f"{name}/eds.json"] = endpoints(f"eds-{name}-{begin}", name, *addresses)
    for name in ports:
        goal = (routed or {}).get(name, name)
        shared[f"{name}/rds-outbound.json"] = routes(
            f"rds-{name}-{goal}", f"outbound/{name}", f"outbound/{goal}"
        )
    noted: dict[str, Any] = {"metadata": {"filter_metadata": {"note": {"text": _ABOUT}}}}
    return node_files(
        listeners=[
            http_listener(f"to-{n}", (_HOST, port), n, **noted) for n, port in ports.items()
        ],
        clusters=[eds_cluster(f"outbound/{name}", name) for name in names],
        shared=shared,
        version=version,
        admin=(_HOST, 9901),
    )


def _only(names: str) -> dict[str, int]:
    return {name: _PORTS[name] for name in names}


SETS = {
    "first": _set("first", _only("abd")),
    "endpoints": _set("first", _only("abd"), first={"a": 8201, "d": 8401}),
    "more": _set("more", _only("abcd")),
    "fewer": _set("fewer", _only("ad")),
    "routes": _set("routes", _only("acd"), clusters="a c d2", routed={"d": "d2"}),
    "swapped": _set("swapped", {"a": _PORTS["d"], "b": _PORTS["b"], "d": _PORTS["a"]}),
    REFUSED: _set(REFUSED, _only("abcd"), first={"b": 8601}),
}
"""``first`` and ``endpoints`` differ in two files only; ``refused`` is not taken by Envoy."""
BY_GENERATION = {generation_name(files): name for name, files in SETS.items()}
