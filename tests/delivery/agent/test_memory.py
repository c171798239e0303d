"""What the agent keeps on disk: its ledger, and the generations; whole, damaged, or gone."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshc.delivery.agent.durable import make_folder, write_durably
from meshc.delivery.agent.generations import Generations, digests_of, generation_of, short
from meshc.delivery.agent.ledger import Ledger, Refusal, bounded, load_ledger, save_ledger
from meshc.delivery.errors import DeliveryError
from tests.delivery.node_files import bundle

if TYPE_CHECKING:
    from pathlib import Path

    from meshc.artifact.store import NodeBundle

LEDGER = Ledger(
    good="a" * 64,
    is_accepted=True,
    previous="b" * 64,
    intent="c" * 64,
    wanted="d" * 64,
    paused="by me: \u00e9\ud800\n",
    quarantine={"e" * 64: Refusal(reason="no\x1b", path="lds.json", resource="x", at=1.5)},
    allowed=frozenset({"f" * 64, "0" * 64}),
    admin="127.0.0.1:9901",
)
FILES = {"bootstrap.json": b"boot", "cds.json": b"cds", "lds.json": b"lds"}


def test_a_ledger_comes_back_as_it_was(tmp_path: Path) -> None:
    save_ledger(tmp_path, LEDGER)

    assert load_ledger(tmp_path) == (LEDGER, "")


def test_without_a_file_there_is_nothing_to_remember_and_nothing_wrong(tmp_path: Path) -> None:
    assert load_ledger(tmp_path) == (Ledger(), "")


def _changed(**change: Any) -> bytes:
    """A ledger with a right digest and something else in it."""
    content = {
        "good": None,
        "is_accepted": False,
        "previous": None,
        "intent": None,
        "wanted": None,
        "paused": "",
        "quarantine": {},
        "allowed": [],
        "admin": "",
        "format": 1,
    } | change
    text = json.dumps(content, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{{"sha256": "{digest}", "ledger": {text}}}'.encode()


def test_the_ledger_of_these_tests_is_good_by_itself(tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_bytes(_changed(paused="x"))

    assert load_ledger(tmp_path) == (Ledger(paused="x"), "")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "no ledger"),
        (b"null", "no ledger"),
        (b"[]", "no ledger"),
        (b"{}", "no ledger"),
        (b'{"sha256": "", "ledger": {}}', "digest"),
        (b"\0" * 4096, "no ledger"),
        (b"[" * 100_000, "no ledger"),
        (_changed()[:-2], "no ledger"),
        (_changed().replace(b'"good": null', b'"good": "x"'), "digest"),
        (_changed(format=2), "no ledger"),
        (_changed(later="a key of another version"), "no ledger"),
        (_changed(quarantine={"a": {"why": "no"}}), "no ledger"),
        (_changed(allowed=5), "no ledger"),
    ],
)
def test_a_damaged_ledger_is_an_empty_one_and_said(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "ledger.json").write_bytes(content)

    ledger, said = load_ledger(tmp_path)

    assert ledger == Ledger()
    assert problem in said


def test_every_cut_of_a_ledger_is_noticed(tmp_path: Path) -> None:
    save_ledger(tmp_path, LEDGER)
    whole = (tmp_path / "ledger.json").read_bytes()

    for length in range(len(whole) - 2):
        (tmp_path / "ledger.json").write_bytes(whole[:length])
        assert load_ledger(tmp_path)[1]


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_flipped_bit_of_a_ledger_is_noticed_or_changes_nothing(
    tmp_path: Path, place: int, bit: int
) -> None:
    save_ledger(tmp_path, LEDGER)
    data = bytearray((tmp_path / "ledger.json").read_bytes())
    data[place % len(data)] ^= 1 << bit
    (tmp_path / "ledger.json").write_bytes(data)

    ledger, problem = load_ledger(tmp_path)

    assert problem or ledger == LEDGER


def test_a_ledger_that_cannot_be_written_is_said_and_the_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_ledger(tmp_path, LEDGER)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(DeliveryError, match="No space left"):
        save_ledger(tmp_path, Ledger())

    assert load_ledger(tmp_path) == (LEDGER, "")
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.json"]


def test_the_newest_refusals_are_remembered_whatever_the_clock_says() -> None:
    old = {str(number): Refusal(reason="", at=1e9 + number) for number in range(60)}
    kept = bounded(old)

    again = bounded({**kept, "new": Refusal(reason="", at=5.0)})

    assert len(kept) == len(again) == 50
    assert "59" in kept
    assert "new" in again
    assert bounded({}) == {}


def test_what_must_not_be_forgotten_is_what_a_delivery_may_need() -> None:
    assert LEDGER.needed() == {"a" * 64, "b" * 64, "c" * 64, "d" * 64}
    assert Ledger().needed() == set()


# --- generations -----------------------------------------------------------------------------


def generation(number: int) -> NodeBundle:
    return bundle(FILES | {"lds.json": b"lds %d" % number})


@pytest.fixture
def store(tmp_path: Path) -> Generations:
    store = Generations(tmp_path, "n1")
    store.prepare()
    return store


def test_a_generation_comes_back_as_it_was(store: Generations) -> None:
    name = store.add(generation(1), fetched=5.0)

    assert store.load(name) == generation(1)
    assert store.load(name) is not store.load(name)


def test_a_generation_is_named_after_its_content_alone(store: Generations) -> None:
    first = store.add(generation(1), fetched=5.0)

    second = store.add(generation(1), fetched=9.0)

    assert first == second
    assert first != store.add(generation(2), fetched=5.0)


def test_the_name_is_the_digest_of_paths_and_digests() -> None:
    lines = "".join(
        f"{path} {hashlib.sha256(data).hexdigest()}\n" for path, data in sorted(FILES.items())
    )

    assert generation_of(digests_of(FILES)) == hashlib.sha256(lines.encode()).hexdigest()


def test_what_is_the_same_is_stored_once(store: Generations) -> None:
    for number in range(5):
        store.add(generation(number), fetched=float(number))

    names = [path.name for path in store.folder.iterdir()]
    assert len([name for name in names if name.endswith(".json")]) == 5
    assert len([name for name in names if name.endswith(".file")]) == 5 + 2


def test_only_the_agents_user_may_read_them(store: Generations) -> None:
    store.add(generation(1), fetched=1.0)

    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in store.folder.iterdir()} == {0o600}


@pytest.mark.parametrize("damage", [b"", b"\0\0\0", b"{}", b"[]", b"[" * 100_000, None])
@pytest.mark.parametrize("end", [".json", ".file"])
def test_a_damaged_generation_counts_as_missing_until_it_is_fetched_again(
    store: Generations, end: str, damage: bytes | None
) -> None:
    name = store.add(generation(1), fetched=1.0)
    other = store.add(bundle({"lds.json": b"other"}), fetched=2.0)
    digest = hashlib.sha256(b"lds 1").hexdigest()
    place = store.folder / f"{name if end == '.json' else digest}{end}"
    if damage is None:
        place.unlink()
    else:
        place.write_bytes(damage)

    lost = store.load(name)
    store.add(generation(1), fetched=3.0)

    assert lost is None
    assert store.load(name) == generation(1)
    assert store.load(other) is not None


def test_a_generation_of_another_node_is_none_of_ours(store: Generations, tmp_path: Path) -> None:
    name = store.add(generation(1), fetched=1.0)

    assert Generations(tmp_path, "n2").load(name) is None
    assert Generations(tmp_path, "n2").all() == ()


def test_what_a_killed_process_was_writing_is_cleared_away(
    store: Generations, tmp_path: Path
) -> None:
    name = store.add(generation(1), fetched=1.0)
    (store.folder / "half.json.new").write_bytes(b"half")

    again = Generations(tmp_path, "n1")
    again.prepare()

    assert not (store.folder / "half.json.new").exists()
    assert again.load(name) == generation(1)


def test_the_newest_and_what_is_needed_are_kept(store: Generations) -> None:
    names = [store.add(generation(number), fetched=float(number)) for number in range(6)]

    store.prune(3, {names[0], names[2]})

    assert {one.generation for one in store.all()} == {names[0], names[2], names[5]}
    assert all(store.load(name) for name in (names[0], names[2], names[5]))
    assert len(list(store.folder.glob("*.file"))) == 3 + 2


def test_a_clock_that_jumped_back_lets_nothing_go_that_is_needed(store: Generations) -> None:
    old = [store.add(generation(number), fetched=2e9 + number) for number in range(4)]
    new = store.add(generation(9), fetched=1e9)

    store.prune(3, {new, old[0]})

    kept = {one.generation for one in store.all()}
    assert {new, old[0]} <= kept
    assert len(kept) == 3


def test_more_may_be_needed_than_is_kept(store: Generations) -> None:
    names = {store.add(generation(number), fetched=float(number)) for number in range(5)}

    store.prune(1, names)

    assert {one.generation for one in store.all()} == names


def test_somebodys_folder_keeps_nothing_from_being_forgotten(store: Generations) -> None:
    names = [store.add(generation(number), fetched=float(number)) for number in range(4)]
    (store.folder / "aside.json").mkdir()
    (store.folder / "mine").mkdir()

    store.prune(1, {names[3]})

    assert [one.generation for one in store.all()] == [names[3]]
    assert (store.folder / "mine").is_dir()


def test_the_newest_come_first(store: Generations) -> None:
    names = [store.add(generation(number), fetched=float(number)) for number in range(3)]

    assert [one.generation for one in store.all()] == names[::-1]


def test_a_generation_is_found_by_the_beginning_of_its_name(store: Generations) -> None:
    name = store.add(generation(1), fetched=1.0)

    assert store.find(short(name)) == name
    assert store.find(name) == name


def test_a_generation_is_found_by_the_build_that_it_came_with(store: Generations) -> None:
    name = store.add(generation(1), fetched=1.0)

    assert store.find("g") == name


def test_a_beginning_that_fits_more_than_one_is_refused_with_what_there_is(
    store: Generations,
) -> None:
    names = [store.add(generation(number), fetched=float(number)) for number in range(20)]
    doubled = next(one[0] for one in names if [n[0] for n in names].count(one[0]) > 1)

    with pytest.raises(DeliveryError, match="more than one generation") as caught:
        store.find(doubled)

    assert short(names[0]) in str(caught.value.hint)


@pytest.mark.parametrize("text", ["zzz", "../x", "*", "\0"])
def test_a_beginning_that_fits_none_is_refused(store: Generations, text: str) -> None:
    store.add(generation(1), fetched=1.0)

    with pytest.raises(DeliveryError, match="no generation here starts with"):
        store.find(text)


@pytest.mark.parametrize("digest", ["../../secret", "", "\ud800"])
def test_a_name_that_is_no_digest_finds_no_file(
    store: Generations, tmp_path: Path, digest: str
) -> None:
    (tmp_path / "secret.file").write_bytes(b"x")

    assert store.file(digest) is None


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "generations").write_bytes(b"")

    with pytest.raises(DeliveryError, match="cannot keep generations"):
        Generations(tmp_path, "n1").prepare()


# --- files that last -------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_modes_are_exact_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_folder(tmp_path / "a/b", 0o700)
        write_durably(tmp_path / "a/b/file", b"x", mode=0o640)
    finally:
        os.umask(before)

    modes = [(tmp_path / place).stat().st_mode for place in ("a", "a/b", "a/b/file")]
    assert [stat.S_IMODE(mode) for mode in modes] == [0o755, 0o700, 0o640]


def test_a_file_is_not_written_through_a_planted_link(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    (tmp_path / "file.new").symlink_to(other)
    (tmp_path / "file").symlink_to(other)

    write_durably(tmp_path / "file", b"x")

    assert other.read_bytes() == b"mine"
    assert (tmp_path / "file").read_bytes() == b"x"
    assert not (tmp_path / "file").is_symlink()
