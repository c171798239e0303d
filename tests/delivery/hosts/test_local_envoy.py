"""A program that judges beforehand is another version, hangs, crashes, or is no Envoy at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.delivery.hosts.mesh import FRONT, Host, meshc
from tests.delivery.live import envoy_or_skip, get, until

if TYPE_CHECKING:
    from pathlib import Path

_LIMIT = {"MESHC_AGENT_VALIDATION_LIMIT": "1.0"}
_NONE = {
    "hangs": ("sleep 1000", "took longer than 1 s"),
    "crashes": ("kill -SEGV $$", "crashed with SIGSEGV"),
    "says another thing": ("echo OK", "without a clear answer"),
    "says nothing": ("exit 0", "without a clear answer"),
}
"""Programs that give no verdict, and what is said of them."""
_OLDER = """
if [ "$1" = --version ]; then
  echo "envoy  version: 0123abcd/1.20.0/Clean/RELEASE/BoringSSL"
  exit 0
fi
cat >&2 <<END
\x1emain|critical|error initializing configuration 'bootstrap.json': no such field: typed_dns
END
exit 1
"""
"""An Envoy that is too old for every file."""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return tmp_path / "envoy"


def become(program: Path, lines: str) -> None:
    """Let the program do something else from now on."""
    draft = program.with_name("draft")
    draft.write_text(f"#!/bin/sh\n{lines}\n")
    draft.chmod(0o755)
    draft.rename(program)


def _add_app2(host: Host) -> None:
    host.mesh.app["app2"] = host.mesh.apps["app2"]
    host.mesh.build()


def _answers(host: Host) -> set[str]:
    return {get((FRONT, host.mesh.calls["app"])) for _ in range(8)}


@pytest.mark.parametrize("kind", _NONE)
def test_where_a_verdict_is_required_none_is_no_yes(ready: Host, program: Path, kind: str) -> None:
    lines, words = _NONE[kind]
    become(program, lines)
    before = ready.traces()
    _add_app2(ready)

    flags = ready.arguments("--envoy", program, "--require-validation")
    said = meshc("agent", "once", *flags, environment=_LIMIT)

    assert said.code == 3
    assert "nothing is delivered without local validation" in said.err
    assert words in said.err
    assert ready.traces() == before
    assert words in ready.status()["validation"]
    assert _answers(ready) == {"app1"}


@pytest.mark.parametrize("kind", _NONE)
def test_where_no_verdict_is_required_the_running_envoy_decides_and_the_status_tells(
    ready: Host, program: Path, kind: str
) -> None:
    lines, words = _NONE[kind]
    become(program, lines)
    _add_app2(ready)

    said = meshc("agent", "once", *ready.arguments("--envoy", program), environment=_LIMIT)

    assert said.code == 0
    assert f"local validation gave no answer: {_of(kind, words)}" in ready.status()["validation"]
    assert _answers(ready) == {"app1", "app2"}


def _of(kind: str, words: str) -> str:
    return f"it {words}" if kind == "hangs" else "Envoy "


def test_a_following_agent_waits_for_a_program_that_judges(ready: Host, program: Path) -> None:
    become(program, _NONE["crashes"][0])
    ready.start_agent("--envoy", program, "--require-validation", environment=_LIMIT)
    until(lambda: ready.status().get("confirmed") is True, "what runs, confirmed")
    before = ready.traces()
    _add_app2(ready)
    failing = ready.await_state("failing")
    told = ready.meshc("status")
    kept = ready.traces()

    become(program, f'exec {envoy_or_skip()} "$@"')
    ready.await_current()

    assert "crashed with SIGSEGV" in failing["summary"]
    assert told.code == 1
    assert "do: install an envoy beside the agent, or drop --require-validation" in told.out
    assert kept == before
    assert ready.status()["validation"] == "accepted"
    assert _answers(ready) == {"app1", "app2"}


def test_what_an_older_envoy_refuses_is_not_delivered_until_somebody_gives_the_word(
    ready: Host, program: Path
) -> None:
    become(program, _OLDER)
    ready.start_agent("--envoy", program)
    until(lambda: ready.status().get("confirmed") is True, "what runs, confirmed")
    before = ready.traces()
    _add_app2(ready)
    refused = ready.await_state("quarantined")
    told = ready.meshc("status")
    kept = ready.traces()

    become(program, f'exec {envoy_or_skip()} "$@"')
    allowed = ready.meshc("allow", refused["desired"]["generation"])
    ready.await_current()

    assert "no such field: typed_dns" in told.first
    assert "if the cause was this host: meshc agent allow" in told.out
    assert refused["validation"].startswith("refused: ")
    assert kept == before
    assert allowed.code == 0
    assert _answers(ready) == {"app1", "app2"}


def test_a_file_for_a_newer_envoy_is_refused_by_the_field_that_is_not_known(ready: Host) -> None:
    before = ready.traces()

    def modernise(content: dict[str, Any]) -> None:
        content["resources"][0]["of_a_later_release"] = True

    ready.mesh.forge("cds.json", modernise)
    said = ready.once("--envoy", envoy_or_skip())

    assert said.code == 1
    assert "of_a_later_release" in said.err
    assert ready.traces() == before
