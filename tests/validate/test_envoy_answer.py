"""Reading Envoy's refusals: the cleaned reason, and the place where it stopped."""

from __future__ import annotations

import pytest

from meshc.validate.envoy_answer import REASON_LIMIT, clean_reason, place_of
from meshc.validate.envoy_process import Answer

CHAIN = (
    "BootstrapValidationError.StaticResources: embedded message failed validation | caused by "
    "StaticResourcesValidationError.Listeners[4]: embedded message failed validation | caused by "
    "ListenerValidationError.Address: embedded message failed validation | caused by "
)
NO_FIELD = "no such field: 'xx'"


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        ("cluster manager: duplicate cluster 'a'\n", "cluster manager: duplicate cluster 'a'"),
        ("missing ): a(b\n", "missing ): a(b"),
        (
            (
                'goo.gle/debugstr  \nnode {\n  id: "x"\n}\n: Proto constraint validation failed '
                f"({CHAIN}AddressValidationError.Port: value must be less)\n"
            ),
            "Address.Port: value must be less",
        ),
        (
            (
                "goo.gle/debugproto\ncluster: 'x'\n: Proto constraint validation failed "
                "(TcpProxyValidationError.StatPrefix: value length must be at least 1 characters)"
            ),
            "StatPrefix: value length must be at least 1 characters",
        ),
        (
            (
                f"x: Proto constraint validation failed ({CHAIN}"
                'field: "path_specifier", reason: is required)'
            ),
            'Address: field: "path_specifier", reason: is required',
        ),
        (
            (
                "Protobuf message (type e.Bootstrap reason INVALID_ARGUMENT: "
                "invalid JSON in  e.Bootstrap @ static_resources.clusters[1]:"
                f" message   envoy.C, near 1:338 (offset  337):  {NO_FIELD}) has unknown fields"
            ),
            f"message envoy.C: {NO_FIELD}",
        ),
        (
            (
                "Protobuf message (type e.Bootstrap reason INVALID_ARGUMENT: "
                "unknown enum value: 'zz') has unknown fields"
            ),
            "unknown enum value: 'zz'",
        ),
        (
            (
                "Unable to parse JSON as proto (INVALID_ARGUMENT: invalid JSON in e.B @ "
                "static_resources.listeners[0].address.pipe: message e.P, near 1:9 (offset 8): "
                "unexpected character: '1'; expected '{'): {\"node\":{}}"
            ),
            "address.pipe: message e.P: unexpected character: '1'; expected '{'",
        ),
        (
            "Invalid duration: Expected positive duration: goo.gle/debugonly    \nseconds: -1\n\n",
            "Invalid duration: Expected positive duration: seconds: -1",
        ),
        ("Bad thing: goo.gle/debugstr \n" + 'name: "x"\n' * 99, "Bad thing"),
        ("", "refused without a reason"),
        ("\x1b[31mred\u202e\x00", "\\x1b[31mred\\u202e\\x00"),
    ],
)
def test_a_reason_is_envoys_words_without_dumps_offsets_and_random_blanks(
    refusal: str, reason: str
) -> None:
    assert clean_reason(refusal) == reason


def test_a_long_reason_keeps_its_end() -> None:
    reason = clean_reason("é" * 2000 + " the end")

    assert len(reason.encode()) <= REASON_LIMIT
    assert reason.startswith("…")
    assert reason.endswith("é the end")


def traced(*records: str) -> Answer:
    return Answer("some reason", ("", *(f"{record}\n" for record in records)))


BEGIN = "config|info|loading 3 cluster(s)"
REFUSED = "main|critical|error initializing configuration 'bootstrap.json': some reason"


def gone(name: str) -> str:
    return f"init|debug|init manager Cluster {name} destroyed"


def test_a_cluster_destroyed_before_the_refusal_is_the_suspect() -> None:
    answer = traced(BEGIN, gone("b"), REFUSED, gone("a"))

    place = place_of(answer, ["a", "b", "c"], eds=frozenset())

    assert place.suspect == ("clusters", 1)
    assert place.good_clusters == {0}


def test_without_a_trace_of_its_own_it_is_the_first_missing_and_eds_comes_last() -> None:
    answer = traced(BEGIN, REFUSED, gone("a"))

    place = place_of(answer, ["a", "b", "c"], eds=frozenset({1}))

    assert place.suspect == ("clusters", 2)


def test_the_listener_begun_last_is_the_suspect_and_all_before_it_are_good() -> None:
    answer = traced(
        BEGIN, "config|debug|listener #0:", "config|debug|listener #1:", REFUSED, gone("a")
    )

    place = place_of(answer, ["a", "b"], eds=frozenset())

    assert place.suspect == ("listeners", 1)
    assert place.good_listeners == {0}
    assert place.good_clusters == {0, 1}


@pytest.mark.parametrize(
    ("refusal", "suspect"),
    [
        ("x (StaticResourcesValidationError.Clusters[12]: embedded", ("clusters", 12)),
        ("invalid JSON in B @ static_resources.listeners[3].name: m", ("listeners", 3)),
        ("unknown enum value: 'zz'", None),
    ],
)
def test_before_any_resource_is_loaded_the_message_itself_may_name_the_place(
    refusal: str, suspect: tuple[str, int] | None
) -> None:
    assert place_of(Answer(refusal), [], eds=frozenset()).suspect == suspect


def test_when_every_cluster_was_good_nobody_is_suspected() -> None:
    answer = traced(BEGIN, REFUSED, gone("a"))

    assert place_of(answer, ["a"], eds=frozenset()).suspect is None
