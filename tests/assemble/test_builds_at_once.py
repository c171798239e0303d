"""Builds that meet, and builds that are killed, as processes of their own."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from meshc.artifact.store import DirectoryStore
from meshc.pipeline import BuildOptions, build
from tests.artifact.bundles import contents
from tests.assemble.changing_mesh import ChangingMesh

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 6
FIRST_MOMENT_S, LAST_MOMENT_S = 0.15, 0.6


def start_build(root: Path) -> subprocess.Popen[bytes]:
    """Start ``meshc build`` in a folder, with its cache there too."""
    return subprocess.Popen(
        [sys.executable, "-m", "meshc", "build", "--quiet", "--envoy", "none", "--cache", "cache"],
        cwd=root,
    )


def build_clean(root: Path) -> dict[str, bytes]:
    shutil.rmtree(root / "clean", ignore_errors=True)
    build(root / "specs", BuildOptions(out=root / "clean"))
    return contents(root / "clean")


def seen_by_reader(root: Path) -> dict[str, dict[str, bytes]]:
    store = DirectoryStore(root / "out")
    return {node: dict(store.node(node).files) for node in store.manifest().nodes}


def test_builds_that_start_at_once_give_one_result_and_leave_a_true_cache(tmp_path: Path) -> None:
    mesh = ChangingMesh(tmp_path / "specs", random.Random(1))
    for _ in range(2):
        mesh.add_service()
        mesh.write()

        builds = [start_build(tmp_path) for _ in range(3)]
        assert [process.wait() for process in builds] == [0, 0, 0]

        assert contents(tmp_path / "out") == build_clean(tmp_path)
    again = build(tmp_path / "specs", BuildOptions(out=tmp_path / "out", cache=tmp_path / "cache"))
    assert (again.changed, again.removed, again.checked) == ((), (), 0)


def test_a_killed_build_leaves_old_or_new_and_the_next_one_heals(tmp_path: Path) -> None:
    moments = random.Random(2)
    mesh = ChangingMesh(tmp_path / "specs", random.Random(3))
    mesh.write()
    assert start_build(tmp_path).wait() == 0

    for _ in range(KILLS):
        old = seen_by_reader(tmp_path)
        mesh.change_settings()
        mesh.add_host()
        mesh.remove_service()
        mesh.add_service()
        mesh.write()
        process = start_build(tmp_path)
        time.sleep(moments.uniform(FIRST_MOMENT_S, LAST_MOMENT_S))
        process.kill()
        process.wait()

        seen = seen_by_reader(tmp_path)
        assert start_build(tmp_path).wait() == 0
        assert contents(tmp_path / "out") == build_clean(tmp_path)
        assert seen in (old, seen_by_reader(tmp_path))
