"""A server of the dynamic mode with a client that takes some things and refuses others."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import grpc

from meshc.delivery.errors import DeliveryError
from meshc.delivery.xds.process.asking import ask_status
from meshc.delivery.xds.protocol.types import CLUSTER, LISTENER
from meshc.delivery.xds.transport.addresses import address
from tests.delivery.live import until
from tests.delivery.xds.streams import message_class

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LISTEN, METRICS = 18000, 9904
_SECONDS = 20
_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"


@contextlib.contextmanager
def running_server(out: Path, host: str, node: str) -> Iterator[str]:
    """Serve a bundle with two workers; yields where Prometheus finds the metrics."""
    metrics = f"{host}:{METRICS}"
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "meshc", "serve", "--plaintext", "--source", str(out)),
            *("--listen", f"{host}:{_LISTEN}", "--control", metrics, "--workers", "2"),
        ],
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            until(lambda: _workers(metrics) == ["serving", "serving"], "a server")
            with _client(f"{host}:{_LISTEN}", node):
                yield metrics
        finally:
            process.terminate()
            process.wait(_SECONDS)


def _workers(metrics: str) -> list[str]:
    with contextlib.suppress(DeliveryError):
        return [one["state"] for one in ask_status(address(metrics))["workers"]]
    return []


@contextlib.contextmanager
def _client(target: str, node: str) -> Iterator[None]:
    """Take the clusters of a node, and refuse its listeners."""
    request = message_class("DiscoveryRequest")
    with grpc.insecure_channel(target) as channel:
        asked: queue.Queue[Any] = queue.Queue()
        answers = channel.stream_stream(
            _METHOD,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_class("DiscoveryResponse").FromString,
        )(iter(asked.get, None), timeout=600)
        for type_url, reason in ((CLUSTER, ""), (LISTENER, "no listener is wanted here")):
            first = request(type_url=type_url)
            first.node.id = node
            asked.put(first)
            answer = next(answers)
            then = request(type_url=type_url, response_nonce=answer.nonce)
            if reason:
                then.error_detail.message = reason
            else:
                then.version_info = answer.version_info
            asked.put(then)
        try:
            yield
        finally:
            answers.cancel()
            asked.put(None)
