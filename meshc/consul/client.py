"""Consul's API as far as meshc uses it, typed."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Literal, Self

from consul.base import Consul

from meshc.consul.errors import ConsulError
from meshc.consul.kv import (
    MAX_TXN_BODY,
    KvEntry,
    TxnOperation,
    TxnResult,
    checked_key,
    checked_value,
    txn_payload,
)
from meshc.consul.reading import Reader, Reply
from meshc.consul.transport import Answer, Transport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meshc.consul.settings import ConsulSettings

Consistency = Literal["default", "consistent", "stale"]
Object = dict[str, Any]
_MAX_BODY = 16 * 1024 * 1024
_CONFLICT = 409


class _Spelling(Consul):
    """py-consul's API objects over our transport.

    It is told everything and asks the environment nothing: an exported CONSUL_HTTP_TOKEN would
    otherwise win over a token that was given.  The token itself it never sees, because some of
    its calls put it into the address of the request; the transport adds it as a header.
    """

    def __init__(self, transport: Transport, datacenter: str) -> None:
        self._transport = transport
        super().__init__(
            host=transport.host,
            port=transport.port,
            scheme=transport.scheme,
            dc=datacenter or None,
        )
        self.token = None

    def http_connect(self, *_arguments: Any, **_named: Any) -> Transport:
        return self._transport


class ConsulClient:
    """A client; may be used from several threads, and closed from any of them.

    ``max_body`` is what one answer may be at most, in bytes.  Waiting times are in seconds and
    count only together with an ``index``.
    """

    def __init__(
        self, settings: ConsulSettings, *, max_body: int = _MAX_BODY, user_agent: str = "meshc"
    ) -> None:
        self._transport = Transport(settings, max_body=max_body, user_agent=user_agent)
        self._api = _Spelling(self._transport, settings.datacenter)
        self._datacenter = settings.datacenter
        self._closed = threading.Event()
        self._read = Reader(where=self._transport.where)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<client of {self._transport.where}>"

    @property
    def where(self) -> str:
        """Which Consul this is, for messages."""
        return self._transport.where

    def close(self) -> None:
        """End all exchanges, also those that other threads wait for; there is no way back."""
        self._closed.set()
        self._transport.close()

    @property
    def exchanges(self) -> int:
        """How many questions were sent so far."""
        return self._transport.exchanges

    def is_closed(self) -> bool:
        """Whether nothing will be asked any more."""
        return self._closed.is_set()

    def rest(self, seconds: float) -> bool:
        """Wait; True at once when the client is closed."""
        return self._closed.wait(seconds)

    def token_mark(self) -> object:
        """Return what differs when the token differs, and is not the token."""
        return self._transport.token_mark()

    # Keys and values

    def kv_get(
        self,
        key: str,
        *,
        index: int | None = None,
        wait: float | None = None,
        consistency: Consistency = "default",
    ) -> Reply[KvEntry | None]:
        """Return a key, or None where there is none; with ``index`` once it has changed."""
        answer = self._api.kv.get(
            checked_key(key), index=index, wait=_duration(index, wait), consistency=consistency
        )
        found = self._read.reply_or_none(answer).map(self._read.entries)
        return found.map(lambda entries: entries[0] if entries else None)

    def kv_list(
        self,
        prefix: str,
        *,
        index: int | None = None,
        wait: float | None = None,
        consistency: Consistency = "default",
    ) -> Reply[list[KvEntry]]:
        """Return all keys under a prefix, with their values."""
        answer = self._api.kv.get(
            checked_key(prefix),
            recurse=True,
            index=index,
            wait=_duration(index, wait),
            consistency=consistency,
        )
        return self._read.reply_or_none(answer).map(self._read.entries)

    def kv_keys(
        self,
        prefix: str,
        *,
        index: int | None = None,
        wait: float | None = None,
        consistency: Consistency = "default",
    ) -> Reply[list[str]]:
        """Return the names of all keys under a prefix."""
        answer = self._api.kv.get(
            checked_key(prefix),
            keys=True,
            index=index,
            wait=_duration(index, wait),
            consistency=consistency,
        )
        return self._read.reply_or_none(answer).map(self._names)

    def kv_put(self, key: str, value: bytes, *, cas: int | None = None) -> bool:
        """Write a key; with ``cas`` only if its index is that (0: if it does not exist)."""
        answer = self._api.kv.put(checked_key(key), checked_value(key, value), cas=cas)
        return self._yes(answer)

    def kv_delete(self, key: str, *, cas: int | None = None) -> bool:
        """Delete one key; with ``cas`` only if its index is that.

        Whole prefixes are deleted key by key on purpose: a prefix ends anywhere, and
        ``nodes/web`` would take ``nodes/web-2`` along.
        """
        return self._yes(self._api.kv.delete(checked_key(key), cas=cas))

    def txn(self, operations: Sequence[TxnOperation]) -> TxnResult:
        """Do all operations or none.

        Raises:
            ConsulDeniedError: the token may not do one of them.
            ConsulError: nothing was sent, because Consul would not take it.
        """
        body = json.dumps(txn_payload(operations))
        if len(body) > MAX_TXN_BODY:
            raise ConsulError(
                f"a transaction of {len(body)} bytes was not sent: Consul takes {MAX_TXN_BODY}"
            )
        # Not py-consul's own, which does not say which datacenter.
        answer = self._transport.put(None, "/v1/txn", params=self._place(), data=body)
        if answer.status != _CONFLICT:
            self._read.accept(answer)
        found = self._read.object(self._read.json(answer))
        errors = self._read.failures(found.get("Errors"))
        results = [one.get("KV") for one in self._read.objects(found.get("Results"))]
        entries = self._read.entries([one for one in results if one is not None])
        if (answer.status == _CONFLICT) != bool(errors):
            self._read.refuse("it is not clear whether a transaction was done")
        return TxnResult(ok=not errors, errors=errors, entries=tuple(entries))

    # The catalogue

    def catalog_nodes(
        self,
        *,
        filter_expression: str = "",
        index: int | None = None,
        wait: float | None = None,
        consistency: Consistency = "default",
    ) -> Reply[list[Object]]:
        """Return all nodes, as Consul writes them."""
        answer = self._api.catalog.nodes(
            index=index,
            wait=_duration(index, wait),
            consistency=consistency,
            filter_expr=filter_expression or None,
        )
        return self._read.reply(answer).map(self._read.objects)

    def catalog_node_services(
        self, node: str, *, consistency: Consistency = "default"
    ) -> Reply[Object | None]:
        """Return a node with its services (``Node``, ``Services``), or None."""
        answer = self._api.catalog.node(checked_key(node), consistency=consistency)
        return self._read.reply_or_none(answer).map(
            lambda found: None if found is None else self._read.object(found)
        )

    def catalog_services(
        self, *, filter_expression: str = "", consistency: Consistency = "default"
    ) -> Reply[Object]:
        """Return the names of all services, each with its tags."""
        answer = self._api.catalog.services(
            consistency=consistency, filter_expr=filter_expression or None
        )
        return self._read.reply(answer).map(self._read.object)

    def catalog_service(
        self,
        name: str,
        *,
        filter_expression: str = "",
        index: int | None = None,
        wait: float | None = None,
        consistency: Consistency = "default",
    ) -> Reply[list[Object]]:
        """Return the instances of a service."""
        answer = self._api.catalog.service(
            checked_key(name),
            index=index,
            wait=_duration(index, wait),
            consistency=consistency,
            filter_expr=filter_expression or None,
        )
        return self._read.reply(answer).map(self._read.objects)

    def catalog_register(self, registration: Mapping[str, Any]) -> None:
        """Register a node, and with it services and checks, in Consul's own field names.

        Not py-consul's own, which sends a node's metadata where Consul does not look for them.
        """
        payload = dict(registration)
        if self._datacenter:
            payload["Datacenter"] = self._datacenter
        self._do(self._transport.put(None, "/v1/catalog/register", data=json.dumps(payload)))

    def catalog_deregister(self, node: str, *, service_id: str = "", check_id: str = "") -> None:
        """Take out a service or a check of a node; with neither, the node with all it has."""
        self._do(
            self._api.catalog.deregister(
                node, service_id=service_id or None, check_id=check_id or None
            )
        )

    def health_service(
        self,
        name: str,
        *,
        passing: bool = False,
        filter_expression: str = "",
        index: int | None = None,
        wait: float | None = None,
        consistency: Consistency = "default",
    ) -> Reply[list[Object]]:
        """Return the instances of a service with their checks.

        Not py-consul's own, which does not know about consistency here.
        """
        params = self._place()
        if index:
            params += [("index", index)] + ([("wait", _duration(index, wait))] if wait else [])
        params += [("passing", "1")] if passing else []
        params += [(consistency, "1")] if consistency != "default" else []
        params += [("filter", filter_expression)] if filter_expression else []
        answer = self._transport.get(None, f"/v1/health/service/{checked_key(name)}", params)
        return self._read.reply(answer).map(self._read.objects)

    # The agent of this host

    def agent_self(self) -> Object:
        """Return what the agent says about itself."""
        return self._read.object(self._read.reply(self._api.agent.self()).value)

    def agent_services(self, *, filter_expression: str = "") -> dict[str, Object]:
        """Return the services that are registered with this agent, by their id."""
        answer = self._api.agent.services(filter_expr=filter_expression or None)
        found = self._read.object(self._read.reply(answer).value)
        return {name: self._read.object(one) for name, one in found.items()}

    def agent_checks(self) -> dict[str, Object]:
        """Return the checks of this agent, by their id."""
        found = self._read.object(self._read.reply(self._api.agent.checks()).value)
        return {name: self._read.object(one) for name, one in found.items()}

    def agent_register(self, definition: Mapping[str, Any]) -> None:
        """Register a service with this agent, in Consul's own field names.

        Checks that the definition does not name any more are removed.  Not py-consul's own,
        which takes a fixed choice of fields apart and puts it together again.
        """
        params = [("replace-existing-checks", "true")]
        body = json.dumps(dict(definition))
        self._do(self._transport.put(None, "/v1/agent/service/register", params, body))

    def agent_deregister(self, service_id: str) -> None:
        """Take a service out of this agent, with its checks."""
        self._do(self._api.agent.service.deregister(checked_key(service_id)))

    # Sessions and locks

    def session_create(
        self, name: str, *, ttl: int, lock_delay: int, node: str = "", behavior: str = "release"
    ) -> str:
        """Return a new session that ends when it is not renewed within ``ttl`` seconds."""
        answer = self._api.session.create(
            name=name, node=node or None, ttl=ttl, lock_delay=lock_delay, behavior=behavior
        )
        found = self._read.object(self._read.reply(answer).value).get("ID")
        if not isinstance(found, str) or not found:
            self._read.refuse("a session without an id")
        return found

    def session_renew(self, session: str) -> bool:
        """Keep a session for another while; False where it has ended."""
        return self._read.reply_or_none(self._api.session.renew(session)).value is not None

    def session_destroy(self, session: str) -> None:
        """End a session; its locks are free at once."""
        self._do(self._api.session.destroy(session))

    def acquire(self, key: str, session: str, value: bytes) -> bool:
        """Take the lock that is a key; False where another session holds it."""
        answer = self._api.kv.put(checked_key(key), checked_value(key, value), acquire=session)
        return self._yes(answer)

    def release(self, key: str, session: str, value: bytes = b"") -> bool:
        """Give a lock back; False where the session does not hold it."""
        answer = self._api.kv.put(checked_key(key), checked_value(key, value), release=session)
        return self._yes(answer)

    def _do(self, answer: Answer) -> None:
        self._read.accept(answer)

    def _yes(self, answer: Answer) -> bool:
        self._read.accept(answer)
        found = self._read.json(answer)
        if not isinstance(found, bool):
            self._read.refuse("true or false was expected")
        return found

    def _names(self, value: Any) -> list[str]:
        found = [] if value is None else value
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            self._read.refuse("a list of keys was expected")
        return found

    def _place(self) -> list[tuple[str, Any]]:
        return [("dc", self._datacenter)] if self._datacenter else []


def _duration(index: int | None, wait: float | None) -> str | None:
    """Spell a waiting time as the transport and Consul read it."""
    return None if not index or wait is None else f"{int(wait * 1000)}ms"
