"""The rules in deploy/consul: each role can do what it has to, and every other call is denied.

A call is made as each of the roles.  Where Consul does not deny but leaves out what a token may
not see, an answer without the thing counts as denied.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.consul.cluster import start_client_agent
from tests.consul.roles import FOLDER, rules, token_for
from tests.delivery.live import until

if TYPE_CHECKING:
    from tests.consul.cluster import Cluster
    from tests.consul.server import ConsulServer

pytestmark = pytest.mark.consul

_ROOT = "/v1/kv/meshc/v1/shop"
_READERS = frozenset({"prometheus", "registrar"})
_NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Call:
    """A call of Consul's API, and who of the roles may make it.

    ``shows`` is what is in an answer to who may.
    """

    method: str
    path: str
    body: Any = None
    may: frozenset[str] = _NOBODY
    shows: str = ""


def get(path: str, *may: str, shows: str = "") -> Call:
    return Call("GET", path, may=frozenset(may), shows=shows)


def put(path: str, body: Any, *may: str) -> Call:
    return Call("PUT", path, body, frozenset(may))


def txn(verb: str, key: str, *may: str) -> Call:
    operation: dict[str, Any] = {"Verb": verb, "Key": key}
    if verb == "set":
        operation["Value"] = base64.b64encode(b"x").decode()
    return put("/v1/txn", [{"KV": operation}], *may)


def on(node: str, service: str) -> dict[str, Any]:
    return {
        "Node": node,
        "Address": "10.0.0.9",
        "Service": {"ID": f"id-of-{service}", "Service": service, "Port": 80},
    }


_POINTER_READERS = ("agent", "agent-health", "register-local", "publisher")
_STORE = ("store-reader", "store-writer")
CALLS = {
    "own pointer": get(f"{_ROOT}/nodes/web1", *_POINTER_READERS),
    "own pointer, written": put(f"{_ROOT}/nodes/web1", "x", "publisher"),
    "own pointer, in a transaction": txn("set", "meshc/v1/shop/nodes/web1", "publisher"),
    "own pointer, deleted in one": txn("delete", "meshc/v1/shop/nodes/none", "publisher"),
    "another pointer": get(f"{_ROOT}/nodes/web2", "publisher"),
    "a pointer whose name begins alike": get(f"{_ROOT}/nodes/web12", "publisher"),
    "pointers": get(f"{_ROOT}/nodes/?keys", *_POINTER_READERS, shows="nodes/web1"),
    "other pointers": get(f"{_ROOT}/nodes/?keys", "publisher", shows="nodes/web2"),
    "pointer of another mesh": get("/v1/kv/meshc/v1/other/nodes/web1"),
    "blob": get(f"{_ROOT}/blobs/aa", "agent", "agent-health", "publisher"),
    "blob, written": put(f"{_ROOT}/blobs/aa", "x", "publisher"),
    "blob, deleted": Call("DELETE", f"{_ROOT}/blobs/none", may=frozenset({"publisher"})),
    "blob of another mesh": get("/v1/kv/meshc/v1/other/blobs/aa"),
    "index": get(f"{_ROOT}/index", "publisher"),
    "index, written": put(f"{_ROOT}/index", "x", "publisher"),
    "index of another mesh, written": put("/v1/kv/meshc/v1/other/index", "x"),
    "trash, written": put(f"{_ROOT}/trash/1", "x", "publisher"),
    "lock, written": put(f"{_ROOT}/lock", "x", "publisher"),
    "registration's lock": get(f"{_ROOT}/registration-lock", "registrar"),
    "registration's lock, written": put(f"{_ROOT}/registration-lock", "x", "registrar"),
    "document": get(f"{_ROOT}/specs/app", *_STORE),
    "document, written": put(f"{_ROOT}/specs/app", "x", "store-writer"),
    "revision": get(f"{_ROOT}/specs-revision", *_STORE),
    "revision, written": put(f"{_ROOT}/specs-revision", "x", "store-writer"),
    "document of another mesh": get("/v1/kv/meshc/v1/other/specs/app"),
    "all of the mesh, deleted": Call("DELETE", f"{_ROOT}?recurse"),
    "everything, listed": get("/v1/kv/?keys", shows="elsewhere"),
    "somebody's secret": get("/v1/kv/elsewhere"),
    "somebody's secret, written": put("/v1/kv/elsewhere", "x"),
    "nodes": get("/v1/catalog/nodes", *_READERS, "agent-health", shows="meshc-shop-web1"),
    "services": get("/v1/catalog/services", *_READERS, shows="elsewhere"),
    "own service": get("/v1/catalog/service/app", *_READERS, "agent-health", shows="10.0.0.9"),
    "health of what is called": get(
        "/v1/health/service/app", *_READERS, "agent-health", shows="10.0.0.9"
    ),
    "health of somebody's service": get(
        "/v1/health/service/elsewhere", *_READERS, shows="10.0.0.9"
    ),
    "node of the mesh": put("/v1/catalog/register", on("meshc-shop-new", "app"), "registrar"),
    # Who may write a service may write it on every node: Consul has no narrower rule.
    "own service on a node that is there": put(
        "/v1/catalog/register", on("meshc-shop-web1", "app"), "registrar", "register-local"
    ),
    "admin interface on a node that is there": put(
        "/v1/catalog/register", on("somebody", "envoy-admin"), "registrar", "register-local"
    ),
    "a node that is there, elsewhere": put(
        "/v1/catalog/register",
        on("meshc-shop-web1", "app") | {"Address": "10.0.0.7"},
        "registrar",
    ),
    "somebody's service on it": put("/v1/catalog/register", on("meshc-shop-web1", "elsewhere")),
    "node of another mesh": put("/v1/catalog/register", on("meshc-other-web1", "app")),
    "somebody's node": put("/v1/catalog/register", {"Node": "somebody", "Address": "10.0.0.8"}),
    "node of the mesh, taken out": put(
        "/v1/catalog/deregister", {"Node": "meshc-shop-none"}, "registrar"
    ),
    "somebody's node, taken out": put("/v1/catalog/deregister", {"Node": "somebody"}),
    "a session here": put("/v1/session/create", {"TTL": "10s"}, "publisher", "registrar"),
    "a session elsewhere": put("/v1/session/create", {"TTL": "10s", "Node": "somebody"}),
    "own service, with the agent": put(
        "/v1/agent/service/register", {"Name": "app", "Port": 80}, "register-local", "registrar"
    ),
    "somebody's, with the agent": put("/v1/agent/service/register", {"Name": "elsewhere"}),
    "own service, out of the agent": put(
        "/v1/agent/service/deregister/app", "", "register-local", "registrar"
    ),
    "the agent itself": get("/v1/agent/self", "prometheus"),
    "maintenance": put("/v1/agent/maintenance?enable=false", ""),
    "leave": put("/v1/agent/leave", ""),
    "reload": put("/v1/agent/reload", ""),
    "tokens": get("/v1/acl/tokens"),
    "a token": put("/v1/acl/token", {"Policies": []}),
    "policies": get("/v1/acl/policies"),
    "a policy": put("/v1/acl/policy", {"Name": "mine", "Rules": 'acl = "write"'}),
    "snapshot": get("/v1/snapshot"),
    "raft": get("/v1/operator/raft/configuration"),
    "keyring": get("/v1/operator/keyring"),
    "an event": put("/v1/event/fire/mine", ""),
    "a configuration": put(
        "/v1/config", {"Kind": "service-defaults", "Name": "elsewhere", "Protocol": "http"}
    ),
    "a prepared query": Call(
        "POST", "/v1/query", {"Name": "mine", "Service": {"Service": "elsewhere"}}
    ),
}

_VALUES = {"MESH": "shop", "NODE": "web1", "SERVICE": "app"}


@pytest.fixture(scope="module")
def server(consul_cluster: Cluster) -> ConsulServer:
    """A server with two meshes in it, and things that are none of theirs."""
    server = consul_cluster.first
    keys = [
        *(f"meshc/v1/{mesh}/nodes/{node}" for mesh in ("shop", "other") for node in ("web1",)),
        *(f"meshc/v1/shop/nodes/{node}" for node in ("web2", "web12")),
        *(f"meshc/v1/{mesh}/{key}" for mesh in ("shop", "other") for key in ("blobs/aa", "index")),
        *(f"meshc/v1/{mesh}/specs/app" for mesh in ("shop", "other")),
        *(f"meshc/v1/shop/{key}" for key in ("registration-lock", "specs-revision", "lock")),
        "elsewhere",
    ]
    for key in keys:
        assert server.call("PUT", f"/v1/kv/{key}", "x")[0] == 200
    for node, service in (("meshc-shop-web1", "app"), ("somebody", "elsewhere")):
        assert server.call("PUT", "/v1/catalog/register", on(node, service))[0] == 200
    return server


@pytest.fixture(scope="module")
def tokens(server: ConsulServer) -> dict[str, str]:
    """A token for each role, by its name."""
    given = {}
    for role in sorted(one.stem for one in FOLDER.glob("*.hcl")):
        text = (FOLDER / f"{role}.hcl").read_text()
        values = {key: value for key, value in _VALUES.items() if key in text}
        if "AGENT" in text:
            values["AGENT"] = server.name
        parts = [rules(role, **values)]
        if role == "agent-health":
            parts.append(rules("agent", MESH="shop", NODE="web1"))
        given[role] = token_for(server, *parts)
    return given


def test_every_role_has_calls_of_its_own(tokens: dict[str, str]) -> None:
    assert set(tokens) == {role for call in CALLS.values() for role in call.may}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_may_be_made_by_these_roles_and_no_others(
    server: ConsulServer, tokens: dict[str, str], name: str
) -> None:
    call = CALLS[name]
    may = set()
    for role, token in tokens.items():
        _prepare(server)
        status, said = server.call(call.method, call.path, call.body, token=token)
        if status == 200 and call.shows in str(said):
            may.add(role)
        else:
            assert status in {200, 403, 404, 409}, (role, status, said)
            assert status != 409 or "Permission denied" in str(said), (role, said)
            assert status != 404 or call.shows, (role, said)
    assert may == set(call.may)


@pytest.mark.parametrize("name", CALLS)
def test_nobody_without_a_token_may_make_a_call(server: ConsulServer, name: str) -> None:
    call = CALLS[name]
    _prepare(server)
    status, said = server.call(call.method, call.path, call.body, token="")
    assert status in {403, 409} or (call.shows and call.shows not in str(said)), (status, said)


def test_a_host_registers_with_its_own_agent_by_rules_for_its_services(
    consul_cluster: Cluster, server: ConsulServer
) -> None:
    with start_client_agent(consul_cluster, "web1") as agent:
        token = token_for(server, rules("register-local", **_VALUES))
        with agent.client(token) as client:
            client.agent_register({"ID": "app-1", "Name": "app", "Port": 80})
            assert list(client.agent_services()) == ["app-1"]
            until_registered(server, "app-1")
            client.agent_deregister("app-1")


def until_registered(server: ConsulServer, service_id: str) -> None:
    """Wait until the agent has told the servers, with the token of who registered."""

    def is_there() -> bool:
        _, found = server.call("GET", "/v1/catalog/service/app")
        return service_id in {one["ServiceID"] for one in found}

    until(is_there, "the service is in the catalogue")


def _prepare(server: ConsulServer) -> None:
    """Put back what calls that may be made have changed."""
    for path, body in (
        ("/v1/agent/service/register", {"Name": "app", "Port": 80}),
        ("/v1/catalog/deregister", {"Node": "meshc-shop-new"}),
        ("/v1/catalog/register", on("meshc-shop-web1", "app")),
    ):
        assert server.call("PUT", path, body)[0] == 200
