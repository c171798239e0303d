"""The bootstrap of a node's Envoy: rendered from the one template, parsed back."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import orjson

from meshc.artifact.layout import CDS, LDS, on_host
from meshc.compile.resources import BOOTSTRAP, Resource
from meshc.diagnostics import InternalError

if TYPE_CHECKING:
    import jinja2

    from meshc.compile.interfaces import CompileContext
    from meshc.model.mesh import Node


@functools.cache
def _template() -> jinja2.Template:
    # Imported on first use: a build that changes no node never pays the 50 ms.
    import jinja2  # noqa: PLC0415

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("meshc.compile"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701, the output is JSON; `tojson` writes every value
    )
    environment.filters["tojson"] = lambda value: orjson.dumps(
        value, option=orjson.OPT_SORT_KEYS
    ).decode()
    return environment.get_template("bootstrap.json.j2")


def bootstrap_resource(node: Node, context: CompileContext) -> Resource:
    """Return the `Bootstrap` of a node, in file mode."""
    settings = context.settings
    text = _template().render(
        node={
            "id": node.id,
            "cluster": node.cluster,
            "region": node.locality.region,
            "zone": node.locality.zone,
            "labels": dict(node.labels),
            "admin_host": node.admin.host,
            "admin_port": node.admin.port,
        },
        mesh=settings.name,
        lds=on_host(settings.xds_directory, LDS),
        cds=on_host(settings.xds_directory, CDS),
    )
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InternalError(f"the bootstrap template gives no JSON: {error}") from error
    return Resource.of(BOOTSTRAP, node.id, message, node.origin)
