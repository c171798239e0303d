"""Codes 3xx: documents that do not fit each other."""

from meshc.diagnostics.entry import CatalogEntry
from meshc.diagnostics.samples import CALLS_DB, service

LINKING: tuple[CatalogEntry, ...] = (
    CatalogEntry(
        code="MC301",
        severity="error",
        title="service described twice",
        explanation="Two documents have the same service name, by their file's name or by name:. "
        "A service is one document, so that nobody wonders which of them holds.",
        example={
            "app.yaml": service("app1", "10.0.0.1"),
            "other.yaml": "name: app\n" + service("app2", "10.0.0.2"),
        },
    ),
    CatalogEntry(
        code="MC302",
        severity="error",
        title="names that differ only in case",
        explanation="Two services or two hosts have names that differ in nothing but upper and "
        "lower case. Their files would be one file on some systems, and people mix them up.",
        example={
            "app.yaml": service("app1", "10.0.0.1"),
            "other.yaml": "name: App\n" + service("app2", "10.0.0.2"),
        },
    ),
    CatalogEntry(
        code="MC303",
        severity="error",
        title="mesh described twice",
        explanation="The settings of the mesh stand in one file: mesh.yaml, mesh.yml or mesh.json.",
        example={
            "app.yaml": service("app1", "10.0.0.1"),
            "mesh.json": "{}\n",
            "mesh.yaml": "name: shop\n",
        },
    ),
    CatalogEntry(
        code="MC304",
        severity="error",
        title="host listed twice",
        explanation="A service lists the same host name twice. A host runs one instance of a "
        "service; two instances on one machine need two host names and two Envoys.",
        example={
            "app.yaml": service(
                "app1",
                "10.0.0.1",
                "- name: app1\n  ingressAddr: {host: 10.0.0.2, port: 80}\n"
                "  substanceAddr: {host: 127.0.0.1, port: 9000}\n",
            )
        },
    ),
    CatalogEntry(
        code="MC305",
        severity="error",
        title="dependency listed twice",
        explanation="A service lists the same dependency twice. One port of the own Envoy is "
        "enough to reach it.",
        example={
            "app.yaml": service("app1", "10.0.0.1", CALLS_DB + "- name: db\n  egressPort: 9002\n"),
            "db.yaml": service("db1", "10.0.0.2"),
        },
    ),
    CatalogEntry(
        code="MC306",
        severity="error",
        title="unknown service",
        explanation="A dependency names a service that no document describes. The hint names "
        "the nearest one that exists. A service outside the mesh needs a document too, with "
        "externalAddr instead of the addresses of an Envoy.",
        example={
            "app.yaml": service("app1", "10.0.0.1", CALLS_DB),
            "dbs.yaml": service("db1", "10.0.0.2"),
        },
    ),
    CatalogEntry(
        code="MC307",
        severity="error",
        title="service that depends on itself",
        explanation="A service lists itself as a dependency, which is a copying mistake nearly "
        "always. Instances that talk to each other do so by their own means.",
        example={"db.yaml": service("db1", "10.0.0.1", CALLS_DB)},
    ),
    CatalogEntry(
        code="MC308",
        severity="error",
        title="protocol mismatch",
        explanation="A dependency says what the caller speaks, and the called service speaks "
        "something else. Leave the key out to follow whatever the service speaks. What a service "
        "speaks that only Consul knows is what its callers say, all of them the same.",
        example={
            "app.yaml": service(
                "app1",
                "10.0.0.1",
                "dependentServices:\n- {name: db, egressPort: 9001, protocol: HTTP}\n",
            ),
            "db.yaml": service("db1", "10.0.0.2", protocol="TCP"),
        },
    ),
    CatalogEntry(
        code="MC309",
        severity="warning",
        title="dependency without hosts",
        explanation="A service that somebody depends on has no hosts, so every call to it will "
        "fail until it has. This is allowed because a service may be described before it runs.",
        example={
            "app.yaml": service("app1", "10.0.0.1", CALLS_DB),
            "db.yaml": "protocol: HTTP\n",
        },
    ),
    CatalogEntry(
        code="MC310",
        severity="error",
        title="one host described in two ways",
        explanation="The same host name in several services is one host with one Envoy. What "
        "is said of the host itself (labels, locality, adminAddr) must be the same everywhere, "
        "or be said in one place only.",
        example={
            "app.yaml": service("box", "10.0.0.1", "  locality: {region: east}\n"),
            "db.yaml": "protocol: TCP\nhosts:\n- name: box\n"
            "  ingressAddr: {host: 10.0.0.1, port: 81}\n"
            "  substanceAddr: {host: 127.0.0.1, port: 9001}\n  locality: {region: west}\n",
        },
    ),
    CatalogEntry(
        code="MC311",
        severity="error",
        title="hosts inside and outside the mesh",
        explanation="A service has hosts with an Envoy of ours and hosts without. Calls to the "
        "two kinds need different settings, so they are two services.",
        example={
            "app.yaml": service(
                "app1",
                "10.0.0.1",
                "- name: old\n  externalAddr: {host: old.example.com, port: 80}\n",
            )
        },
    ),
    CatalogEntry(
        code="MC312",
        severity="error",
        title="ingress equals substance",
        explanation="ingressAddr is where Envoy listens for others, substanceAddr where the "
        "application listens for Envoy. They cannot be the same socket.",
        example={
            "app.yaml": "protocol: HTTP\nhosts:\n- name: app1\n"
            "  ingressAddr: {host: 10.0.0.1, port: 80}\n"
            "  substanceAddr: {host: 10.0.0.1, port: 80}\n"
        },
    ),
    CatalogEntry(
        code="MC313",
        severity="error",
        title="addresses that clash on one host",
        explanation="Two things on one host need the same port at addresses that overlap: "
        "traffic from others (ingressAddr), own calls (egressHost with egressPort), the "
        "application (substanceAddr), Envoy's admin page. 0.0.0.0 overlaps every IPv4 address, "
        ":: every address.",
        example={
            "app.yaml": service(
                "app1", "10.0.0.1", "dependentServices:\n- {name: db, egressPort: 9000}\n"
            ),
            "db.yaml": service("db1", "10.0.0.2"),
        },
    ),
    CatalogEntry(
        code="MC314",
        severity="warning",
        title="setting without effect",
        explanation="A part of mesh.yaml applies to nothing in this mesh, for example tracing "
        "where no service has requests, or retries where everything is TCP.",
        example={
            "db.yaml": service("db1", "10.0.0.1", protocol="TCP"),
            "mesh.yaml": "tracing:\n  zipkin: {host: 10.0.0.9}\n",
        },
    ),
    CatalogEntry(
        code="MC315",
        severity="error",
        title="external service with dependencies",
        explanation="A service outside the mesh has no Envoy of ours, so there is nothing that "
        "could make its calls.",
        example={
            "api.yaml": "protocol: HTTP\nhosts:\n- name: api\n"
            "  externalAddr: {host: api.example.com, port: 80}\n" + CALLS_DB,
            "db.yaml": service("db1", "10.0.0.2"),
        },
    ),
    CatalogEntry(
        code="MC316",
        severity="error",
        title="no services",
        explanation="The documents describe no service at all. Compiling it would take every "
        "host's configuration away, so an empty mesh is refused.",
        example={"mesh.yaml": "name: shop\n"},
    ),
    CatalogEntry(
        code="MC317",
        severity="warning",
        title="application address shared by two services",
        explanation="Two services on one host have the same substanceAddr. That is fine where "
        "one program serves both, and a copying mistake otherwise.",
        example={
            "app.yaml": service("box", "10.0.0.1"),
            "db.yaml": "protocol: TCP\nhosts:\n- name: box\n"
            "  ingressAddr: {host: 10.0.0.1, port: 81}\n"
            "  substanceAddr: {host: 127.0.0.1, port: 9000}\n",
        },
    ),
    CatalogEntry(
        code="MC318",
        severity="error",
        title="ingress address that nobody can call",
        explanation="ingressAddr is also where other hosts connect to, so it must be an address "
        "of this host; 0.0.0.0 and :: are not.",
        example={"app.yaml": service("app1", "0.0.0.0")},  # noqa: S104, the mistake shown
    ),
    CatalogEntry(
        code="MC319",
        severity="error",
        title="two hosts with one address",
        explanation="Two hosts claim the same ingressAddr. One of the entries is a copy whose "
        "address was not changed.",
        example={
            "app.yaml": service("app1", "10.0.0.1"),
            "db.yaml": service("db1", "10.0.0.1"),
        },
    ),
    CatalogEntry(
        code="MC320",
        severity="error",
        title="service of the mesh taken from Consul",
        explanation="A dependency says from: consul, which is for services that only Consul "
        "knows, and a document of this mesh describes a service of that name. Its hosts are "
        "those of the document; with health: {from: consul} a caller uses those of them that "
        "pass in Consul.",
        example={
            "app.yaml": service(
                "app1",
                "10.0.0.1",
                "dependentServices:\n"
                "- {name: db, egressPort: 9001, from: consul, protocol: HTTP}\n",
            ),
            "db.yaml": service("db1", "10.0.0.2"),
        },
    ),
    CatalogEntry(
        code="MC321",
        severity="error",
        title="health of hosts outside the mesh",
        explanation="A dependency follows the health of a service whose hosts are outside the "
        "mesh, so nobody registers them in Consul as what the document calls them. Where Consul "
        "knows them by itself, the document can go, and the dependency says from: consul.",
        example={
            "app.yaml": service(
                "app1",
                "10.0.0.1",
                "dependentServices:\n- {name: api, egressPort: 9001, health: {from: consul}}\n",
            ),
            "api.yaml": "protocol: HTTP\nhosts:\n- name: api\n"
            "  externalAddr: {host: api.example.com, port: 80}\n",
        },
    ),
    CatalogEntry(
        code="MC322",
        severity="error",
        title="endpoints that cannot change at run time",
        explanation="A dependency lets Consul say which hosts are used, and mesh.yaml says "
        "endpoints: inline. The agent of a host changes endpoints in a file of their own and "
        "nothing else; inside a cluster every change would be a new cluster.",
        example={
            "app.yaml": service(
                "app1",
                "10.0.0.1",
                "dependentServices:\n- {name: db, egressPort: 9001, health: {from: consul}}\n",
            ),
            "db.yaml": service("db1", "10.0.0.2"),
            "mesh.yaml": "endpoints: inline\n",
        },
    ),
    CatalogEntry(
        code="MC323",
        severity="warning",
        title="plain text to port 443",
        explanation="A service outside the mesh has requests and a host at port 443, where servers "
        "expect TLS. Envoy speaks plain text to it, so every request would fail. With protocol: "
        "TCP the application encrypts and Envoy passes its bytes on.",
        example={
            "pay.yaml": "protocol: HTTP\nhosts:\n- name: pay1\n"
            "  externalAddr: {host: api.example.com, port: 443}\n"
        },
    ),
    CatalogEntry(
        code="MC330",
        severity="warning",
        title="dependency that is not in the store yet",
        explanation="A document was stored that names a dependency which the store does not have. "
        "That is allowed, because one of two services has to come first; until the other is "
        "applied, meshc build refuses the mesh.",
        example={},
    ),
    CatalogEntry(
        code="MC331",
        severity="error",
        title="mesh of another name than its store",
        explanation="A store in Consul belongs to the mesh whose name is in its address, and "
        "mesh.yaml gives the mesh another name. What is published goes by the name in mesh.yaml, "
        "so two stores would write over each other.",
        example={},
    ),
    CatalogEntry(
        code="MC332",
        severity="warning",
        title="store without the name of its mesh",
        explanation="A store in Consul without a mesh.yaml that names the mesh. Its mesh now has "
        "the name in the store's address.",
        example={},
        retired=True,
    ),
)
