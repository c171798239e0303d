"""A publication in a real Consul that somebody has tampered with is never believed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meshc.artifact.published import parse_pointer, render_pointer
from meshc.delivery.agent.sources import SourceError
from tests.delivery.publish.bundles import MESH, NOW, Mesh
from tests.delivery.sources.published import NODE_KEY, OLD, files, generation

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.consul.client import ConsulClient
    from meshc.delivery.agent.sources import Source
    from tests.consul.gate import Gate

pytestmark = pytest.mark.consul


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b'{"resources": []}',
        b"\x00\xff" * 100,
        b"x" * 500_000,
    ],
)
def test_a_poisoned_pointer_is_refused(
    publish: Callable[..., None],
    source: Callable[..., Source],
    client: ConsulClient,
    value: bytes,
) -> None:
    publish(OLD)
    client.kv_put(NODE_KEY, value)

    with pytest.raises(SourceError, match="the pointer of this node cannot be used") as caught:
        source().fetch(None)

    assert "--again" in str(caught.value.hint)


def test_the_pointer_of_another_node_is_refused(
    publish: Callable[..., None], source: Callable[..., Source], client: ConsulClient
) -> None:
    publish(OLD)
    other = client.kv_get(f"meshc/v1/{MESH}/nodes/b").value
    assert other is not None
    client.kv_put(NODE_KEY, other.value)

    with pytest.raises(SourceError, match='of node "b"'):
        source().fetch(None)


@pytest.mark.parametrize("value", [b"", b"garbage", b"x" * 500_000])
def test_a_poisoned_blob_is_refused(
    publish: Callable[..., None],
    source: Callable[..., Source],
    client: ConsulClient,
    value: bytes,
) -> None:
    publish(OLD)
    for key in client.kv_keys(f"meshc/v1/{MESH}/blobs/").value:
        client.kv_put(key, value)

    with pytest.raises(SourceError, match="is damaged") as caught:
        source().fetch(None)

    assert caught.value.is_incomplete


def test_a_blob_of_other_content_is_refused(
    publish: Callable[..., None], source: Callable[..., Source], client: ConsulClient
) -> None:
    publish(OLD)
    blobs = client.kv_list(f"meshc/v1/{MESH}/blobs/").value
    for one, other in zip(blobs, blobs[1:] + blobs[:1], strict=True):
        client.kv_put(one.key, other.value)

    with pytest.raises(SourceError, match="cannot read"):
        source().fetch(None)


def test_a_blob_that_is_missing_is_said_and_may_still_come(
    publish: Callable[..., None], source: Callable[..., Source], client: ConsulClient
) -> None:
    publish(OLD)
    for key in client.kv_keys(f"meshc/v1/{MESH}/blobs/").value:
        client.kv_delete(key)

    with pytest.raises(SourceError, match="has no blob") as caught:
        source().fetch(None)
    publish(OLD, NOW + 1, again=True)

    assert caught.value.is_incomplete
    assert files(source()) == OLD.files("a")


def test_a_file_that_is_larger_than_the_host_takes_is_not_fetched(
    publish: Callable[..., None], source: Callable[..., Source], gate: Gate
) -> None:
    publish(Mesh({"a": "1"}, {"big": "x" * 100_000}))

    with pytest.raises(SourceError, match="larger than 65536 bytes"):
        source(max_file=65536).fetch(None)

    assert [one for one in gate.passed if "/blobs/" in one.path] == []


def test_an_older_pointer_is_read_once_more_from_a_server_that_knows(
    publish: Callable[..., None],
    source: Callable[..., Source],
    client: ConsulClient,
    gate: Gate,
) -> None:
    """The first answer may come from a server that lags behind; a consistent one does not."""
    publish(OLD)
    opened = source()
    opened.fetch(None)
    entry = client.kv_get(NODE_KEY).value
    assert entry is not None
    older = replace(parse_pointer(entry.value, node="a"), order=NOW - 5)
    client.kv_put(NODE_KEY, render_pointer(older))
    gate.passed.clear()

    opened.fetch(generation(OLD))

    asked = [one.path for one in gate.passed]
    assert len(asked) == 2
    assert "consistent" in asked[1]
    assert opened.order == NOW - 5  # what is done about it is the agent's to decide
