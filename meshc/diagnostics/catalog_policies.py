"""Codes 4xx and 5xx: nodes, protocols and policies."""

from meshc.diagnostics.entry import CatalogEntry
from meshc.diagnostics.samples import CALLS_DB, service

POLICIES: tuple[CatalogEntry, ...] = (
    CatalogEntry(
        code="MC401",
        severity="error",
        title="too many watched files",
        explanation="Each file that an Envoy watches costs an inotify instance, and an Envoy "
        "that gets none aborts. Many systems allow 128 for one user. Fewer files are needed with "
        "endpoints: inline or routes: inline; more are allowed with limits.fileSubscriptions, "
        "after fs.inotify.max_user_instances was raised on the hosts.",
        example={
            "app.yaml": service("app1", "10.0.0.1", CALLS_DB),
            "db.yaml": service("db1", "10.0.0.2"),
            "mesh.yaml": "limits: {fileSubscriptions: 4}\n",
        },
    ),
    CatalogEntry(
        code="MC501",
        severity="error",
        title="policy that the protocol cannot have",
        explanation="A policy, or one of its fields, needs something that the service's protocol "
        "does not offer: a limit of one try needs requests, TCP has bytes. In defaults of "
        "mesh.yaml the same policy is allowed and simply passes such services by.",
        example={
            "db.yaml": service("db1", "10.0.0.1", "retries: {perTryTimeout: 1s}\n", protocol="TCP")
        },
    ),
    CatalogEntry(
        code="MC502",
        severity="error",
        title="incomplete hashing",
        explanation="hashOn needs exactly one thing that is hashed, and the policies ringHash "
        "and maglev need hashOn.",
        example={"app.yaml": "protocol: HTTP\nloadBalancing: {policy: maglev, hashOn: {}}\n"},
    ),
    CatalogEntry(
        code="MC503",
        severity="error",
        title="policy of the called side",
        explanation="Some policies are for the Envoys of a service's own hosts, such as how much "
        "they hand to the application at once. A caller cannot set them in its dependency, and a "
        "service outside the mesh has no Envoy of ours that would follow them.",
        example={
            "app.yaml": service("app1", "10.0.0.1"),
            "front.yaml": service(
                "front1",
                "10.0.0.2",
                "dependentServices:\n- {name: app, egressPort: 9001, inbound: {maxRequests: 5}}\n",
            ),
        },
    ),
    CatalogEntry(
        code="MC504",
        severity="error",
        title="limits that contradict each other",
        explanation="Two fields of one policy exclude each other, such as a first time without "
        "requests that is longer than the longest. The fields may come from different places: "
        "meshc explain shows who had the last word on each.",
        example={
            "app.yaml": "protocol: HTTP\n"
            "outlierDetection: {ejectionTime: 30s, maxEjectionTime: 10s}\n"
        },
    ),
    CatalogEntry(
        code="MC505",
        severity="warning",
        title="policy that gRPC's own clients refuse",
        explanation="The node is to be a program with gRPC's own xDS client, and some of these "
        "libraries refuse a service because of the way in which its hosts are chosen: each call "
        "of it fails then. All refuse random and maglev; grpc-js and gRPC for C++, Python, Ruby "
        "and PHP refuse leastRequest as well. Only meshc bootstrap --mode grpc-client knows of "
        "such programs and reports it.",
    ),
)
