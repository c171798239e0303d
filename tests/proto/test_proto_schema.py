"""Loading a schema, extracting it from the program, and the wire form of messages."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.descriptor_pool import Default

from meshc.diagnostics import InternalError, MeshcError
from meshc.proto import EnvoySchema, extract, known_versions, load_schema
from tests.proto import samples
from tests.proto.real_envoy import envoy_binary

if TYPE_CHECKING:
    from pathlib import Path

WIRE_PROGRAM = """
import hashlib
from meshc.proto import load_schema
from tests.proto import samples
wire = load_schema("1.40.0").to_wire(samples.LISTENER, samples.listener())
print(hashlib.blake2b(wire).hexdigest())
"""


@pytest.fixture(scope="module")
def schema() -> EnvoySchema:
    return load_schema("1.40.0")


def test_the_shipped_versions_are_known() -> None:
    assert known_versions() == ("1.40.0",)


def test_an_unknown_version_is_an_internal_error() -> None:
    with pytest.raises(InternalError, match=r'no schema of Envoy "1\.0\.0"'):
        load_schema("1.0.0")


def test_importing_the_package_does_not_import_protobuf() -> None:
    program = "import sys, meshc.proto; print('google.protobuf' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "False\n"


def test_the_pool_is_private(schema: EnvoySchema) -> None:
    assert schema.pool is not Default()
    with pytest.raises(KeyError):
        Default().FindMessageTypeByName(samples.CLUSTER)


@pytest.mark.envoy
def test_the_shipped_descriptors_are_those_of_the_program() -> None:
    binary = envoy_binary()
    name = f"envoy-{extract.envoy_version(binary)}.binpb.zlib"

    shipped = resources.files("meshc.proto").joinpath("descriptors", name).read_bytes()

    assert extract.extract_descriptors(binary) == shipped
    assert len(shipped) < 1_000_000


@pytest.mark.envoy
def test_extraction_writes_the_named_file(tmp_path: Path) -> None:
    output = tmp_path / "out.zlib"

    assert extract.main([str(envoy_binary()), "-o", str(output)]) == 0
    assert output.stat().st_size > 100_000


def test_extraction_from_another_program_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert extract.main([sys.executable, "-o", str(tmp_path / "x")]) == 3
    assert "is not Envoy" in capsys.readouterr().err
    with pytest.raises(MeshcError, match="has no message descriptors"):
        extract.extract_descriptors(_written(tmp_path / "bare", b"\x0a\x05a.protonothing"))
    with pytest.raises(MeshcError, match="cannot read"):
        extract.extract_descriptors(tmp_path / "missing")


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_the_wire_form_is_the_same_in_every_process() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", WIRE_PROGRAM],
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(5)
    }

    assert len(digests) == 1


@pytest.mark.parametrize("name", [samples.CLUSTER, samples.LISTENER])
def test_a_message_comes_back_from_its_wire_form(schema: EnvoySchema, name: str) -> None:
    message = samples.cluster() if name == samples.CLUSTER else samples.listener()

    wire = schema.to_wire(samples.TYPES + name, message)
    back = schema.from_wire(samples.TYPES + name, wire)

    assert schema.check(name, back) == ()
    assert schema.to_wire(name, back) == wire
    assert back["name"] == message["name"]


def test_encoding_leaves_the_message_as_it_was(schema: EnvoySchema) -> None:
    message = samples.listener()
    manager = message["filter_chains"][0]["filters"][0]["typed_config"]

    schema.to_wire(samples.LISTENER, message)

    assert message == samples.listener()
    assert next(iter(manager)) == "@type"


def test_what_was_not_checked_cannot_be_encoded(schema: EnvoySchema) -> None:
    wrong: dict[str, Any] = {"nam": 1}

    with pytest.raises(InternalError, match="an unchecked message"):
        schema.to_wire(samples.CLUSTER, wrong)
    with pytest.raises(InternalError, match="no message type"):
        schema.to_wire("nope", {})
    with pytest.raises(InternalError, match="bytes are not a message"):
        schema.from_wire(samples.CLUSTER, b"\xff")
