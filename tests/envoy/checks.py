"""Whether an Envoy runs what its files say, without complaint."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from meshc.artifact.store import DirectoryStore
from meshc.delivery.materialize import materialize
from tests.case import built
from tests.envoy.running import alone_on_this_machine, running_envoy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshc.proto import EnvoySchema
    from tests.case import Case
    from tests.envoy.running import RunningEnvoy

PREFIX = "type.googleapis.com/"
KINDS = {
    "envoy.admin.v3.ClustersConfigDump": ("dynamic_active_clusters", "cluster"),
    "envoy.admin.v3.RoutesConfigDump": ("dynamic_route_configs", "route_config"),
}


def on_loopback(case: Case, target: Path) -> Path:
    """Copy a case's specs with the replacements that its options name."""
    live = case.options.get("live", {})
    shutil.copytree(case.specs, target)
    for path in target.rglob("*.*"):
        text = path.read_text()
        for old, new in live.get("replace", []):
            text = text.replace(old, new)
        path.write_text(text)
    if "mesh" in live:
        (target / "mesh.yaml").write_text(live["mesh"])
    return target


def resources_in(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """All resources below a folder as (version of their file, resource)."""
    for path in sorted(folder.rglob("*ds*.json")):
        file = json.loads(path.read_text())
        for resource in file["resources"]:
            yield file["version_info"], resource


def shape(schema: EnvoySchema, message: dict[str, Any]) -> dict[str, Any]:
    """A resource as Envoy itself would print it: defaults left out, durations in one form."""
    kind = message["@type"]
    body = {key: value for key, value in message.items() if key != "@type"}
    return schema.from_wire(kind, schema.to_wire(kind, body))


def expected(schema: EnvoySchema, folder: Path, kind: str) -> dict[str, tuple[str, Any]]:
    return {
        resource["name"]: (version, shape(schema, resource))
        for version, resource in resources_in(folder)
        if resource["@type"] == PREFIX + kind
    }


def found(schema: EnvoySchema, dump: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Resources in a dump by name, with their version."""
    config = next(part for part in dump if part["@type"] == PREFIX + kind)
    if kind == "envoy.admin.v3.ListenersConfigDump":
        entries = config.get("dynamic_listeners", [])
        assert all(entry.keys() == {"name", "active_state"} for entry in entries)
        states = [entry["active_state"] for entry in entries]
        pairs = [(state["version_info"], state["listener"]) for state in states]
    else:
        entries_key, key = KINDS[kind]
        assert "dynamic_warming_clusters" not in config
        pairs = [(entry["version_info"], entry[key]) for entry in config.get(entries_key, [])]
    assert len({message["name"] for _, message in pairs}) == len(pairs)
    return {message["name"]: (version, shape(schema, message)) for version, message in pairs}


def check_resources(schema: EnvoySchema, envoy: RunningEnvoy, files: Path) -> None:
    dump = envoy.config()
    for dumped, kind in (
        ("envoy.admin.v3.ListenersConfigDump", "envoy.config.listener.v3.Listener"),
        ("envoy.admin.v3.ClustersConfigDump", "envoy.config.cluster.v3.Cluster"),
        ("envoy.admin.v3.RoutesConfigDump", "envoy.config.route.v3.RouteConfiguration"),
    ):
        wanted = expected(schema, files, kind)
        got = found(schema, dump, dumped) if wanted else {}
        assert sorted(got) == sorted(wanted)
        for name, (version, message) in wanted.items():
            assert got[name][1] == message, name
            assert got[name][0] == version, name


def hosts(assignment: dict[str, Any]) -> list[tuple[Any, ...]]:
    return sorted(
        (
            host["endpoint"]["address"]["socket_address"]["address"],
            host["endpoint"]["address"]["socket_address"]["port_value"],
            host["endpoint"].get("hostname", ""),
            host.get("load_balancing_weight", 1),
            json.dumps(host.get("metadata", {}).get("filter_metadata", {}), sort_keys=True),
            group.get("locality", {}).get("region", ""),
            group.get("locality", {}).get("zone", ""),
        )
        for group in assignment.get("endpoints", [])
        for host in group["lb_endpoints"]
    )


def check_endpoints(envoy: RunningEnvoy, files: Path) -> None:
    """Compare the hosts of every cluster; DNS gives other addresses than the files have."""
    resources = [resource for _, resource in resources_in(files)]
    assignments = {
        resource["cluster_name"]: resource for resource in resources if "cluster_name" in resource
    }
    clusters = [resource for resource in resources if resource["@type"].endswith(".Cluster")]
    wanted = [
        hosts(
            cluster["load_assignment"]
            if "load_assignment" in cluster
            else assignments[cluster["eds_cluster_config"]["service_name"]]
        )
        for cluster in clusters
        if "cluster_type" not in cluster
    ]
    dump = next(part for part in envoy.config() if part["@type"].endswith("EndpointsConfigDump"))
    by_dns = {cluster["name"] for cluster in clusters if "cluster_type" in cluster}
    got = [
        hosts(entry["endpoint_config"])
        for entry in dump["dynamic_endpoint_configs"]
        if entry["endpoint_config"].get("cluster_name") not in by_dns
    ]
    assert sorted(got) == sorted(wanted)


def check_counters(envoy: RunningEnvoy, files: Path) -> None:
    stats, texts = envoy.stats(), envoy.texts()
    bad = {
        name: value
        for name, value in stats.items()
        if name.endswith((".update_rejected", ".update_failure", ".init_fetch_timeout")) and value
    }
    assert bad == {}
    assert stats["server.dynamic_unknown_fields"] == 0
    assert stats["server.static_unknown_fields"] == 0
    assert stats["runtime.deprecated_feature_use"] == 0
    assert stats["listener_manager.listener_create_failure"] == 0
    assert stats["cluster_manager.warming_clusters"] == 0
    versions = {version for version, _ in resources_in(files)}
    shown = {text for name, text in texts.items() if name.endswith(".version_text")}
    assert versions <= shown
    subscriptions = [name for name in stats if name.endswith(".update_attempt")]
    used = [name for name in subscriptions if stats[name]]
    watched = len(list(files.rglob("*ds*.json")))
    assert len(used) >= watched
    # Clusters of DNS names count their look-ups under the same name, but have no version.
    read = [name for name in used if texts.get(name.replace("update_attempt", "version_text"))]
    assert len(read) >= watched
    assert {stats[name.replace("attempt", "success")] for name in read} == {1}


def check_each_node(
    case: Case, folder: Path, binary: Path, schema: EnvoySchema, **options: Any
) -> int:
    """Build a case below a folder and run each of its nodes on its files; returns how many."""
    built(on_loopback(case, folder / "specs"), folder / "out", **options)
    store = DirectoryStore(folder / "out")
    directory = case.options.get("live", {}).get("directory", ".")
    nodes = store.manifest().nodes
    for node in nodes:
        home = folder / "hosts" / node
        (home / "logs").mkdir(parents=True)
        materialize(store.node(node), home / directory)
        with (
            alone_on_this_machine(f"live-{case.name}"),
            running_envoy(binary, home, f"{directory}/bootstrap.json") as envoy,
        ):
            check_resources(schema, envoy, home / directory)
            check_endpoints(envoy, home / directory)
            check_counters(envoy, home / directory)
    return len(nodes)
