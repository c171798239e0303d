"""`meshc publish dir` as its users see it; what it shares with `consul` is here too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from meshc.cli.main import run
from tests.delivery.publish.bundles import Mesh

if TYPE_CHECKING:
    from pathlib import Path

OLD = Mesh({"web1": "1", "web2": "1"})
NEW = Mesh({"web1": "1", "web2": "2"})


@pytest.fixture
def mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a bundle in `out`."""
    monkeypatch.chdir(tmp_path)
    OLD.write(tmp_path / "out")
    return tmp_path


def test_it_says_what_moved_and_that_it_changed_something(
    mesh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["publish", "dir", "pub"])

    said = capsys.readouterr().out.splitlines()
    assert code == 0
    assert said[0].startswith("pub: published 2 of 2 nodes, 0 gone, ")
    assert said[1:] == ["  moves web1", "  moves web2", "OK (Changed=true)"]
    assert {path.name for path in (mesh / "pub/nodes").iterdir()} == {"web1.json", "web2.json"}


def test_the_second_time_it_says_that_it_changed_nothing(
    mesh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["publish", "dir", "pub"])
    before = {path: path.stat().st_mtime_ns for path in (mesh / "pub").rglob("*")}
    capsys.readouterr()

    code = run(["publish", "dir", "pub"])

    said = capsys.readouterr().out.splitlines()
    assert code == 0
    assert said[0].startswith("pub: 2 nodes as they are already, build ")
    assert said[1:] == ["OK (Changed=false)"]
    assert {path: path.stat().st_mtime_ns for path in (mesh / "pub").rglob("*")} == before


def test_a_dry_run_says_what_would_be_and_writes_nothing(
    mesh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["publish", "dir", "pub", "--dry-run"])

    said = capsys.readouterr().out.splitlines()
    assert code == 0
    assert said[0].startswith("pub: would publish 2 of 2 nodes")
    assert said[-1] == "OK (Changed=true), nothing was written"
    assert not (mesh / "pub").exists()


@pytest.mark.usefixtures("mesh")
def test_programs_get_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(["publish", "dir", "pub"])
    NEW.write(tmp_path / "out")
    capsys.readouterr()

    code = run(["publish", "dir", "pub", "--format", "json"])

    said = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (said["ok"], said["changed"], said["dry_run"]) == (True, True, False)
    assert (said["nodes"], said["written"], said["removed"]) == (2, ["web2"], [])
    assert said["place"] == "pub"
    assert said["order"] > 1_764_000_000_000


@pytest.mark.usefixtures("mesh")
def test_a_mesh_that_shrinks_is_refused_with_what_to_say(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    Mesh({f"n{number}": "1" for number in range(5)}).write(tmp_path / "out")
    run(["publish", "dir", "pub"])
    Mesh({"n0": "1"}).write(tmp_path / "out")
    capsys.readouterr()

    code = run(["publish", "dir", "pub"])
    said = capsys.readouterr()
    as_json = run(["publish", "dir", "pub", "--format", "json"])
    for_programs = json.loads(capsys.readouterr().out)
    allowed = run(["publish", "dir", "pub", "--allow-shrink"])

    assert (code, as_json, allowed) == (1, 1, 0)
    assert said.out == ""
    assert "REFUSED: this mesh is not published, because 4 of 5 nodes go, which is 80%" in said.err
    assert "do: if that is intended, say --allow-shrink" in said.err
    assert for_programs["ok"] is False
    assert for_programs["changed"] is False
    assert "4 of 5 nodes go" in for_programs["refused"]
    assert "  goes  n4: its host keeps the files that it has" in capsys.readouterr().out


@pytest.mark.usefixtures("mesh")
def test_many_nodes_are_counted_and_all_are_shown_when_asked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    Mesh({f"n{number:02}": "1" for number in range(30)}).write(tmp_path / "out")

    run(["publish", "dir", "few"])
    few = capsys.readouterr().out.splitlines()
    run(["publish", "dir", "all", "-v"])
    every = capsys.readouterr().out.splitlines()

    assert few[-2] == "  … and 20 more; -v shows all"
    assert len(few) == 13
    assert len(every) == 32


@pytest.mark.usefixtures("mesh")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["dir", "pub", "--grace", "soon"], '"soon" is no time: say 90s, 30m, 24h or 7d'),
        (["dir", "pub", "--max-shrink", "2"], "2.0 is not in the range"),
        (["dir"], "Missing argument"),
        (["elsewhere"], "No such command"),
    ],
)
def test_wrong_usage_is_said(
    capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    code = run(["publish", *arguments])

    assert code == 2
    assert reason in capsys.readouterr().err


@pytest.mark.usefixtures("mesh")
def test_a_bundle_of_another_mesh_than_the_address_says_is_not_published(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = run(["publish", "consul", "consul://127.0.0.1:1/other"])

    assert code == 3
    assert 'is the bundle of mesh "shop", and not of "other"' in capsys.readouterr().err


def test_without_a_bundle_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    code = run(["publish", "dir", "pub"])

    said = capsys.readouterr().err
    assert code == 3
    assert "is missing" in said
    assert "meshc build" in said


@pytest.mark.usefixtures("mesh")
def test_a_consul_that_is_not_there_is_said_with_exit_code_3_and_no_word_of_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = run(["publish", "consul", "--consul-address", "127.0.0.1:1"])

    said = capsys.readouterr()
    assert code == 3
    assert "Changed=" not in said.out + said.err
    assert "does not answer" in said.err
