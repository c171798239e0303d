"""Where things lie in `out/`, and where a node's Envoy finds them on its host.

    manifest.json                      which files make up a node, with digests
    nodes/<node>/lds.json cds.json     what is this node's own
    nodes/<node>/bootstrap.json        what its Envoy starts with
    services/<service>/eds.json        the endpoints of a service, one file for all callers
    services/<service>/eds@<caller>.json, health@<caller>.json
                                       the endpoints of a caller that follows their health, and
                                       by what rule its hosts choose among them
    services/<service>/rds-*.json      routes to it: inbound, outbound, outbound@<caller>
    services/<service>/instances.json  who and where its instances are; for registration

On a host a node's own files lie at the top of one directory and ``services/`` beside them.
"""

from __future__ import annotations

import re

from meshc.diagnostics.names import NAME_PATTERN, is_name

MANIFEST = "manifest.json"
LDS = "lds.json"
CDS = "cds.json"
BOOTSTRAP = "bootstrap.json"
NODE_FILES = (BOOTSTRAP, CDS, LDS)
"""A node's own files, sorted."""

NODES = "nodes"
SERVICES = "services"
_SHARED_DEPTH = 3
_HEALTH = "health@"
_CALLER = NAME_PATTERN.strip("^$")
_SHARED_FILE = re.compile(
    rf"(?:eds|eds@{_CALLER}|health@{_CALLER}|rds-(?:inbound|outbound|outbound@{_CALLER}))\.json\Z"
)


def node_directory(node: str) -> str:
    """Folder of a node's own files, relative to `out/`."""
    return f"{NODES}/{node}"


def service_directory(service: str) -> str:
    """Folder of the files that all callers of a service share, relative to `out/`."""
    return f"{SERVICES}/{service}"


def endpoints_path(service: str, consumer: str | None = None) -> str:
    """File with the endpoints of a service, relative to `out/` and to a host's directory."""
    caller = "" if consumer is None else f"@{consumer}"
    return f"{SERVICES}/{service}/eds{caller}.json"


def health_path(service: str, consumer: str) -> str:
    """File with the rule by which a caller's hosts choose among endpoints, for their agents."""
    return f"{SERVICES}/{service}/{_HEALTH}{consumer}.json"


def is_health_path(path: str) -> bool:
    """Whether a file is such a rule, which no Envoy reads."""
    return path.startswith(f"{SERVICES}/") and path.rpartition("/")[2].startswith(_HEALTH)


def routes_path(service: str, direction: str, consumer: str | None) -> str:
    """File with the routes to a service, relative to `out/` and to a host's directory."""
    caller = "" if consumer is None else f"@{consumer}"
    return f"{SERVICES}/{service}/rds-{direction}{caller}.json"


def instances_path(service: str) -> str:
    """File with the facts about the instances of a service, relative to `out/`."""
    return f"{SERVICES}/{service}/instances.json"


def on_host(directory: str, path: str) -> str:
    """Path of a file as Envoy's configuration names it.

    Envoy refuses a bare file name, so a relative path always starts with ``./``.
    """
    if directory == ".":
        return f"./{path}"
    if directory.startswith(("/", "./", "../")):
        return f"{directory.rstrip('/')}/{path}"
    return f"./{directory}/{path}"


def is_host_path(path: str) -> bool:
    """Whether a file of a node may have this path on its host.

    No other file there is replaced or removed, whatever a bundle says.
    """
    parts = path.split("/")
    return path in NODE_FILES or (
        len(parts) == _SHARED_DEPTH
        and parts[0] == SERVICES
        and is_name(parts[1])
        and _SHARED_FILE.match(parts[2]) is not None
    )
