"""What a store held at one moment."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from meshc.diagnostics.names import is_name
from meshc.spec.fields import quoted
from meshc.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from meshc.consul.client import Consistency
    from meshc.consul.kv import KvEntry, KvOperation, TxnResult
    from meshc.consul.reading import Reply
    from meshc.store.keys import StoreKeys

FORMAT = 1
_SHOWN_DIGITS = 12


class KeyValue(Protocol):
    """The part of Consul that a store is made of."""

    def kv_list(self, prefix: str, *, consistency: Consistency = ...) -> Reply[list[KvEntry]]:
        """Return all keys under a prefix."""

    def txn(self, operations: Sequence[KvOperation]) -> TxnResult:
        """Do all operations or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument:
    """A document as it was written; ``index`` is that of its own key, 0 where there is none yet."""

    name: str
    content: bytes
    index: int

    @property
    def revision(self) -> str:
        """Digest of the content, as `sha256sum` begins."""
        return hashlib.sha256(self.content).hexdigest()[:_SHOWN_DIGITS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """The value of the revision key: which change was the last, and whether it is still staged.

    ``documents`` counts what there is after the change and ``staged`` the entries of the stage,
    so that nobody takes a part for the whole: a token that may not see everything gets an
    answer without a word about it.
    """

    number: int
    documents: int = 0
    stage: str | None = None
    staged: int = 0

    def encoded(self) -> bytes:
        """Return it as it is stored."""
        data: dict[str, object] = {
            "format": FORMAT,
            "revision": self.number,
            "documents": self.documents,
        }
        if self.stage is not None:
            data |= {"stage": self.stage, "staged": self.staged}
        return json.dumps(data, sort_keys=True).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All documents of one revision.

    ``index`` is what a change is fenced by.  ``pending`` holds what the revision says is staged:
    it counts already and is part of ``documents``, but still has to be moved in; None stands for
    a document that is deleted.  ``abandoned`` are keys of stages that never came to count.
    """

    revision: Revision
    index: int
    documents: Mapping[str, StoredDocument]
    pending: Mapping[str, bytes | None] = field(default_factory=dict)
    staged_keys: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()


def read_snapshot(consul: KeyValue, keys: StoreKeys) -> Snapshot:
    """Read a whole store in one request, which the leader answers.

    Raises StoreError where it is not what this version writes, ConsulError where Consul does
    not answer.
    """
    reply = consul.kv_list(keys.everything, consistency="consistent")
    if reply.is_filtered:
        raise _incomplete(keys, "this token may not read all of it")
    number, index = Revision(number=0), 0
    documents: dict[str, StoredDocument] = {}
    stages: dict[str, dict[str, KvEntry]] = {}
    for entry in reply.value:
        if entry.key == keys.revision:
            number, index = _revision(entry), entry.modify_index
        elif (name := keys.document_of(entry.key)) is not None:
            _check_name(name, entry.key)
            documents[name] = StoredDocument(
                name=name, content=entry.value, index=entry.modify_index
            )
        elif (staged := keys.stage_of(entry.key)) is not None:
            _check_name(staged[1], entry.key)
            stages.setdefault(staged[0], {})[staged[1]] = entry
    counting = {} if number.stage is None else stages.pop(number.stage, {})
    if len(counting) != number.staged:
        raise StoreError(
            f'"{keys.revision}" says that {number.staged} documents are staged, '
            f"and there are {len(counting)}",
            hint="keys were removed by hand; after consul kv delete of that key the documents "
            "beside it are what counts: look at them, and import what is missing",
        )
    documents = _overlaid(documents, counting)
    if len(documents) < number.documents:
        raise _incomplete(keys, f"{len(documents)} of {number.documents} documents can be read")
    return Snapshot(
        revision=number,
        index=index,
        documents=documents,
        pending={name: entry.value or None for name, entry in counting.items()},
        staged_keys=_keys(counting.values()),
        abandoned=_keys(entry for stage in stages.values() for entry in stage.values()),
    )


def _incomplete(keys: StoreKeys, why: str) -> StoreError:
    return StoreError(
        f'the store of "{keys.mesh}" is not complete: {why}',
        hint=f'the token needs read on all keys that begin with "{keys.everything}"; where '
        "documents were removed by hand, put them back, or say that what is there is all: "
        f"consul kv delete {keys.revision}",
    )


def _overlaid(
    documents: Mapping[str, StoredDocument], staged: Mapping[str, KvEntry]
) -> dict[str, StoredDocument]:
    found = dict(documents)
    for name, entry in staged.items():
        below = found.pop(name, None)
        if entry.value:
            index = 0 if below is None else below.index
            found[name] = StoredDocument(name=name, content=entry.value, index=index)
    return dict(sorted(found.items()))


def _keys(entries: Iterable[KvEntry]) -> tuple[str, ...]:
    return tuple(sorted(entry.key for entry in entries))


def _check_name(name: str, key: str) -> None:
    if not is_name(name):
        raise StoreError(
            f"the key {quoted(key)} in Consul is no document of a mesh",
            hint="keys there are names of services; remove it with: consul kv delete KEY",
        )


def _revision(entry: KvEntry) -> Revision:
    """Read the revision strictly: a guess here would let two changes overwrite each other."""
    try:
        data = json.loads(entry.value)
        is_known = data["format"] == FORMAT
        revision = Revision(
            number=int(data["revision"]),
            documents=int(data["documents"]),
            stage=data.get("stage"),
            staged=data.get("staged", 0),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(
            f'"{entry.key}" in Consul is not what meshc writes there',
            hint="nobody but meshc may write that key; compare it with a backup",
        ) from error
    is_stage = revision.stage is None or (
        isinstance(revision.stage, str) and is_name(revision.stage)
    )
    if not is_known or not is_stage or not isinstance(revision.staged, int):
        raise StoreError(
            f'"{entry.key}" in Consul has a format that this version of meshc does not know',
            hint="use the version of meshc that wrote it, or a newer one",
        )
    return revision
