"""`meshc check`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from meshc.cli.options import common_options, judge_options, out_option, specs_option, terminal
from meshc.cli.report import counted, failed, run_build, show_findings, tally

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.spec.places import SpecSource


@click.command(
    "check",
    epilog="Examples: meshc check; meshc check --format github (annotations in a workflow); "
    "meshc check --format sarif > meshc.sarif. Each code is explained by: meshc explain CODE.",
)
@specs_option
@out_option
@click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json", "sarif", "github"]),
    default="text",
    help="For people, programs, code scanning, workflow annotations.",
)
@judge_options
@common_options
def command(  # noqa: PLR0917, click calls by keyword
    specs: SpecSource,
    out: Path,
    output: str,
    envoy: str,
    require_envoy: bool,
    strict: bool,
    cache: str,
) -> int:
    """Report everything that is wrong with the specs; write nothing.

    All findings come at once, sorted, each with file, line, column and a hint. The exit code is
    1 if one of them is an error, or a warning under --strict.
    """
    shown = terminal()
    result, findings = run_build(
        shown,
        specs=specs,
        out=out,
        is_dry=True,
        is_strict=False,
        envoy=envoy,
        require_envoy=require_envoy,
        cache=cache,
    )
    is_failed = failed(findings, is_strict=strict)
    visible = [f for f in findings if not shown.is_quiet or failed([f], is_strict=strict)]
    show_findings(visible, result, specs=specs, output=output, stream=sys.stdout, shown=shown)
    if output == "text":
        if findings:
            shown.say(f"{tally(findings)} in {specs.root}")
        if not is_failed:
            style = shown.style(sys.stdout)
            shown.say(
                f"{style('ok', 'good')}: {counted(result.services, 'service')}, "
                f"{counted(result.nodes, 'node')}"
            )
    return int(is_failed)
