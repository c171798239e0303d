"""Metadata within Consul's limits: what does not fit is left out and told about."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from meshc.delivery.register.metadata import Metadata


def with_labels(labels: dict[str, str], pairs: dict[str, str] | None = None) -> Metadata:
    metadata = Metadata(pairs or {"mesh": "shop"})
    metadata.add_labels("label-", labels)
    return metadata


def test_labels_come_with_a_prefix_of_their_own() -> None:
    metadata = with_labels({"mesh": "theirs", "tier": "front"})

    assert metadata.pairs == {"mesh": "shop", "label-mesh": "theirs", "label-tier": "front"}
    assert metadata.notes == []


def test_what_consul_has_not_in_keys_becomes_an_underscore() -> None:
    metadata = with_labels({"example.com/rack": "r1"})

    assert metadata.pairs["label-example_com_rack"] == "r1"
    assert metadata.notes == ['label "example.com/rack" is registered as "label-example_com_rack"']


def test_of_labels_that_would_be_spelled_alike_the_exact_one_stays() -> None:
    metadata = with_labels({"a.b": "1", "a/b": "2", "a_b": "3"})

    assert metadata.pairs == {"mesh": "shop", "label-a_b": "3"}
    assert metadata.notes == [
        'label "a.b" is left out: another one is "label-a_b" too',
        'label "a/b" is left out: another one is "label-a_b" too',
    ]


def test_a_value_that_is_too_long_in_bytes_is_left_out() -> None:
    metadata = with_labels({"fits": "x" * 512, "long": "é" * 257})

    assert metadata.pairs == {"mesh": "shop", "label-fits": "x" * 512}
    assert metadata.notes == ['label "long" is left out: its value is longer than 512 bytes']


def test_there_are_at_most_64_pairs() -> None:
    metadata = with_labels({f"l{number:03}": "x" for number in range(70)})

    assert len(metadata.pairs) == 64
    assert "label-l062" in metadata.pairs
    assert metadata.notes[0] == ('label "l063" is left out: Consul takes 64 pairs of metadata')
    assert len(metadata.notes) == 7


def test_a_list_that_is_too_long_goes_on_under_further_keys() -> None:
    names = [f"service-{number:02}-{'x' * 50}" for number in range(20)]
    metadata = Metadata({})

    metadata.add_list("services", names)

    assert list(metadata.pairs) == ["services", "services-2", "services-3"]
    assert ",".join(metadata.pairs.values()).split(",") == names


LABELS = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_./-]{0,62}[A-Za-z0-9])?", fullmatch=True),
    st.text(max_size=256),
    max_size=80,
)


@given(labels=LABELS)
def test_whatever_the_labels_consul_takes_the_result(labels: dict[str, str]) -> None:
    metadata = with_labels(labels)

    assert len(metadata.pairs) <= 64
    for key, value in metadata.pairs.items():
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,128}", key)
        assert len(value.encode()) <= 512
    told = [note for note in metadata.notes if "left out" in note]
    assert len(metadata.pairs) - 1 + len(told) == len(labels)
