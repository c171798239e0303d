"""Strategies for what stands in a document: names, times, labels, policies."""

from __future__ import annotations

import string
from typing import Any

from hypothesis import strategies as st

Data = dict[str, Any]

ALPHABET = string.ascii_letters + string.digits + "-_"
METHOD_PROTOCOLS = ("HTTP", "HTTP2")
REQUEST_PROTOCOLS = (*METHOD_PROTOCOLS, "GRPC")
PROTOCOLS = (*REQUEST_PROTOCOLS, "TCP")
HASHING = ("ringHash", "maglev")
CONDITIONS = (
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "refused-stream",
    "retriable-4xx",
    "retriable-status-codes",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
)


def names() -> st.SearchStrategy[str]:
    """Names over the whole alphabet; the shortest, the longest and usual ones are all frequent."""
    first = st.sampled_from(ALPHABET.replace("-", ""))
    return st.one_of(
        st.builds(str.__add__, first, st.text(ALPHABET, min_size=1, max_size=9)),
        first,
        st.builds(
            lambda first, rest: ((first + rest) * 13)[:64],
            first,
            st.text(ALPHABET, min_size=4, max_size=4),
        ),
    )


def name_lists(low: int, high: int) -> st.SearchStrategy[list[str]]:
    return st.lists(names(), min_size=low, max_size=high, unique_by=str.lower)


def durations(low_ms: int = 0) -> st.SearchStrategy[str]:
    """Durations in every unit, from ``low_ms`` to a day."""
    choices = [
        st.integers(max(low_ms, 1), 86_400_000).map(lambda n: f"{n}ms"),
        st.integers(max(1, -(-low_ms // 1000)), 86_400).map(lambda n: f"{n}s"),
        st.integers(max(1, -(-low_ms // 60_000)), 1_440).map(lambda n: f"{n}m"),
        st.integers(1, 24).map(lambda n: f"{n}h"),
        st.integers(max(low_ms, 1), 86_400_000).map(lambda n: f"{n // 1000}.{n % 1000:03d}s"),
    ]
    if low_ms == 0:
        choices.append(st.just("0s"))
    return st.one_of(choices)


def labels() -> st.SearchStrategy[dict[str, str]]:
    end = st.sampled_from(string.ascii_letters + string.digits)
    middle = st.text(ALPHABET + "./", max_size=8)
    long = st.just("./" * 31)
    keys = st.one_of(end, st.builds("{}{}{}".format, end, st.one_of(middle, long), end))
    values = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    return st.dictionaries(keys, st.one_of(values, st.just("x" * 256)), max_size=3)


def subsets(strategies: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Data]:
    """Some of the keys with their values, in any order."""
    chosen = st.lists(st.sampled_from(sorted(strategies)), unique=True)
    return chosen.flatmap(
        lambda keys: st.fixed_dictionaries({key: strategies[key] for key in keys})
    )


def token() -> st.SearchStrategy[str]:
    return st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=10)


def _hash_on(*, has_requests: bool) -> st.SearchStrategy[Data]:
    by_address = st.just({"sourceIp": True})
    if not has_requests:
        return by_address
    return st.one_of(
        by_address,
        st.builds(lambda name: {"header": name}, token()),
        st.builds(lambda name: {"cookie": name}, token()),
    )


@st.composite
def load_balancing(draw: st.DrawFn, *, has_requests: bool) -> Data:
    found: Data = draw(
        subsets(
            {
                "policy": st.sampled_from(["roundRobin", "leastRequest", "random", *HASHING]),
                "choiceCount": st.sampled_from([2, 3, 100]),
                "minimumRingSize": st.sampled_from([1, 1_024, 65_536]),
                "tableSize": st.sampled_from([251, 65_537]),
                "hashOn": _hash_on(has_requests=has_requests),
            }
        )
    )
    if found.get("policy") in HASHING and "hashOn" not in found:
        found["hashOn"] = draw(_hash_on(has_requests=has_requests))
    return found


def _texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def _limits() -> st.SearchStrategy[Any]:
    return st.one_of(st.integers(1, 5_000), st.sampled_from([1, 4_294_967_295, "none"]))


def _retries(protocol: str) -> dict[str, st.SearchStrategy[Any]]:
    found: dict[str, st.SearchStrategy[Any]] = {
        "attempts": st.integers(0, 10),
        "backoff": durations(1),
    }
    if protocol in REQUEST_PROTOCOLS:
        found |= {
            "on": st.lists(st.sampled_from(CONDITIONS), min_size=1, max_size=4),
            "statusCodes": st.lists(st.integers(200, 599), min_size=1, max_size=3),
            "perTryTimeout": durations(1),
            "budget": st.one_of(st.integers(1, 100), st.just("none")),
            "bodyBuffer": st.sampled_from(["1KiB", "16MiB", "64MiB"]),
        }
    if protocol in METHOD_PROTOCOLS:
        found["onIdempotent"] = st.lists(st.sampled_from(CONDITIONS), max_size=3)
    return found


def _outlier_detection(*, has_requests: bool) -> dict[str, st.SearchStrategy[Any]]:
    found: dict[str, st.SearchStrategy[Any]] = {
        "enabled": st.booleans(),
        "consecutiveFailures": st.integers(1, 1_000),
        # Whatever others say about the one, it is no longer than the other.
        "ejectionTime": st.integers(1, 120_000).map(lambda n: f"{n}ms"),
        "maxEjectionTime": durations(120_000),
        "maxEjectedPercent": st.integers(1, 100),
    }
    if has_requests:
        found["statusCodes"] = st.lists(st.integers(500, 599), min_size=1, max_size=3)
    return found


def _health_checks(protocol: str) -> dict[str, st.SearchStrategy[Any]]:
    asked: dict[str, st.SearchStrategy[Any]] = {
        "GRPC": st.one_of(st.just({}), st.builds(lambda name: {"service": name}, _texts())),
        "TCP": subsets({"send": _texts(), "receive": _texts()}),
    }
    path = st.text(ALPHABET + "/?=%", max_size=10).map(lambda text: f"/{text}")
    more = subsets(
        {"host": token(), "statuses": st.lists(st.integers(100, 599), min_size=1, max_size=3)}
    )
    requested = st.builds(lambda path, more: {"path": path} | more, path, more)
    key = "http" if protocol in METHOD_PROTOCOLS else protocol.lower()
    return {
        key: asked.get(protocol, requested),
        "interval": durations(100),
        "timeout": durations(1),
        "unhealthyAfter": st.integers(1, 100),
        "healthyAfter": st.integers(1, 100),
    }


def inbound(protocol: str) -> st.SearchStrategy[Data]:
    """What a service says about its own hosts: all fields that its protocol can have."""
    fields = {"maxConnections": _limits(), "maxPendingRequests": _limits()}
    if protocol in REQUEST_PROTOCOLS:
        fields |= {
            "maxRequests": _limits(),
            "idle": durations(1),
            "trustedHops": st.integers(0, 10),
        }
    return st.one_of(st.just({}), st.builds(lambda found: {"inbound": found}, subsets(fields)))


def policies(protocol: str, *, hashes_requests: bool | None = None) -> st.SearchStrategy[Data]:
    """Policies that calls of a protocol can have: all of them, all fields, any subset."""
    has_requests = protocol in REQUEST_PROTOCOLS
    if hashes_requests is None:
        hashes_requests = has_requests
    timeouts = {"connect": durations(1), "idle": durations()}
    breakers = {"maxConnections": _limits(), "maxPendingRequests": _limits()}
    if has_requests:
        timeouts["request"] = durations()
        breakers |= {
            "maxRequests": _limits(),
            "maxRetries": st.one_of(st.just(0), st.integers(1, 5_000), st.just(4_294_967_295)),
        }
    if protocol == "HTTP":
        timeouts["webSocket"] = durations()
    choices = {
        "timeouts": subsets(timeouts),
        "retries": subsets(_retries(protocol)),
        "circuitBreakers": subsets(breakers),
        "loadBalancing": load_balancing(has_requests=hashes_requests),
        "outlierDetection": subsets(_outlier_detection(has_requests=has_requests)),
        "healthChecks": subsets(_health_checks(protocol)),
    }
    return st.one_of(st.just({}), subsets(choices))
