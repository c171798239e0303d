"""Whole cases: the same bytes as stored, however and wherever they are built."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from meshc.pipeline import BuildOptions, build
from tests.case import CASES, Case, all_cases, built, shuffle_specs
from tests.golden import read_tree

if TYPE_CHECKING:
    from tests.golden import Goldens

GOOD_CASES = all_cases(about_mistakes=False)

for_each_case = pytest.mark.parametrize("case", GOOD_CASES, ids=lambda case: case.name)

UNRELATED = """
protocol: HTTP
hosts:
- name: unrelated1
  ingressAddr: {host: 203.0.113.1, port: 80}
  substanceAddr: {host: 203.0.113.1, port: 9000}
"""

BUILD_ALL = """
import sys
from pathlib import Path
from tests.case import all_cases, built
for case in all_cases(about_mistakes=False):
    built(case.specs, Path(sys.argv[1]) / case.name)
"""


def without_origins(out: Path) -> dict[str, Any]:
    """A bundle with its manifest as data, less the places in the specs."""
    files: dict[str, Any] = dict(read_tree(out))
    manifest = json.loads(files["manifest.json"])
    del manifest["origins"]
    return {**files, "manifest.json": manifest}


def identities(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Inode, time of change and mode of everything in a folder, and of the folder itself."""
    return {
        path.relative_to(folder).as_posix(): (status.st_ino, status.st_mtime_ns, status.st_mode)
        for path in [folder, *folder.rglob("*")]
        for status in [path.stat()]
    }


@for_each_case
def test_specs_give_the_stored_files(case: Case, tmp_path: Path, goldens: Goldens) -> None:
    built(case.specs, tmp_path / "out")

    goldens.check_tree(case.folder / "out", tmp_path / "out")


@for_each_case
def test_a_second_build_touches_nothing(case: Case, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built(case.specs, out)
    before = identities(out)

    second = built(case.specs, out)

    assert (second.changed, second.removed) == ((), ())
    assert second.unchanged == len(read_tree(out))
    assert identities(out) == before


@for_each_case
def test_a_second_build_with_a_cache_touches_nothing(case: Case, tmp_path: Path) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    built(case.specs, out, cache=cache)
    before = identities(out)

    second = built(case.specs, out, cache=cache)

    assert (second.changed, second.removed, second.checked) == ((), (), 0)
    assert identities(out) == before


@for_each_case
@pytest.mark.parametrize("seed", [1, 2])
def test_order_in_the_specs_means_nothing(case: Case, seed: int, tmp_path: Path) -> None:
    shuffle_specs(case.specs, tmp_path / "shuffled", seed)

    built(tmp_path / "shuffled", tmp_path / "out")

    assert without_origins(tmp_path / "out") == without_origins(case.folder / "out")


@for_each_case
def test_an_unrelated_service_changes_nothing_else(case: Case, tmp_path: Path) -> None:
    specs = tmp_path / "specs"
    shutil.copytree(case.specs, specs)
    (specs / "unrelated.yaml").write_text(UNRELATED)

    built(specs, tmp_path / "out")

    after = read_tree(tmp_path / "out")
    before = read_tree(case.folder / "out")
    added = {name for name in after if name not in before}
    assert "nodes/unrelated1/lds.json" in added
    assert {name.split("/")[1] for name in added} <= {"unrelated", "unrelated1"}
    after = {name: data for name, data in after.items() if name not in {*added, "manifest.json"}}
    assert after == {name: data for name, data in before.items() if name != "manifest.json"}


@for_each_case
def test_taking_the_unrelated_service_out_again_leaves_no_trace(case: Case, tmp_path: Path) -> None:
    specs, out, cache = (tmp_path / name for name in ("specs", "out", "cache"))
    shutil.copytree(case.specs, specs)
    (specs / "unrelated.yaml").write_text(UNRELATED)
    built(specs, out, cache=cache)
    (specs / "unrelated.yaml").unlink()

    result = built(specs, out, cache=cache)

    assert "nodes/unrelated1/lds.json" in result.removed
    assert {path.split("/")[1] for path in result.removed} <= {"unrelated", "unrelated1"}
    assert read_tree(out) == read_tree(case.folder / "out")
    assert sorted(path.name for path in (out / "nodes").iterdir()) == sorted(
        path.name for path in (case.folder / "out" / "nodes").iterdir()
    )


@for_each_case
def test_a_filled_cache_gives_the_same_bytes_in_an_empty_folder(case: Case, tmp_path: Path) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    built(case.specs, out, cache=cache)
    shutil.rmtree(out)

    built(case.specs, out, cache=cache)

    assert read_tree(out) == read_tree(case.folder / "out")


@for_each_case
def test_a_damaged_file_is_mended_in_spite_of_the_cache(case: Case, tmp_path: Path) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    built(case.specs, out, cache=cache)
    victim = min(out.rglob("lds.json"))
    victim.write_bytes(victim.read_bytes()[:-2])

    result = built(case.specs, out, cache=cache)

    assert result.changed == (victim.relative_to(out).as_posix(),)
    assert read_tree(out) == read_tree(case.folder / "out")


@for_each_case
def test_the_working_directory_means_nothing(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(case.folder)

    built(Path("specs"), tmp_path / "out")

    assert read_tree(tmp_path / "out") == read_tree(case.folder / "out")


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_the_hash_seed_means_nothing(seed: str, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", BUILD_ALL, tmp_path],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(CASES.parents[1])},
        cwd=tmp_path,
        check=True,
    )

    for case in GOOD_CASES:
        assert read_tree(tmp_path / case.name) == read_tree(case.folder / "out"), case.name


@pytest.mark.envoy
@for_each_case
def test_a_real_envoy_accepts_every_resource(
    case: Case, tmp_path: Path, envoy_binary: Path
) -> None:
    result = built(case.specs, tmp_path / "out", envoy=envoy_binary)

    assert result.judged > 0
    assert read_tree(tmp_path / "out") == read_tree(case.folder / "out")


def test_a_dry_build_says_what_a_build_would_do(tmp_path: Path) -> None:
    case = GOOD_CASES[0]

    dry = build(case.specs, BuildOptions(out=tmp_path / "out", is_dry=True))

    assert sorted(dry.changed) == sorted(read_tree(case.folder / "out"))
    assert not (tmp_path / "out").exists()


def test_every_case_folder_has_options_specs_and_a_golden() -> None:
    folders = {path.parent for path in CASES.rglob("case.toml")}

    for folder in folders:
        wanted = {"case.toml", "specs"} | (
            {"diagnostics.txt"} if "findings" in (folder / "case.toml").read_text() else {"out"}
        )
        assert {path.name for path in folder.iterdir()} == wanted, folder


def test_there_is_no_folder_without_options() -> None:
    known = {path.parent for path in CASES.rglob("case.toml")}
    inside = {parent for folder in known for parent in folder.parents}

    for path in CASES.rglob("*"):
        is_part = any(folder in path.parents or folder == path for folder in known)
        assert is_part or path in inside, path
