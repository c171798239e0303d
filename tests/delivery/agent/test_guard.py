"""Sets of files that are refused or held before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshc.delivery.agent.configuration import (
    Subscription,
    read_configuration,
    texts_in,
    version_of,
)
from meshc.delivery.agent.guard import Bounds, Size, check_size, check_whole, size_of, sizes
from meshc.delivery.agent.host_files import stale_among, traces_of, why_not_startable
from meshc.delivery.errors import DeliveryError
from tests.delivery.node_files import (
    bootstrap,
    bundle,
    eds_cluster,
    endpoints,
    http_listener,
    node_files,
    response,
    routes,
    tcp_listener,
)

if TYPE_CHECKING:
    from pathlib import Path

_HERE = ("127.0.44.4", 8080)
_DEEP = 900
"""Deep enough for a walk that calls itself, and not too deep for the JSON parser."""


def files(**more: bytes) -> dict[str, bytes]:
    found = node_files(
        listeners=[tcp_listener("in", _HERE, "app"), http_listener("out", _HERE, "db")],
        clusters=[eds_cluster("app", "app"), eds_cluster("db", "db")],
        shared={
            "app/eds.json": endpoints("1", "app", _HERE, ("127.0.44.4", 8081)),
            "db/eds.json": endpoints("1", "db", _HERE),
            "db/rds-outbound.json": routes("1", "outbound/db", "db"),
        },
    )
    return found | {f"{name}.json": data for name, data in more.items()}


def size(listeners: int, clusters: int | None = None, places: int | None = None) -> Size:
    return Size(
        listeners=listeners,
        clusters=listeners if clusters is None else clusters,
        endpoints=listeners if places is None else places,
    )


def nested(depth: int) -> Any:
    value: Any = "end"
    for _ in range(depth):
        value = [value]
    return value


def test_everything_that_an_envoy_runs_is_counted() -> None:
    configuration = read_configuration(files(), origin="a test")

    assert size_of(configuration) == Size(listeners=2, clusters=2, endpoints=3)


def test_endpoints_inside_of_clusters_are_counted_too() -> None:
    static = {
        "name": "s",
        "load_assignment": {"endpoints": [{"lb_endpoints": [{}, {}]}, {"lb_endpoints": [{}]}]},
    }
    configuration = read_configuration(files(cds=response("1", static)), origin="a test")

    assert size_of(configuration).endpoints == 3


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (None, size(0), "no listeners at all"),
        (None, size(5000), None),
        (size(10), size(0), "no listeners at all"),
        (size(10), size(10, 0), "takes away all 10 clusters"),
        (size(10), size(10, 10, 0), "takes away all 10 endpoints"),
        (size(1), size(1, 1, 0), "takes away all 1 endpoints"),
        (size(10), size(7), None),
        (size(10), size(6), "listeners shrink from 10 to 6, by 40%; allowed are 30%"),
        (size(10), size(10, 6), "clusters shrink from 10 to 6"),
        (size(10), size(10, 10, 6), "endpoints shrink from 10 to 6"),
        (size(2), size(1), None),
        (size(3), size(1), "shrink from 3 to 1"),
        (size(10), size(100), None),
        (size(10), size(101), "listeners grow from 10 to 101; allowed are 100"),
        (size(10), size(10, 10, 101), "endpoints grow from 10 to 101"),
        (size(1), size(30), None),
        (size(1), size(31), "grow from 1 to 31; allowed are 30"),
        (size(0), size(30), None),
        (size(0), size(31), "grow from 0 to 31"),
    ],
)
def test_a_set_that_differs_too_much_is_held_with_the_numbers(
    before: Size | None, after: Size, reason: str | None
) -> None:
    said = check_size(before, after, Bounds())

    assert (said is None) == (reason is None)
    assert reason is None or reason in str(said)


@pytest.mark.parametrize("after", [size(1), size(100, 1, 1), size(5000)])
def test_with_somebodys_word_a_set_may_shrink_and_grow(after: Size) -> None:
    assert check_size(size(100), after, Bounds(may_shrink=True)) is None


def test_the_word_for_shrinking_is_none_for_an_empty_set() -> None:
    said = check_size(size(100), size(0), Bounds(may_shrink=True))

    assert said is not None
    assert "no listeners at all" in said


def test_with_somebodys_word_a_set_may_be_empty() -> None:
    assert check_size(size(1), size(0), Bounds(may_be_empty=True)) is None


def test_a_word_for_an_empty_set_allows_no_half_of_one() -> None:
    said = check_size(size(100), size(50), Bounds(may_be_empty=True))

    assert said is not None
    assert "shrink from 100 to 50" in said


def test_bounds_are_those_of_the_settings() -> None:
    bounds = Bounds(max_shrink=0.5, max_growth=2.0)

    assert check_size(size(10), size(5), bounds) is None
    assert check_size(size(10), size(4), bounds) is not None
    assert check_size(size(10), size(21), bounds) is not None


def test_a_whole_bundle_passes() -> None:
    assert set(check_whole(bundle(files()), "n1").listeners) == {"in", "out"}


@pytest.mark.parametrize(
    "path", ["services/app/eds.json", "services/db/eds.json", "services/db/rds-outbound.json"]
)
def test_a_file_that_is_referred_to_must_be_there(path: str) -> None:
    found = files()
    del found[path]

    with pytest.raises(DeliveryError, match=f'refers to "{path}" and does not have it'):
        check_whole(bundle(found), "n1")


def test_a_bundle_of_another_node_is_refused() -> None:
    with pytest.raises(DeliveryError, match='is of node "n1", this is "n2"'):
        check_whole(bundle(files(), node="n2"), "n2")
    with pytest.raises(DeliveryError, match='this is "n1"'):
        check_whole(bundle(files(), node="n2"), "n1")


_BAD = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b'{"resources": []}',
    b'{"version_info": "", "resources": []}',
    b'{"version_info": 1, "resources": []}',
    b'{"version_info": "1", "resources": 5}',
    b'{"version_info": "1", "resources": [5]}',
    b'{"version_info": "1", "resources": [{}]}',
    b'{"version_info": "1", "resources": [{"name": 5}]}',
    b'{"version_info": "1", "resources": [{"name": "x"}, {"name": "x"}]}',
    b'{"version_info": "1"}',
    b"[" * 100_000,
    b"\xff",
    b'{"version_info": "1", "resources": [',
]


@pytest.mark.parametrize("data", _BAD)
@pytest.mark.parametrize("name", ["lds", "cds"])
def test_a_list_that_is_none_is_refused_and_nothing_could_start_with_it(
    name: str, data: bytes
) -> None:
    """Envoy would take some of these for "remove everything"."""
    found = files(**{name: data})

    with pytest.raises(DeliveryError):
        check_whole(bundle(found), "n1")
    assert why_not_startable(found, "n1")


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"no JSON", b"[" * 100_000])
def test_a_shared_file_without_a_version_is_refused(data: bytes) -> None:
    found = files() | {"services/app/eds.json": data}

    with pytest.raises(DeliveryError, match="services/app/eds.json"):
        check_whole(bundle(found), "n1")
    assert "services/app/eds.json" in why_not_startable(found, "n1")


@pytest.mark.parametrize("data", [b"", b"[]", b"no JSON", b"[" * 100_000])
def test_a_file_that_nobody_watches_yet_must_be_an_object_too(data: bytes) -> None:
    with pytest.raises(DeliveryError, match="services/new/eds.json"):
        check_whole(bundle(files() | {"services/new/eds.json": data}), "n1")


@pytest.mark.parametrize(
    "boot",
    [
        b"{}",
        b"[]",
        b'{"dynamic_resources": 5}',
        b'{"dynamic_resources": {"lds_config": {"path_config_source": {"path": 5}}}}',
        b'{"dynamic_resources": {"lds_config": {"path_config_source": {"path": "./x.json"}}}}',
        bootstrap("another", ("127.0.44.4", 1)),
        bootstrap("n1", ("127.0.44.4", 1)).replace(b'{"id"', b'[5], "x": {"id"'),
    ],
)
def test_a_bootstrap_that_is_not_meshcs_is_refused(boot: bytes) -> None:
    with pytest.raises(DeliveryError):
        check_whole(bundle(files(bootstrap=boot)), "n1")
    assert why_not_startable(files(bootstrap=boot), "n1")


@pytest.mark.parametrize("odd", [5, [], "x", None, {"eds_config": 5}, {"eds_config": []}])
def test_odd_values_in_a_resource_end_in_no_error_of_our_own(odd: object) -> None:
    cluster = {"name": "x", "eds_cluster_config": odd, "load_assignment": odd}
    listener = {"name": "x", "filter_chains": [{"rds": odd}, {"rds": {"config_source": odd}}]}
    found = files(cds=response("1", cluster), lds=response("1", listener))

    configuration = check_whole(bundle(found), "n1")

    assert size_of(configuration) == Size(listeners=1, clusters=1, endpoints=0)
    assert why_not_startable(found, "n1") == ""


def test_depth_is_no_danger() -> None:
    deep = {"name": "x", "metadata": nested(_DEEP)}
    found = files(cds=response("1", deep), lds=response("1", deep))

    configuration = check_whole(bundle(found), "n1")

    assert list(texts_in(configuration.listeners["x"]["metadata"])) == ["end"]
    assert why_not_startable(found, "n1") == ""


def test_a_target_that_was_damaged_by_hand_is_still_something_to_compare_with() -> None:
    damaged = files() | {"services/app/eds.json": b"\0\0\0"}

    assert sizes(damaged, origin="a test") == Size(listeners=2, clusters=2, endpoints=1)


def test_a_target_that_cannot_be_read_is_nothing_to_compare_with() -> None:
    assert sizes(files(cds=b"{"), origin="a test") is None
    assert sizes({}, origin="a test") is None


def test_a_version_is_a_text_that_is_not_empty() -> None:
    assert version_of(b'{"version_info": "7"}') == "7"
    for data in (b"{}", b'{"version_info": ""}', b'{"version_info": 7}', b"7", b"[]"):
        with pytest.raises(DeliveryError, match="could never confirm"):
            version_of(data)


def test_a_file_is_stale_when_envoy_says_another_version() -> None:
    a, b, c = (Subscription(f"{name}.") for name in "abc")
    expected = {"a.json": ((a,), "1"), "b.json": ((b, c), "1"), "c.json": ((c,), "1")}
    versions = {"a.version_text": "1", "b.version_text": "0"}

    assert stale_among(expected, versions) == {"b.json"}


def test_replacing_or_writing_a_file_leaves_a_trace(tmp_path: Path) -> None:
    for path, data in files().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    before = traces_of(tmp_path)

    (tmp_path / "new").write_bytes((tmp_path / "lds.json").read_bytes())
    (tmp_path / "new").rename(tmp_path / "lds.json")
    with (tmp_path / "services/app/eds.json").open("ab") as stream:
        stream.write(b" ")
    (tmp_path / "cds.json").unlink()
    (tmp_path / "envoy.log").touch()
    after = traces_of(tmp_path)

    changed = {path for path in before | after if before.get(path) != after.get(path)}
    assert changed == {"lds.json", "cds.json", "services/app/eds.json"}
    assert set(before) == set(files())
