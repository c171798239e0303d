"""`meshc agent`: delivery on a host."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NoReturn

import click

from meshc.cli.agent_options import SYSTEM_FILE, place_options, settings_options
from meshc.cli.options import common_options, terminal
from meshc.delivery.agent.settings import AgentSettings, load_settings, places
from meshc.delivery.log import Log

if TYPE_CHECKING:
    from pathlib import Path

_ROLLBACK_S = 120.0
_ANSWER_S = 10.0
_WORLD = 3


def _given(file: Path | None, flags: dict[str, Any]) -> tuple[AgentSettings, Log]:
    settings = load_settings(flags, file=_file(file), environment=os.environ)
    return settings, Log(is_json=settings.log == "json")


def _file(given: Path | None) -> Path | None:
    if given is None and SYSTEM_FILE.is_file():
        return SYSTEM_FILE
    return given


def _places(file: Path | None, target: str | None, state: str | None) -> tuple[Path, Path]:
    flags = {"target": target, "state": state}
    return places(flags, file=_file(file), environment=os.environ)


@click.group("agent")
@common_options
def command() -> None:
    """Deliver a node's files under its running Envoy, and know what Envoy made of them.

    Settings come from a TOML file, then MESHC_AGENT_* in the environment, then flags.
    """


@command.command(
    "run",
    epilog="Example: meshc agent run --node front1 --source /srv/mesh/out "
    "--target /var/lib/meshc/envoy",
)
@settings_options
@common_options
def run_command(file: Path | None, **flags: Any) -> NoReturn:
    """Follow a source for ever; this is what the service runs."""
    from meshc.delivery.agent.__main__ import become_resident  # noqa: PLC0415, start-up time

    settings, _ = _given(file, flags)
    become_resident(settings)


@command.command(
    "once",
    epilog="Example: meshc agent once --node front1 --source out --target /var/lib/meshc/envoy",
)
@settings_options
@common_options
def once_command(file: Path | None, **flags: Any) -> int:
    """Deliver what the source has now, and end.

    Exit codes: 0 it runs, or ran already; 1 refused, by Envoy or a guard, or paused; 3 the world
    is in the way.
    """
    from meshc.delivery.agent.generations import short  # noqa: PLC0415, start-up time
    from meshc.delivery.agent.run import Agent  # noqa: PLC0415, start-up time
    from meshc.delivery.agent.status import word_of  # noqa: PLC0415, start-up time

    settings, log = _given(file, flags)
    with Agent(settings, log, is_resident=False) as agent:
        verdict = agent.once()
        word = word_of(agent.state, patience=1)
        good = agent.state.ledger.good
    if not verdict.value and word.state == "starting":
        summary = f"LAID OUT: generation {short(good or '')} lies there, complete"
        _say(summary, "start Envoy, if it does not run", is_good=True)
    else:
        _say(word.summary, word.todo, is_good=not verdict.value)
    return verdict.value


@command.command(
    "prepare",
    epilog="Example, before Envoy starts: meshc agent prepare --node front1 --source /srv/mesh/out "
    "--target /var/lib/meshc/envoy",
)
@settings_options
@common_options
def prepare_command(file: Path | None, **flags: Any) -> int:
    """Make sure that Envoy will find a complete set, before it starts.

    An empty target is filled from the source; what a killed agent had begun is taken back.
    """
    from meshc.delivery.agent.prepare import prepare  # noqa: PLC0415, start-up time

    settings, _ = _given(file, flags)
    terminal().say(f"{settings.target}: {prepare(settings)}")
    return 0


@command.command(
    "status",
    epilog="Examples: meshc agent status --target /var/lib/meshc/envoy; "
    "for scripts: meshc agent status --json | jq -r .summary",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@place_options
@common_options
def status_command(file: Path | None, target: str | None, state: str | None, as_json: bool) -> int:
    """Tell how delivery on this host is: the first line says it all.

    Exit codes: 0 well; 1 somebody has to act; 3 no agent runs here.
    """
    import json  # noqa: PLC0415, start-up time

    from meshc.delivery.agent.inotify import envoy_user, room_of  # noqa: PLC0415
    from meshc.delivery.agent.lock import owner_of  # noqa: PLC0415
    from meshc.delivery.agent.render import WELL, render_status  # noqa: PLC0415
    from meshc.delivery.agent.status import read_status  # noqa: PLC0415

    where, memory = _places(file, target, state)
    found = read_status(memory)
    is_running = owner_of(where) is not None
    if found is None:
        summary = "THE AGENT IS STARTING" if is_running else f"NO AGENT HAS RUN on {where}"
        todo = "" if is_running else f"meshc agent run --target {where} …"
        if as_json:
            none = {"state": "none", "summary": summary, "todo": todo, "running": is_running}
            click.echo(json.dumps(none, indent=2))
        else:
            _say(summary, todo, is_good=False)
        return _WORLD
    room = room_of(envoy_user(target=where))
    if as_json:
        limits = {"limit": room.limit, "used": room.used} if room else None
        click.echo(json.dumps(found | {"running": is_running, "inotify": limits}, indent=2))
    else:
        text = render_status(found, is_running=is_running, room=room, now=time.time())
        terminal().show(text, newline=False)
    if not is_running:
        return _WORLD
    return 0 if found["state"] in WELL else 1


@command.command(
    "history",
    epilog="Example: meshc agent history -n 5 --target /var/lib/meshc/envoy",
)
@click.option("-n", "count", type=int, default=20, show_default=True, help="How many events.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one event a line.")
@place_options
@common_options
def history_command(
    file: Path | None, target: str | None, state: str | None, count: int, as_json: bool
) -> int:
    """Tell what the agent did, the newest last."""
    import json  # noqa: PLC0415, start-up time

    from meshc.delivery.agent.history import read_history  # noqa: PLC0415
    from meshc.delivery.agent.render import render_history  # noqa: PLC0415

    _, memory = _places(file, target, state)
    entries = read_history(memory, count)
    if as_json:
        click.echo("".join(json.dumps(entry) + "\n" for entry in entries), nl=False)
    else:
        if not entries:
            _say("nothing has happened here so far", "", is_good=True)
        terminal().show(render_history(entries, time.time()), newline=False)
    return 0


@command.command(
    "rollback",
    epilog="Examples: meshc agent rollback; to a certain one: meshc agent rollback 02af0b6; "
    "meshc agent history and status name them",
)
@click.argument("generation", default="")
@settings_options
@common_options
def rollback_command(file: Path | None, generation: str, **flags: Any) -> int:
    """Go back to GENERATION, or to the one before, and do not follow the source any more.

    To follow it again: meshc agent resume. Without a running agent this command delivers itself.
    """
    where, memory = _places(file, flags["target"], flags["state"])
    from meshc.delivery.agent.lock import owner_of  # noqa: PLC0415, start-up time

    if owner_of(where) is not None:
        return _request(memory, "rollback", _ROLLBACK_S, generation=generation)
    from meshc.delivery.agent.rollback import rollback_asked, rollback_target  # noqa: PLC0415
    from meshc.delivery.agent.run import Agent  # noqa: PLC0415

    settings, log = _given(file, flags)
    with Agent(settings, log, is_resident=False) as agent:
        wanted = rollback_target(agent.state.ledger, agent.store, generation)
        verdict = agent.once(rollback_asked(wanted))
    _say(
        f"rollback to {wanted[:12]}: {'done' if not verdict.value else 'NOT done'}",
        "",
        is_good=not verdict.value,
    )
    return verdict.value


@command.command(
    "pause",
    epilog='Example: meshc agent pause --reason "the database moves" --target /var/lib/meshc/envoy',
)
@click.option("--reason", default="", help="Shown by status.")
@place_options
@common_options
def pause_command(file: Path | None, target: str | None, state: str | None, reason: str) -> int:
    """Do not follow the source any more; what runs goes on."""
    return _set_pause(file, target, state, reason or "paused by an operator")


@command.command(
    "resume",
    epilog="Example: meshc agent resume --target /var/lib/meshc/envoy",
)
@place_options
@common_options
def resume_command(file: Path | None, target: str | None, state: str | None) -> int:
    """Follow the source again."""
    return _set_pause(file, target, state, "")


@command.command(
    "allow",
    epilog="Example: meshc agent allow 02af0b6, as meshc agent status names it",
)
@click.argument("generation")
@place_options
@common_options
def allow_command(file: Path | None, target: str | None, state: str | None, generation: str) -> int:
    """Give the word for GENERATION, which a guard holds back, or lift its quarantine.

    The latter is for causes that lay on this host, such as a port that was taken.
    """
    return _request(_running(file, target, state), "allow", _ANSWER_S, generation=generation)


def _set_pause(file: Path | None, target: str | None, state: str | None, reason: str) -> int:
    from meshc.delivery.agent.absent import pause_absent  # noqa: PLC0415, start-up time
    from meshc.delivery.agent.lock import owner_of  # noqa: PLC0415

    where, memory = _places(file, target, state)
    name = "pause" if reason else "resume"
    if owner_of(where) is not None:
        return _request(memory, name, _ANSWER_S, reason=reason)
    pause_absent(where, memory, reason)
    _say(f"{name}: done, for the next agent; none runs now", "", is_good=True)
    return 0


def _running(file: Path | None, target: str | None, state: str | None) -> Path:
    """Return the state folder of an agent that runs."""
    from meshc.delivery.agent.lock import owner_of  # noqa: PLC0415, start-up time
    from meshc.delivery.errors import DeliveryError  # noqa: PLC0415

    where, memory = _places(file, target, state)
    if owner_of(where) is None:
        raise DeliveryError(f'no agent runs on "{where}"', hint="start it: meshc agent run …")
    return memory


def _request(memory: Path, name: str, limit_s: float, **arguments: str) -> int:
    from meshc.delivery.agent.control import await_answer, submit  # noqa: PLC0415, start-up time

    answer = await_answer(memory, submit(memory, name, **arguments), limit_s)
    is_good = bool(answer.get("ok"))
    subject = f"{name} {str(answer.get('generation') or arguments.get('generation', ''))[:12]}"
    text = "done" if is_good else str(answer.get("text", ""))
    _say(f"{subject.strip()}: {text}", str(answer.get("hint") or ""), is_good=is_good)
    return 0 if is_good else 1


def _say(summary: str, todo: str, *, is_good: bool) -> None:
    shown = terminal()
    say = shown.say if is_good else shown.warn
    say(summary)
    if todo:
        say(f"  do: {todo}")
