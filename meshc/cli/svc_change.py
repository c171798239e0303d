"""How `meshc svc` shows what became of a change."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from meshc.cli.report import failed, tally
from meshc.diagnostics.errors import UnknownNameError
from meshc.diagnostics.render import render_text, to_data

if TYPE_CHECKING:
    from meshc.cli.options import Terminal
    from meshc.store.apply import Outcome


_SHOWN_CHANGES = 20


def truth(value: bool) -> str:
    """Return `true` or `false`."""
    return str(value).lower()


def show_outcome(outcome: Outcome, *, is_dry: bool, output: str, shown: Terminal) -> int:
    """Print what became of a change and return the exit code."""
    has_errors = outcome.judgement.has_errors
    if output == "json":
        click.echo(_as_json(outcome, is_dry=is_dry))
    else:
        _show_findings(outcome, shown)
        if has_errors:
            shown.warn(f"{tally(outcome.judgement.diagnostics)}; nothing was stored")
        else:
            _show_changes(outcome, shown, is_dry=is_dry)
    if not outcome.is_settled:
        shown.warn(
            "the change counts, but Consul failed before its documents were where they belong; "
            "the next change moves them there"
        )
    return int(has_errors or (is_dry and outcome.has_changed))


def _show_findings(outcome: Outcome, shown: Terminal) -> None:
    found = outcome.judgement.diagnostics
    visible = [one for one in found if not shown.is_quiet or failed([one], is_strict=False)]
    texts = {name: source.text for name, source in outcome.judgement.sources.items()}
    text = render_text(visible, texts, root="", style=shown.style(sys.stderr))
    if text:
        shown.show(text, newline=False, stream=sys.stderr)


def _show_changes(outcome: Outcome, shown: Terminal, *, is_dry: bool) -> None:
    for name in outcome.missing:
        error = UnknownNameError("document", name, outcome.names)
        shown.warn(f"{error.message} ({error.hint})")
    word = "CHECK" if is_dry else "OK"
    shown.say(f"{word} (Changed={truth(outcome.has_changed)})")
    plan = outcome.plan
    if len(plan.changes) + len(plan.unchanged) > 1 or shown.verbosity:
        lines = [f"  {change.kind:<9} {change.name}" for change in plan.changes]
        if shown.verbosity:
            lines += [f"  unchanged {name}" for name in plan.unchanged]
        elif len(lines) > _SHOWN_CHANGES:
            lines[_SHOWN_CHANGES:] = [f"  … and {len(lines) - _SHOWN_CHANGES} more"]
        for line in lines:
            shown.say(line)


def _as_json(outcome: Outcome, *, is_dry: bool) -> str:
    data = {
        "ok": not outcome.judgement.has_errors,
        "changed": outcome.has_changed,
        "dry": is_dry,
        "revision": outcome.revision,
        "documents": [
            *({"name": change.name, "change": change.kind} for change in outcome.plan.changes),
            *({"name": name, "change": "unchanged"} for name in outcome.plan.unchanged),
            *({"name": name, "change": "absent"} for name in outcome.missing),
        ],
        "diagnostics": [to_data(one, "") for one in outcome.judgement.diagnostics],
    }
    return json.dumps(data, indent=2, ensure_ascii=False)
