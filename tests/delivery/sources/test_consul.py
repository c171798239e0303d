"""A publication in a real Consul: read whole, watched, and never believed too much."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import meshc
from meshc.artifact.published import parse_pointer, render_pointer
from meshc.delivery.agent.generations import digests_of, generation_of
from meshc.delivery.agent.settings import AgentSettings
from meshc.delivery.agent.sources import SourceError, open_source
from meshc.delivery.publish.local import LocalBundle
from meshc.delivery.publish.plan import Bounds
from meshc.delivery.publish.publisher import Publisher, Wishes
from meshc.delivery.publish.to_consul import ConsulPlace
from meshc.diagnostics.errors import SettingsError
from tests.consul.gate import Gate
from tests.delivery.live import until
from tests.delivery.publish.bundles import MESH, Mesh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from meshc.consul.client import ConsulClient
    from meshc.delivery.agent.sources import Source
    from tests.consul.cluster import Cluster
    from tests.consul.server import ConsulServer

pytestmark = pytest.mark.consul

ROOT = Path(meshc.__file__).parent.parent
NOW = 1_764_000_000_000
OLD = Mesh({"a": "1", "b": "1"}, {"app": "1", "store": "1"})
NEW = Mesh({"a": "1", "b": "1"}, {"app": "2", "store": "1"})
NODE_KEY = f"meshc/v1/{MESH}/nodes/a"
_PATIENCE_S = 20


@pytest.fixture
def client(consul_dev: ConsulServer) -> Iterator[ConsulClient]:
    with consul_dev.client() as opened:
        for key in opened.kv_keys(f"meshc/v1/{MESH}/").value:
            opened.kv_delete(key)
        yield opened


@pytest.fixture
def gate(consul_dev: ConsulServer) -> Iterator[Gate]:
    with Gate((consul_dev.host, consul_dev.ports["http"])) as opened:
        yield opened


@pytest.fixture
def publish(client: ConsulClient, tmp_path: Path) -> Callable[..., None]:
    def published(
        mesh: Mesh, now: int = NOW, client: ConsulClient = client, **wishes: bool
    ) -> None:
        out = tmp_path / f"out-{secrets.token_hex(4)}"
        mesh.write(out)
        bounds = Bounds(may_shrink=True, may_be_empty=True)
        Publisher(
            LocalBundle(out),
            ConsulPlace(client, MESH),
            Wishes(bounds=bounds, **wishes),
            progress=lambda _done, _total: None,
        ).publish(now)

    return published


@pytest.fixture
def source(gate: Gate, tmp_path: Path) -> Iterator[Callable[..., Source]]:
    with contextlib.ExitStack() as stack:

        def opened(
            held: Callable[[str], bytes | None] = lambda _digest: None, **more: object
        ) -> Source:
            given: dict[str, object] = {
                "node": "a",
                "source": f"consul://{gate.place}/{MESH}",
                "target": tmp_path / "target",
                "state": tmp_path / "state",
                "consul_timeout": 2.0,
            }
            found = open_source(AgentSettings(**given | more), held)  # type: ignore[arg-type]
            stack.callback(found.close)
            return found

        yield opened


def generation(mesh: Mesh) -> str:
    return generation_of(digests_of(mesh.files("a")))


def files(source: Source, known: str | None = None) -> dict[str, bytes] | None:
    bundle = source.fetch(known)
    return None if bundle is None else dict(bundle.files)


def by_digest(files: dict[str, bytes]) -> dict[str, bytes]:
    return {digest: files[path] for path, digest in digests_of(files).items()}


class News:
    """Counts what a watch tells."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = threading.Condition()

    def __call__(self, _at: float) -> None:
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def wait(self, count: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.count >= count, _PATIENCE_S)


def test_a_bundle_is_read_whole_with_its_order(
    publish: Callable[..., None], source: Callable[..., Source]
) -> None:
    publish(OLD)
    opened = source()

    assert files(opened) == OLD.files("a")
    assert opened.order == NOW


def test_what_this_host_has_is_not_asked_for(
    publish: Callable[..., None], source: Callable[..., Source], gate: Gate
) -> None:
    publish(OLD)
    here = by_digest(OLD.files("a"))

    assert files(source(here.get)) == OLD.files("a")
    assert [one.path.split("?")[0] for one in gate.passed] == [f"/v1/kv/{NODE_KEY}"]


def test_a_known_bundle_costs_one_request_and_none_once_it_is_watched(
    publish: Callable[..., None], source: Callable[..., Source], gate: Gate
) -> None:
    publish(OLD)
    opened, news = source(), News()
    opened.fetch(None)
    gate.passed.clear()

    assert opened.fetch(generation(OLD)) is None
    assert len(gate.passed) == 1
    opened.watch(news)
    until(lambda: len(gate.passed) >= 3, "an answer, and the next question")
    for _ in range(10):
        assert opened.fetch(generation(OLD)) is None

    assert len(gate.passed) == 3
    assert news.count == 0


def test_a_change_is_told_at_once_and_only_its_blobs_are_fetched(
    publish: Callable[..., None], source: Callable[..., Source], gate: Gate
) -> None:
    publish(OLD)
    held: dict[str, bytes] = {}
    opened, news = source(held.get), News()
    first = files(opened)
    assert first is not None
    held |= by_digest(first)
    opened.watch(news)
    until(lambda: any("index=" in one.path for one in gate.passed), "a waiting question")
    gate.passed.clear()

    publish(NEW, NOW + 1)

    assert news.wait(1)
    assert files(opened, generation(OLD)) == NEW.files("a")
    assert opened.order == NOW + 1
    assert len([one for one in gate.passed if "/blobs/" in one.path]) == 1


def test_changes_of_other_nodes_are_no_news(
    publish: Callable[..., None], source: Callable[..., Source], gate: Gate
) -> None:
    publish(OLD)
    opened, news = source(), News()
    opened.fetch(None)
    opened.watch(news)
    until(lambda: any("index=" in one.path for one in gate.passed), "a waiting question")
    gate.passed.clear()

    publish(Mesh({"a": "1", "b": "2", "c": "1"}, OLD.services), NOW + 1)

    assert opened.fetch(generation(OLD)) is None
    assert [one for one in gate.passed if "/nodes/a" in one.path] == []
    assert news.count == 0


@pytest.mark.parametrize("is_watching", [False, True])
def test_a_node_that_is_not_published_is_said(
    publish: Callable[..., None], source: Callable[..., Source], *, is_watching: bool
) -> None:
    publish(Mesh({"b": "1"}))
    opened = source()
    if is_watching:
        opened.watch(News())

    with pytest.raises(SourceError, match=f'no files for node "a" of mesh "{MESH}"') as caught:
        opened.fetch(None)

    assert "has the node left the mesh" in str(caught.value.hint)


def test_a_node_that_leaves_and_comes_back_is_told_both_times(
    publish: Callable[..., None], source: Callable[..., Source]
) -> None:
    publish(OLD)
    opened, news = source(), News()
    opened.fetch(None)
    opened.watch(news)

    publish(Mesh({"b": "1"}, OLD.services), NOW + 1)
    assert news.wait(1)
    with pytest.raises(SourceError, match="no files for node"):
        opened.fetch(generation(OLD))
    publish(OLD, NOW + 2)
    assert news.wait(2)

    assert opened.fetch(generation(OLD)) is None
    assert opened.order == NOW + 2


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


# --- trouble ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mode", ["500", "403", "garbage", "empty", "huge", "slow", "silent", "gone"]
)
def test_whatever_consul_does_what_was_heard_stays_and_the_failure_is_said(
    publish: Callable[..., None],
    source: Callable[..., Source],
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:
    monkeypatch.setattr("meshc.delivery.agent.sources.consul._WAIT_S", 1.0)
    publish(OLD)
    opened, news = source(consul_timeout=0.5), News()
    opened.fetch(None)
    opened.watch(news)
    until(lambda: any("index=" in one.path for one in gate.passed), "a waiting question")

    gate.set(mode)
    until(lambda: fails(opened), "a failure", 30)
    before = news.count
    gate.set("pass")
    assert news.wait(before + 1), "a word that it is over"

    assert opened.fetch(generation(OLD)) is None


def fails(source: Source) -> bool:
    try:
        source.fetch(generation(OLD))
    except SourceError:
        return True
    return False


def test_a_huge_answer_is_not_taken_in(
    publish: Callable[..., None], source: Callable[..., Source], gate: Gate
) -> None:
    publish(OLD)
    gate.set("huge")

    with pytest.raises(SourceError, match="larger|more than"):
        source(consul_timeout=20.0).fetch(None)


def test_a_closed_source_ends_its_watch_at_once(
    publish: Callable[..., None], source: Callable[..., Source]
) -> None:
    publish(OLD)
    opened = source()
    opened.watch(News())
    before = time.monotonic()

    opened.close()

    assert time.monotonic() - before < 5
    assert [one.name for one in threading.enumerate() if one.name == "consul-watch"] == []


# --- as it is in earnest: TLS, a token that may do little, and its rotation -------------------


def rules(name: str) -> str:
    """The rules that deploy/consul has for a role."""
    text = (ROOT / "deploy/consul" / name).read_text()
    return text.replace("MESH", MESH).replace("NODE", "a").replace("AGENT", "server-1")


def test_with_tls_and_the_tokens_of_the_documentation_it_works_and_a_token_can_be_changed(
    consul_cluster: Cluster,
    publish: Callable[..., None],
    source: Callable[..., Source],
    tmp_path: Path,
) -> None:
    server = consul_cluster.first
    with server.client(server.make_token(rules("publisher.hcl"), "publisher")) as publisher:
        publish(OLD, client=publisher)
        token_file = tmp_path / "token"
        first = server.make_token(rules("agent.hcl"), "host-1")
        token_file.write_text(first)
        place = server.address.removeprefix("https://")
        opened = source(
            source=f"consul+https://{place}/{MESH}",
            consul_ca_file=str(server.ca_file),
            consul_token_file=str(token_file),
        )
        news = News()
        assert files(opened) == OLD.files("a")
        opened.watch(news)

        server.end_token(first)
        publish(NEW, NOW + 1, client=publisher)
        until(lambda: fails(opened), "a token that is none any more", 30)
        token_file.write_text(server.make_token(rules("agent.hcl"), "host-2"))

        assert news.wait(1)
        assert files(opened, generation(OLD)) == NEW.files("a")


def test_a_token_file_that_is_not_there_is_said_and_comes_later(
    consul_cluster: Cluster,
    publish: Callable[..., None],
    source: Callable[..., Source],
    tmp_path: Path,
) -> None:
    server = consul_cluster.first
    with server.client() as admin:
        publish(OLD, client=admin, again=True)
    token_file = tmp_path / "late"
    place = server.address.removeprefix("https://")
    opened = source(
        source=f"consul+https://{place}/{MESH}",
        consul_ca_file=str(server.ca_file),
        consul_token_file=str(token_file),
    )
    news = News()
    opened.watch(news)
    until(lambda: fails(opened), "no token", 30)

    token_file.write_text(server.admin_token)

    assert news.wait(1)
    assert files(opened) == OLD.files("a")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("consul://127.0.0.1:8500", "does not say which mesh"),
        ("consul://127.0.0.1:8500/a/b", "no name of a mesh"),
        ("consul://127.0.0.1:8500/..", "no name of a mesh"),
        ("consul://127.0.0.1:0/shop", "no address of Consul"),
        ("consul+https:///shop", "says https, but not where"),
    ],
)
def test_an_address_that_is_none_is_refused_at_the_start(
    source: Callable[..., Source], address: str, reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason):
        source(source=address)
