"""A publication in a real Consul: read whole, watched, over TLS with tokens."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import meshc
from meshc.delivery.agent.sources import SourceError
from meshc.diagnostics.errors import SettingsError
from tests.delivery.live import until
from tests.delivery.publish.bundles import MESH, NOW, Mesh
from tests.delivery.sources.consul.news import News
from tests.delivery.sources.published import NEW, NODE_KEY, OLD, by_digest, files, generation

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.delivery.agent.sources import Source
    from tests.consul.cluster import Cluster
    from tests.consul.gate import Gate

pytestmark = pytest.mark.consul
ROOT = Path(meshc.__file__).parent.parent


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
