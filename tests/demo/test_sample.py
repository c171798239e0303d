"""The sample that comes with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshc.demo.errors import DemoError
from meshc.demo.sample import sample_specs, without_host

REPOSITORY = Path(__file__).parents[2]


def test_the_packaged_specs_are_those_of_the_repository() -> None:
    packaged = {path.name: path.read_bytes() for path in sample_specs().iterdir()}

    assert packaged == {path.name: path.read_bytes() for path in (REPOSITORY / "specs").iterdir()}


def test_a_host_is_taken_out_as_with_an_editor() -> None:
    text = (
        "protocol: HTTP\nhosts:\n- name: myapp1\n  egressHost: a\n"
        "- name: myapp2   # second\n  egressHost: b\n\n- name: myapp20\n  egressHost: c\n"
    )

    assert without_host(text, "myapp2") == (
        "protocol: HTTP\nhosts:\n- name: myapp1\n  egressHost: a\n"
        "- name: myapp20\n  egressHost: c\n"
    )


def test_the_sample_without_its_second_host_keeps_everything_else() -> None:
    text = (sample_specs() / "app.yaml").read_text()

    shorter = without_host(text, "myapp2")

    assert "myapp2" not in shorter
    assert text.startswith(shorter)


def test_a_host_that_is_not_there_cannot_be_taken_out() -> None:
    with pytest.raises(DemoError, match="myapp2"):
        without_host("hosts: []\n", "myapp2")
