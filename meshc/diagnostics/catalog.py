"""Every diagnostic code: what it means, why it matters, and an example that the tests run.

The first digit names the room: 1 text and YAML, 2 schema, 3 linking, 4 planning, 5 protocols
and policies, 6 resources and consistency, 7 Envoy's answer, 8 delivery.
A code means one thing for ever; retired codes stay here, marked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshc.diagnostics.catalog_linking import LINKING
from meshc.diagnostics.catalog_policies import POLICIES
from meshc.diagnostics.catalog_resources import RESOURCES
from meshc.diagnostics.catalog_schema import SCHEMA
from meshc.diagnostics.catalog_text import TEXT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.diagnostics.entry import CatalogEntry

CATALOG: Mapping[str, CatalogEntry] = {
    entry.code: entry for entry in (*TEXT, *SCHEMA, *LINKING, *POLICIES, *RESOURCES)
}
