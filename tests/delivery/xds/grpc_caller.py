"""A program that calls xds:///app by gRPC's own xDS client; a line on stdin is a call.

Run by itself, as a bootstrap is read once in a process: prints who answered, or the error.
"""

from __future__ import annotations

import sys

import grpc


def main(target: str, seconds: int) -> None:
    with grpc.insecure_channel(target) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/test.Who/Ask")
        for _ in sys.stdin:
            try:
                said = call(b"", timeout=seconds, wait_for_ready=True).decode()
            except grpc.RpcError as error:
                said = f"error {error}".replace("\n", " ")
            print(said, flush=True)  # noqa: T201, this is its answer


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
