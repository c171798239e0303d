"""Whatever the cache and `out/` hold, a build gives exactly the bytes of a clean one."""

from __future__ import annotations

import shutil
from random import Random
from typing import TYPE_CHECKING

import pytest

from meshc.pipeline import BuildOptions, BuildResult, build
from tests.assemble.changing_mesh import ChangingMesh

if TYPE_CHECKING:
    from pathlib import Path

EDITS = 20


def files(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file()
    }


def states(out: Path) -> dict[str, tuple[int, int]]:
    return {
        path.relative_to(out).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in out.rglob("*")
        if path.is_file()
    }


class Bench:
    """One output folder that is built again and again, beside clean builds."""

    def __init__(self, root: Path) -> None:
        self.specs = root / "specs"
        self.out = root / "out"
        self.cache = root / "cache"
        self.clean = root / "clean"

    def build(self) -> BuildResult:
        result = build(self.specs, BuildOptions(out=self.out, cache=self.cache))
        assert not result.has_errors, [found.message for found in result.diagnostics]
        return result

    def build_clean(self) -> dict[str, bytes]:
        shutil.rmtree(self.clean, ignore_errors=True)
        result = build(self.specs, BuildOptions(out=self.clean))
        assert not result.has_errors, [found.message for found in result.diagnostics]
        return files(self.clean)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def damage(bench: Bench, random: Random) -> None:
    """Do to `out/` and the cache what other programs, people and full disks do."""
    # Without the head of its manifest the folder would be nobody's, and no build would touch it.
    manifest = bench.out / "manifest.json"
    paths = sorted(path for path in bench.out.rglob("*") if path.is_file() and path != manifest)
    victim = random.choice(paths) if paths else None
    caches = sorted(bench.cache.glob("*"))
    match random.randrange(10):
        case 0 if victim:
            victim.unlink()
        case 1 if victim:
            victim.write_bytes(b"x" * victim.stat().st_size)
        case 2:
            cut = random.choice([*paths, manifest])
            cut.write_bytes(cut.read_bytes()[:-5])
        case 3 if victim:
            (victim.parent / "stranger.json").write_text("{}")
        case 4:
            (bench.out / "nodes" / "stranger").mkdir(parents=True, exist_ok=True)
            (bench.out / "nodes" / "stranger" / "lds.json").write_text("{}")
        case 5:
            shutil.rmtree(bench.cache, ignore_errors=True)
        case 6 if caches:
            cache = random.choice(caches)
            data = bytearray(cache.read_bytes())
            data[random.randrange(len(data))] ^= 1
            cache.write_bytes(data)
        case 7 if caches:
            cache = random.choice(caches)
            cache.write_bytes(cache.read_bytes()[: random.randrange(100)])
        case 8 if victim:
            shutil.rmtree(victim.parent)
        case _:
            pass


@pytest.mark.property
@pytest.mark.parametrize("seed", range(8))
def test_a_build_after_any_edits_equals_a_clean_build(bench: Bench, seed: int) -> None:
    random = Random(seed)
    mesh = ChangingMesh(bench.specs, random)
    mesh.write()
    bench.build()

    for _ in range(EDITS):
        edits = random.choices(mesh.edits, k=random.randint(0, 3))
        for edit in edits:
            edit()
        mesh.write()
        damage(bench, random)
        before, states_before = files(bench.out), states(bench.out)

        result = bench.build()

        built = files(bench.out)
        history = [edit.__name__ for edit in edits]
        foreign = {path for path in built if "stranger" in path}
        assert set(result.foreign) == foreign, history
        ours = {path: data for path, data in built.items() if path not in foreign}
        assert ours == bench.build_clean(), history
        changed = {path for path, data in built.items() if before.get(path) != data}
        changed -= foreign
        assert set(result.changed) - {"manifest.json"} == changed - {"manifest.json"}, history
        assert set(result.removed) == before.keys() - built.keys(), history
        for path, state in states(bench.out).items():
            # The manifest is what makes a change complete, so it is written with each.
            if path not in result.changed and not (path == "manifest.json" and changed):
                assert states_before[path] == state, (path, history)


def test_nothing_is_touched_when_nothing_changed(bench: Bench) -> None:
    ChangingMesh(bench.specs, Random(1)).write()
    bench.build()
    before = states(bench.out)

    result = bench.build()

    assert (result.changed, result.removed, result.checked) == ((), (), 0)
    assert states(bench.out) == before


def test_a_changed_host_touches_its_endpoints_its_node_and_the_manifest(bench: Bench) -> None:
    mesh = ChangingMesh(bench.specs, Random(2))
    mesh.write()
    bench.build()
    name = next(name for name, document in mesh.services.items() if len(document["hosts"]) > 1)
    host = mesh.services[name]["hosts"][0]
    host["ingressAddr"]["port"] = 8123
    mesh.write()

    result = bench.build()

    assert set(result.changed) == {
        f"services/{name}/eds.json",
        f"services/{name}/instances.json",
        f"nodes/{host['name']}/lds.json",
        "manifest.json",
    }


SHARED_HOST = """
protocol: HTTP
hosts:
- name: box
  ingressAddr: {{host: 10.0.0.1, port: {port}}}
  substanceAddr: {{host: 127.0.0.1, port: 9{port}}}
  {fact}
"""


@pytest.mark.parametrize(
    "fact",
    [
        "labels: {rack: r1}",
        "locality: {region: east}",
        "adminAddr: {host: 127.0.0.1, port: 9909}",
    ],
)
def test_what_one_document_says_of_a_host_is_told_of_all_its_services(
    bench: Bench, fact: str
) -> None:
    bench.specs.mkdir()
    (bench.specs / "api.yaml").write_text(SHARED_HOST.format(port=81, fact=""))
    (bench.specs / "web.yaml").write_text(SHARED_HOST.format(port=82, fact=""))
    bench.build()
    (bench.specs / "web.yaml").write_text(SHARED_HOST.format(port=82, fact=fact))

    result = bench.build()

    assert {"services/api/instances.json", "services/web/instances.json"} <= set(result.changed)
    assert files(bench.out) == bench.build_clean()


def test_a_dry_build_writes_nothing_and_tells_what_a_real_one_would(bench: Bench) -> None:
    mesh = ChangingMesh(bench.specs, Random(3))
    mesh.write()
    bench.build()
    mesh.add_service()
    mesh.write()
    before = states(bench.out)

    told = build(bench.specs, BuildOptions(out=bench.out, cache=bench.cache, is_dry=True))

    assert states(bench.out) == before
    assert told.changed == bench.build().changed


def test_specs_with_errors_leave_output_and_cache_alone(bench: Bench) -> None:
    ChangingMesh(bench.specs, Random(4)).write()
    bench.build()
    before = files(bench.out), files(bench.cache)
    (bench.specs / "broken.yaml").write_text("protocol: CARRIER-PIGEON\n")

    result = build(bench.specs, BuildOptions(out=bench.out, cache=bench.cache))

    assert result.has_errors
    assert (files(bench.out), files(bench.cache)) == before


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(bench: Bench) -> None:
    ChangingMesh(bench.specs, Random(5)).write()
    bench.cache.write_text("a file where a folder should be")

    bench.build()

    assert files(bench.out) == bench.build_clean()


def test_a_record_that_was_changed_by_hand_is_not_believed(bench: Bench) -> None:
    """A flipped digit in a stored manifest line would still be JSON."""
    ChangingMesh(bench.specs, Random(6)).write()
    bench.build()
    state = next(path for path in bench.cache.iterdir() if path.suffix == ".state")
    data = state.read_bytes()
    place = data.index(b'cds.json\\":\\"') + 13
    state.write_bytes(
        data[:place] + (b"0" if data[place] != ord("0") else b"1") + data[place + 1 :]
    )

    bench.build()

    assert files(bench.out) == bench.build_clean()
