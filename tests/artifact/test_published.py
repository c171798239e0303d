"""Pointers, blobs, indexes: what was written is read back, and nothing else is."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import zlib

import pytest

from meshc.artifact.publication import (
    Index,
    parse_index,
    parse_shard,
    parse_trash,
    render_index,
    render_shard,
    render_trash,
    shard_of,
    shards_of,
    trash_name,
    trash_order,
)
from meshc.artifact.published import (
    MAX_POINTER,
    PIECE,
    Pointer,
    PublishedFile,
    blob_key,
    content_digest,
    mesh_key,
    open_blob,
    pack,
    parse_pointer,
    piece_sizes,
    pieces_of,
    pointer_key,
    render_pointer,
    unpack,
)
from meshc.artifact.sealed import DamagedError, seal
from meshc.diagnostics.errors import BundleError

_MIB = 1024 * 1024


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def file(text: str) -> PublishedFile:
    return PublishedFile(digest=digest(text), size=len(text), pieces=(digest(text),))


POINTER = Pointer(
    mesh="shop",
    node="web1",
    order=1_700_000_000_000,
    generation=digest("build"),
    drain_time="60s",
    files={
        "bootstrap.json": file("bootstrap"),
        "cds.json": file("cds"),
        "lds.json": file("lds"),
        "services/app/eds.json": PublishedFile(
            digest=digest("whole"), size=PIECE + 1, pieces=(digest("a"), digest("b"))
        ),
    },
    origins={"app": {"at": "2:1", "file": "app.yaml"}},
    instances=({"service": "web", "node": "web1", "port": 80},),
)
INDEX = Index(
    mesh="shop",
    order=7,
    generation=digest("build"),
    nodes=2,
    shards={"0a": digest("shard"), "ff": digest("other")},
    pending=frozenset({"0a", "0b"}),
)


def with_files(count: int) -> Pointer:
    files = {f"services/s{number}/eds.json": file(str(number)) for number in range(count)}
    return dataclasses.replace(POINTER, files={**POINTER.files, **files})


def test_a_pointer_is_read_back_as_it_was_written() -> None:
    assert parse_pointer(render_pointer(POINTER), node="web1", mesh="shop") == POINTER


def test_a_pointer_of_a_node_with_thousands_of_files_is_read_back_and_fits_into_a_transaction() -> (
    None
):
    large = with_files(5000)

    data = render_pointer(large)

    assert len(data) < MAX_POINTER
    assert parse_pointer(data, node="web1") == large


def test_a_pointer_that_no_transaction_takes_is_refused() -> None:
    with pytest.raises(BundleError, match=r'node "web1" has 20,004 files, too many'):
        render_pointer(with_files(20_000))


@pytest.mark.parametrize("count", [0, 500])
def test_no_bit_of_a_pointer_can_flip(count: int) -> None:
    data = render_pointer(with_files(count))
    places = range(len(data)) if count == 0 else random.Random(1).sample(range(len(data)), 150)

    for place in places:
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            with pytest.raises(BundleError):
                parse_pointer(bytes(flipped), node="web1", mesh="shop")


def test_a_blob_whose_bits_flip_is_refused_or_still_holds_its_piece() -> None:
    """A bit that only fills up the last byte of the compressed data means nothing."""
    plain = json.dumps({"name": "inbound/web", "ports": list(range(500))}).encode()
    data = pack(plain)
    name = hashlib.sha256(plain).hexdigest()
    refused = 0

    for place in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            try:
                assert open_blob(bytes(flipped), digest=name, size=len(plain)) == plain
            except BundleError:
                refused += 1

    assert refused > 0.99 * 8 * len(data)


@pytest.mark.parametrize("cut", [0, 1, 50, -1])
def test_a_pointer_that_was_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(BundleError):
        parse_pointer(render_pointer(POINTER)[:cut], node="web1")


def test_a_pointer_is_for_its_own_node_and_mesh_only() -> None:
    data = render_pointer(POINTER)

    with pytest.raises(BundleError, match='of node "web1" of mesh "shop", and this is "web2"'):
        parse_pointer(data, node="web2")
    with pytest.raises(BundleError, match='this is "web1" of "other"'):
        parse_pointer(data, node="web1", mesh="other")


@pytest.mark.parametrize("name", ["bootstrap.json", "cds.json", "lds.json"])
def test_a_pointer_without_one_of_a_nodes_own_files_is_refused(name: str) -> None:
    files = {path: one for path, one in POINTER.files.items() if path != name}
    data = render_pointer(dataclasses.replace(POINTER, files=files))

    with pytest.raises(BundleError, match=f'names no "{name}"'):
        parse_pointer(data, node="web1")


def forged(**changed: object) -> bytes:
    """A pointer with a right digest whose content no publisher writes."""
    content = json.loads(render_pointer(POINTER))["pointer"]
    return seal("pointer", {**content, **changed})


def forged_file(path: str, **changed: object) -> bytes:
    files = json.loads(render_pointer(POINTER))["pointer"]["files"]
    entry = {"digest": digest("x"), "size": 1, **changed}
    return forged(files={**files, path: entry})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"null",
        b"\x00" * 100,
        b"\xff\xfe",
        forged(format=2),
        forged(order=0),
        forged(order=-1),
        forged(order=1.5),
        forged(order=True),
        forged(order="1700000000000"),
        forged(order=2**63 - 1),
        forged(files={}),
        forged(files=None),
        forged(files=[]),
        forged(instances=3),
        forged(origins=[1]),
        forged_file("../../etc/passwd"),
        forged_file("services/../x"),
        forged_file("/etc/passwd"),
        forged_file("services/app/.hidden"),
        forged_file("services/a/b/c"),
        forged_file("services/app/eds.json", digest="../../secret"),
        forged_file("services/app/eds.json", digest="A" * 64),
        forged_file("services/app/eds.json", size=-1),
        forged_file("services/app/eds.json", size=True),
        forged_file("services/app/eds.json", size="1"),
        forged_file("services/app/eds.json", size=2 * PIECE),
        forged_file("services/app/eds.json", size=PIECE + 1, pieces=[digest("a"), "../b"]),
        forged_file("services/app/eds.json", size=1, pieces=[digest("a"), digest("b")]),
        forged_file("services/app/eds.json", size=0, pieces=[]),
        seal("index", {"format": 1}),
    ],
)
def test_what_no_publisher_writes_is_no_pointer(data: bytes) -> None:
    with pytest.raises(BundleError):
        parse_pointer(data, node="web1", mesh="shop")


def test_a_pointer_of_another_format_is_said_to_be_one() -> None:
    with pytest.raises(BundleError, match="format 2, this meshc knows 1"):
        parse_pointer(forged(format=2), node="web1")


def test_what_a_pointer_says_has_one_digest_whenever_and_with_whatever_it_was_published() -> None:
    later = dataclasses.replace(POINTER, order=POINTER.order + 1, generation=digest("next"))
    other = dataclasses.replace(POINTER, drain_time="61s")

    assert content_digest(later) == content_digest(POINTER)
    assert content_digest(other) != content_digest(POINTER)


def test_a_bomb_in_the_place_of_a_pointer_is_not_inflated() -> None:
    bomb = zlib.compress(bytes(64 * _MIB), 9)
    assert len(bomb) < MAX_POINTER

    with pytest.raises(BundleError, match="inflates to more than"):
        parse_pointer(bomb, node="web1")


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_a_bomb_in_the_place_of_a_blob_is_not_inflated(size: int) -> None:
    bomb = zlib.compress(bytes(64 * _MIB), 9)

    with pytest.raises(BundleError, match=f"inflates to more than {size} bytes"):
        open_blob(bomb, digest=digest("x"), size=size)


def test_a_blob_that_is_larger_than_any_piece_is_not_even_looked_at() -> None:
    with pytest.raises(BundleError, match="it has 600000 bytes"):
        open_blob(os.urandom(600_000), digest=digest("x"), size=PIECE)


@pytest.mark.parametrize("more", [b"x", zlib.compress(b"more")])
def test_nothing_may_follow_behind_a_blob(more: bytes) -> None:
    with pytest.raises(BundleError, match="too early or too late"):
        unpack(pack(b"content") + more, limit=100)


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7])
def test_pieces_put_together_are_the_file_and_none_is_too_large(size: int) -> None:
    data = os.urandom(size)

    pieces = list(pieces_of(data))

    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= PIECE
    names = tuple(hashlib.sha256(one).hexdigest() for one in pieces)
    whole = PublishedFile(digest=digest("whole"), size=size, pieces=names)
    assert [length for _, length in piece_sizes(whole)] == [len(one) for one in pieces]


def test_a_piece_that_nothing_can_compress_fits_into_a_value_of_consul() -> None:
    assert len(pack(os.urandom(PIECE))) < 512 * 1024


def test_an_index_is_read_back_as_it_was_written() -> None:
    assert parse_index(render_index(INDEX), mesh="shop") == INDEX


def test_no_bit_of_an_index_can_flip() -> None:
    data = render_index(INDEX)

    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        with pytest.raises(DamagedError):
            parse_index(bytes(flipped), mesh="shop")


def test_an_index_of_another_mesh_is_not_taken_for_a_damaged_one() -> None:
    with pytest.raises(BundleError, match='of mesh "shop", and this is "other"') as caught:
        parse_index(render_index(INDEX), mesh="other")
    assert not isinstance(caught.value, DamagedError)


@pytest.mark.parametrize(
    "changed",
    [
        {"order": 0},
        {"order": "x"},
        {"order": 2**63},
        {"shards": {"0a": "nothing"}},
        {"shards": {"../": digest("x")}},
        {"shards": {"0A": digest("x")}},
        {"shards": {"0aa": digest("x")}},
        {"shards": 3},
        {"pending": ["zz"]},
        {"pending": None},
    ],
)
def test_an_index_that_no_publisher_writes_is_damaged(changed: dict[str, object]) -> None:
    content = json.loads(render_index(INDEX))["index"]

    with pytest.raises(DamagedError):
        parse_index(seal("index", {**content, **changed}), mesh="shop")


def test_a_shard_is_read_back_and_holds_its_own_nodes() -> None:
    nodes = {f"node{number}": digest(str(number)) for number in range(2000)}

    shards = shards_of(nodes)

    assert {node for one in shards.values() for node in one} == nodes.keys()
    assert len(shards) == 256
    for name, one in shards.items():
        assert {shard_of(node) for node in one} == {name}
        assert parse_shard(render_shard(one)) == one


@pytest.mark.parametrize(
    "nodes", [{"../x": digest("x")}, {"web1": "nothing"}, {"": digest("x")}, 3, None]
)
def test_a_shard_that_names_what_is_no_node_is_damaged(nodes: object) -> None:
    with pytest.raises(DamagedError):
        parse_shard(json.dumps({"format": 1, "nodes": nodes}).encode())


def test_trash_is_read_back_and_no_list_of_it_is_too_large() -> None:
    digests = {digest(str(number)) for number in range(20_000)}

    lists = list(render_trash(digests))

    assert max(map(len, lists)) < MAX_POINTER
    assert frozenset().union(*map(parse_trash, lists)) == digests


def test_names_of_trash_lists_sort_as_their_orders_do() -> None:
    orders = [1, 10, 999, 1_700_000_000_000, 9_007_199_254_740_992]

    names = [trash_name(order, 0) for order in orders]

    assert sorted(names) == names
    assert [trash_order(name) for name in names] == orders
    assert trash_order("notes") is None


@pytest.mark.parametrize("name", ["", "a/b", "..", "a.b", "a" * 65, "a b", "ä", "a\n"])
def test_no_key_can_be_made_of_what_is_no_name(name: str) -> None:
    with pytest.raises(BundleError):
        mesh_key(name, "index")
    with pytest.raises(BundleError):
        pointer_key("shop", name)


def test_keys_lie_below_the_mesh() -> None:
    assert pointer_key("shop", "web1") == "meshc/v1/shop/nodes/web1"
    assert blob_key("shop", digest("x")) == f"meshc/v1/shop/blobs/{digest('x')}"
