"""`meshc build`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from meshc.cli.options import common_options, judge_options, out_option, specs_option, terminal
from meshc.cli.report import counted, failed, result_data, run_build, show_findings, tally

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.cli.options import Terminal
    from meshc.pipeline import BuildResult
    from meshc.spec.places import SpecSource

_SHOWN_FILES = 20


@click.command(
    "build",
    epilog="Examples: meshc build; meshc build --check (in CI: fails if out/ is not what the "
    "specs give); meshc build --specs teams --out /srv/bundle --strict --require-envoy.",
)
@specs_option
@out_option
@click.option("--check", "is_check", is_flag=True, help="Write nothing; exit 1 if --out is stale.")
@click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="How to show the result.",
)
@judge_options
@common_options
def command(  # noqa: PLR0917, click calls by keyword
    specs: SpecSource,
    out: Path,
    is_check: bool,
    output: str,
    envoy: str,
    require_envoy: bool,
    strict: bool,
    cache: str,
) -> int:
    """Compile the specs into validated per-node Envoy files.

    Everything is checked before anything is written: the specs, Envoy's schema, the references
    within each node, and by a real Envoy if there is one. Where something is wrong, nothing
    changes. Files that stay the same are not touched.
    """
    shown = terminal()
    result, findings = run_build(
        shown,
        specs=specs,
        out=out,
        is_dry=is_check,
        is_strict=strict,
        envoy=envoy,
        require_envoy=require_envoy,
        cache=cache,
    )
    is_failed = failed(findings, is_strict=strict)
    is_stale = is_check and bool(result.changed or result.removed or result.foreign)
    if output == "json":
        state = {"ok": not is_failed, "up_to_date": not (is_failed or is_stale)}
        extra = state if is_check else {"ok": not is_failed}
        click.echo(result_data(result, findings, specs.root, extra), nl=False)
    else:
        visible = [f for f in findings if not shown.is_quiet or failed([f], is_strict=strict)]
        show_findings(visible, result, specs=specs, output="text", stream=sys.stderr, shown=shown)
        if not is_check:
            _show_foreign(shown, result, out)
        if is_failed:
            shown.warn(f"{tally(findings)}; nothing was written")
        elif is_check:
            _show_check(shown, result, out)
        else:
            _show_summary(shown, result, out)
    return int(is_failed or is_stale)


def _show_foreign(shown: Terminal, result: BuildResult, out: Path) -> None:
    """Name files of somebody else; they stay, and no agent takes them."""
    for path in result.foreign[:_SHOWN_FILES]:
        shown.warn(f"warning: {out / path} is not part of the bundle, and was left alone")
    if len(result.foreign) > _SHOWN_FILES:
        shown.warn(f"warning: … and {len(result.foreign) - _SHOWN_FILES} more")


def _show_check(shown: Terminal, result: BuildResult, out: Path) -> None:
    if not (result.changed or result.removed or result.foreign):
        shown.say(f"{out} is what the specs give ({counted(result.unchanged, 'file')})")
        return
    marked = [f"  differs  {path}" for path in sorted(result.changed)]
    marked += [f"  too much {path}" for path in result.removed]
    marked += [f"  foreign  {path}" for path in result.foreign]
    for line in marked[:_SHOWN_FILES]:
        shown.warn(line)
    if len(marked) > _SHOWN_FILES:
        shown.warn(f"  … and {len(marked) - _SHOWN_FILES} more")
    if result.foreign:
        shown.warn("foreign: no build has made them, and none removes them; move them away")
    todo = "; run: meshc build" if result.changed or result.removed else ""
    shown.warn(f"{out} is not what the specs give{todo}")


def _show_summary(shown: Terminal, result: BuildResult, out: Path) -> None:
    style = shown.style(sys.stdout)
    shown.say(
        f"{style('built', 'good')} {out}: {counted(result.services, 'service')}, "
        f"{counted(result.nodes, 'node')}; "
        f"{counted(len(result.changed), 'file')} written, {result.unchanged:,} unchanged, "
        f"{len(result.removed):,} removed; {result.seconds:.2f} s"
    )
    if terminal().verbosity:
        shown.say(
            f"{counted(result.checked, 'resource')} checked against Envoy's schema, "
            f"{result.judged:,} judged by Envoy; the rest was known"
        )
        for path in sorted(result.changed):
            shown.say(f"  written  {path}")
        for path in result.removed:
            shown.say(f"  removed  {path}")
