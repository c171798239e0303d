"""Wishes about a store in a form that tests can spell out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshc.store.apply import Outcome, change_store
from meshc.store.change import WantedDocument, Wish
from meshc.store.snapshot import KeyValue, Snapshot, read_snapshot
from meshc.store.source import ConsulStore

if TYPE_CHECKING:
    from collections.abc import Mapping

STORE = ConsulStore("consul:///mesh", "mesh", "", {})

APP = """\
# The application.
protocol: HTTP
hosts:
- name: myapp1
  ingressAddr: {host: 192.168.34.71, port: 80}
  substanceAddr: {host: 127.0.0.1, port: 9000}
- name: myapp2
  ingressAddr: {host: 192.168.34.72, port: 80}
  substanceAddr: {host: 127.0.0.1, port: 9000}
"""
APP_WITHOUT_MYAPP2 = APP[: APP.index("- name: myapp2")]
FRONT = """\
protocol: HTTP
hosts:
- name: front1
  ingressAddr: {host: 192.168.34.70, port: 80}
  substanceAddr: {host: 127.0.0.1, port: 8080}
dependentServices:
- {name: app, egressPort: 9001}
"""


def numbered(number: int) -> str:
    """A service on a host of its own."""
    return (
        f"protocol: TCP\nhosts:\n- name: host{number}\n"
        f"  ingressAddr: {{host: 10.0.{number // 200}.{number % 200 + 1}, port: 80}}\n"
        f"  substanceAddr: {{host: 127.0.0.1, port: 9000}}\n"
    )


def wanted(name: str, text: str) -> WantedDocument:
    is_mesh = name == "mesh"
    return WantedDocument(name=name, content=text.encode(), shown=f"{name}.yaml", is_mesh=is_mesh)


def wish(texts: Mapping[str, str], **more: Any) -> Wish:
    return Wish(documents=tuple(wanted(name, text) for name, text in texts.items()), **more)


def applied(consul: KeyValue, texts: Mapping[str, str], **more: bool) -> Outcome:
    return change_store(consul, STORE, wish(texts, **more))


def deleted(consul: KeyValue, *names: str, is_forced: bool = False) -> Outcome:
    return change_store(consul, STORE, Wish(deleted=names, is_forced=is_forced))


def codes(outcome: Outcome) -> list[str]:
    """Each finding as ``CODE file:line:column``."""
    return [f"{one.code} {one.span or ''}".strip() for one in outcome.judgement.diagnostics]


def snapshot(consul: KeyValue) -> Snapshot:
    return read_snapshot(consul, STORE.keys)


def held(consul: KeyValue) -> dict[str, str]:
    """What a reader of the store gets."""
    found = snapshot(consul).documents
    return {name: one.content.decode() for name, one in found.items()}
