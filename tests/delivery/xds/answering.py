"""A gRPC server behind a mesh that says who it is."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def answering(name: str) -> Iterator[int]:
    """A gRPC server that says its name; yields its port."""

    class Who(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> Any:
            del details
            return grpc.unary_unary_rpc_method_handler(lambda _request, _context: name.encode())

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Who()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()
