"""`meshc explain`."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from typing import TYPE_CHECKING

import click

from meshc.cli.options import common_options, specs_option, terminal
from meshc.diagnostics.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshc.cli.options import Terminal
    from meshc.explain import Explanation
    from meshc.spec.places import SpecSource

_CODE = re.compile(r"MC[0-9]{3}\Z", re.IGNORECASE)
_WIDTH = 88


@click.command(
    "explain",
    epilog="Examples: meshc explain MC313; meshc explain front1; "
    "meshc explain front1 outbound/app. A host whose name looks like a code is not shown.",
)
@click.argument("subject", metavar="CODE|NODE")
@click.argument("resource", required=False)
@specs_option
@click.option("--format", "output", type=click.Choice(["text", "json"]), default="text")
@common_options
def command(subject: str, resource: str | None, specs: SpecSource, output: str) -> int:
    """Explain a diagnostic CODE, or why RESOURCE is on NODE.

    For a node: each listener, route, cluster and endpoint with the spec line behind it; and for
    each policy setting who had the last word.
    """
    shown = terminal()
    if _CODE.match(subject) and resource is None:
        return _explain_code(subject.upper(), output, shown)
    return _explain_node(subject, resource, specs, output, shown)


def _explain_code(code: str, output: str, shown: Terminal) -> int:
    from meshc.diagnostics.catalog import CATALOG  # noqa: PLC0415, start-up time

    entry = CATALOG.get(code)
    if entry is None:
        raise UnknownNameError("code", code, CATALOG)
    if output == "json":
        data = {
            "code": entry.code,
            "severity": entry.severity,
            "title": entry.title,
            "explanation": entry.explanation,
            "example": dict(entry.example),
        }
        click.echo(json.dumps(data, indent=2))
        return 0
    style = shown.style(sys.stdout)
    shown.show(f"{style(f'{entry.severity}[{code}]', entry.severity)}: {entry.title}\n")
    shown.show(textwrap.fill(entry.explanation, _WIDTH))
    if entry.example:
        shown.show("\nAn example that gives this code:")
    for name, text in entry.example.items():
        shown.show(f"\n  {style(name, 'place')}")
        shown.show(
            textwrap.indent(
                text.encode("unicode_escape").decode().replace("\\n", "\n").rstrip(), "    "
            )
        )
    return 0


def _explain_node(
    node: str, resource: str | None, specs: SpecSource, output: str, shown: Terminal
) -> int:
    from meshc.cli.report import show_findings, tally  # noqa: PLC0415, start-up time
    from meshc.explain import explain_node  # noqa: PLC0415, start-up time

    result, explanations = explain_node(specs, node, resource)
    if result.has_errors:
        show_findings(
            result.diagnostics, result, specs=specs, output="text", stream=sys.stderr, shown=shown
        )
        shown.warn(f"{tally(result.diagnostics)} in {specs.root}")
        return 1
    root = specs.root
    if output == "json":
        click.echo(json.dumps([_data(entry, root) for entry in explanations], indent=2))
    else:
        _print(explanations, root, shown)
    return 0


def _print(explanations: Sequence[Explanation], root: str, shown: Terminal) -> None:
    style = shown.style(sys.stdout)
    for entry in explanations:
        shown.show(f"{entry.kind} {style(entry.name, 'place')}: {entry.reason}")
        shown.show(f"  from {root}/{entry.span}")
        for what, span in entry.places:
            shown.show(f"  {what}: {root}/{span}")
        for setting in entry.settings:
            where = f" ({root}/{setting.span})" if setting.span else ""
            shown.show(f"  {setting.name} = {setting.value}: {setting.layer}{where}")


def _data(entry: Explanation, root: str) -> dict[str, object]:
    return {
        "kind": entry.kind,
        "name": entry.name,
        "reason": entry.reason,
        "place": f"{root}/{entry.span}",
        "places": [{"what": what, "place": f"{root}/{span}"} for what, span in entry.places],
        "settings": [
            {
                "name": setting.name,
                "value": setting.value,
                "layer": setting.layer,
                "place": f"{root}/{setting.span}" if setting.span else None,
            }
            for setting in entry.settings
        ],
    }
