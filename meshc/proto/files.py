"""The descriptor files of one Envoy, each made a part of the pool when it is asked for.

Of several hundred, what a mesh uses needs a fifth: the rest stays bytes.
"""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet


class DescriptorFiles:
    """What a descriptor pool asks for files; the names of the methods are protobuf's."""

    def __init__(self, data: bytes) -> None:
        self._files: dict[str, bytes] = {}
        self._file_of: dict[str, str] = {}
        for file in FileDescriptorSet.FromString(data).file:
            self._files[file.name] = file.SerializeToString()
            kinds = (file.message_type, file.enum_type, file.extension, file.service)
            for kind in kinds:
                for one in kind:
                    self._file_of[f"{file.package}.{one.name}"] = file.name

    def FindFileByName(self, name: str) -> FileDescriptorProto:  # noqa: N802
        """Return a file; raises KeyError."""
        return FileDescriptorProto.FromString(self._files[name])

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptorProto:  # noqa: N802
        """Return the file of a message, also of one within another; raises KeyError."""
        outer = symbol
        while outer not in self._file_of:
            outer, dot, _ = outer.rpartition(".")
            if not dot:
                raise KeyError(symbol)
        return self.FindFileByName(self._file_of[outer])
