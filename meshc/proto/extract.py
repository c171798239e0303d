"""Takes the message descriptors out of an Envoy program, which carries all of them.

Run as ``python -m meshc.proto.extract ENVOY_BINARY -o FILE``.
Published packages of Envoy's API lag behind Envoy by hundreds of fields; the program itself
cannot, and it keeps the ``validate.rules`` options.
"""

from __future__ import annotations

import argparse
import mmap
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

from meshc.diagnostics import InternalError, MeshcError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# A serialised FileDescriptorProto begins with its name: field 1, one byte of length (no name
# in the API is longer than 127 bytes, the most that fits), then the name.
_START = re.compile(rb"\x0a([\x05-\x7f])([A-Za-z0-9_./-]+\.proto)")
_NAME_FIELD = 1
_VARINT_FIELDS = frozenset({10, 11, 14})  # public and weak dependencies, edition
_LENGTH_FIELDS = frozenset({2, 3, 4, 5, 6, 7, 8, 9, 12})
_WIRE_VARINT = 0
_WIRE_LENGTH = 2
_LONGEST_VARINT = 5
_VERSION = re.compile(r"/(\d+\.\d+\.\d+)/")
_VERSION_TIMEOUT_SECONDS = 30


def envoy_version(binary: Path) -> str:
    """Ask the program for its version, such as ``1.40.0``.

    The linker stores the number in machine code, not as text, so it cannot be searched for.
    """
    try:
        answer = subprocess.run(
            [binary, "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_VERSION_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MeshcError(f'"{binary}" does not tell its version: {error}') from error
    found = _VERSION.search(answer.stdout)
    if found is None:
        raise MeshcError(f'"{binary}" is not Envoy: it answers "{answer.stdout.strip()}"')
    return found[1]


def extract_descriptors(binary: Path) -> bytes:
    """Read every descriptor of the program; return them as compressed ``FileDescriptorSet``.

    The same program gives the same bytes.  Each file comes after all files it imports, so
    that a reader can add them to a pool one by one.
    """
    try:
        with (
            binary.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image,
        ):
            files = _unique(_descriptors(image))
    except (OSError, ValueError) as error:
        raise MeshcError(f'cannot read "{binary}": {error}') from error
    if not files:
        raise MeshcError(f'"{binary}" has no message descriptors inside')
    ordered = FileDescriptorSet(file=_imports_first(files))
    # zlib at its highest level: as fast to unpack as any, a fifth of the raw size.
    return zlib.compress(ordered.SerializeToString(deterministic=True), 9)


def _descriptors(image: mmap.mmap) -> Iterator[FileDescriptorProto]:
    """Find everything in the image that begins and reads like a descriptor."""
    for start in _START.finditer(image):
        if len(start[2]) != start[1][0]:
            continue  # part of a longer text
        try:
            found = FileDescriptorProto.FromString(
                image[start.start() : _end(image, start.start())]
            )
        except DecodeError:
            continue  # a name inside other data, such as one import of a descriptor
        if found.message_type or found.enum_type or found.extension or found.service:
            yield found


def _end(image: mmap.mmap, position: int) -> int:
    """Return where the descriptor that starts at ``position`` ends.

    Nothing stores its length.  It ends before the first field that a descriptor cannot have
    there: alignment zeros, other data, or the name of the next descriptor.
    """
    end = position
    has_name = False
    while end < len(image):
        tag, after = _varint(image, end)
        number, wire_type = tag >> 3, tag & 7
        if number == _NAME_FIELD and has_name:
            break
        has_name = True
        if number in _VARINT_FIELDS and wire_type == _WIRE_VARINT:
            _, end = _varint(image, after)
        elif (number in _LENGTH_FIELDS or number == _NAME_FIELD) and wire_type == _WIRE_LENGTH:
            length, after = _varint(image, after)
            if after + length > len(image):
                break
            end = after + length
        else:
            break
    return end


def _varint(image: mmap.mmap, position: int) -> tuple[int, int]:
    """Decode one varint; return it and the position after it (0 when it is not one)."""
    value = 0
    for index, byte in enumerate(image[position : position + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit of a varint
            return value, position + index + 1
    return 0, position


def _unique(descriptors: Iterator[FileDescriptorProto]) -> Mapping[str, FileDescriptorProto]:
    """Keep one descriptor per file name, in one form.

    Envoy carries about a hundred files twice, the second time inside a set with spelled-out
    JSON names.  Those are dropped where they are the default; then both must be equal.
    """
    files: dict[str, FileDescriptorProto] = {}
    for descriptor in descriptors:
        descriptor.ClearField("source_code_info")
        _drop_default_json_names(descriptor.message_type)
        for extension in descriptor.extension:
            extension.ClearField("json_name")
        if files.setdefault(descriptor.name, descriptor) != descriptor:
            raise InternalError(f'two different descriptors are named "{descriptor.name}"')
    return files


def _drop_default_json_names(messages: Sequence) -> None:  # type: ignore[type-arg]
    for message in messages:
        for field in (*message.field, *message.extension):
            if field.json_name == _json_name(field.name):
                field.ClearField("json_name")
        _drop_default_json_names(message.nested_type)


def _json_name(name: str) -> str:
    """Return protobuf's default JSON name: an underscore makes the next letter a capital."""
    return re.sub("_+(.?)", lambda match: match[1].upper(), name)


def _imports_first(files: Mapping[str, FileDescriptorProto]) -> list[FileDescriptorProto]:
    """Order files so that imports come first; otherwise by name."""
    ordered: dict[str, FileDescriptorProto] = {}

    def visit(name: str) -> None:
        if name in ordered:
            return
        if name not in files:
            raise InternalError(f'the descriptor "{name}" is imported but was not found')
        for imported in sorted(files[name].dependency):
            visit(imported)
        ordered[name] = files[name]

    for name in sorted(files):
        visit(name)
    return list(ordered.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the descriptors of the given program to a file."""
    parser = argparse.ArgumentParser(prog="python -m meshc.proto.extract", description=__doc__)
    parser.add_argument("binary", type=Path, metavar="ENVOY_BINARY")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="file to write")
    options = parser.parse_args(arguments)
    try:
        version = envoy_version(options.binary)
        output = options.output or (
            Path(__file__).parent / "descriptors" / f"envoy-{version}.binpb.zlib"
        )
        packed = extract_descriptors(options.binary)
        output.write_bytes(packed)
    except (MeshcError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 3
    sys.stderr.write(f"{output}: Envoy {version}, {len(packed)} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
