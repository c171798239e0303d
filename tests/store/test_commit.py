"""Writing: all or nothing as readers see it, whoever is killed and whoever else writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshc.consul.errors import ConsulDeniedError, ConsulError, ConsulUnreachableError
from meshc.consul.kv import MAX_OPERATIONS, TxnFailure, TxnResult
from meshc.store.commit import settle
from meshc.store.errors import StoreConflictError, StoreError
from tests.store.fake import FakeConsul, KilledError
from tests.store.wishes import (
    APP,
    APP_WITHOUT_MYAPP2,
    FRONT,
    STORE,
    applied,
    deleted,
    held,
    numbered,
    snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshc.consul.kv import KvOperation

PREFIX = "meshc/v1/mesh/specs"
MANY = {f"s{number}": numbered(number) for number in range(150)}
"""More than two transactions hold."""
OLD = {f"s{number}": numbered(number + 500) for number in range(0, 200, 2)}
"""What is there before: half of it in other words, half of it not in MANY."""


def keys(consul: FakeConsul) -> list[str]:
    return sorted(key.removeprefix(PREFIX) for key in consul.entries)


def with_old() -> FakeConsul:
    consul = FakeConsul()
    applied(consul, OLD)
    consul.writes.clear()
    return consul


# Large changes.


def test_a_change_that_fits_is_not_staged() -> None:
    consul = FakeConsul()

    applied(consul, dict(list(MANY.items())[: MAX_OPERATIONS - 1]))

    assert len(consul.writes) == 1


def test_a_large_change_ends_with_plain_documents_and_nothing_else() -> None:
    consul = with_old()

    outcome = applied(consul, MANY, is_complete=True, may_prune=True)

    assert outcome.is_settled
    assert held(consul) == MANY
    assert keys(consul) == sorted(["-revision", *(f"/{name}" for name in MANY)])
    assert snapshot(consul).revision.number == outcome.revision == 2


def test_large_documents_are_staged_where_one_transaction_is_too_small() -> None:
    consul = FakeConsul()
    texts = {name: numbered(number) + "#" * 200_000 for number, name in enumerate(["a", "b", "c"])}

    applied(consul, texts)

    assert len(consul.writes) > 1
    assert held(consul) == texts


@pytest.mark.parametrize("loses_the_answer", [False, True])
def test_readers_see_old_or_new_wherever_the_writer_is_killed(*, loses_the_answer: bool) -> None:
    """The whole change is tried once for each transaction in it, and killed there."""
    undisturbed = with_old()
    applied(undisturbed, MANY, is_complete=True, may_prune=True)
    steps = len(undisturbed.writes)
    seen: list[bool] = []
    for step in range(steps):
        consul = with_old()
        consul.writes_until_death, consul.dies_after_write = step, loses_the_answer

        with pytest.raises(KilledError):
            applied(consul, MANY, is_complete=True, may_prune=True)

        assert held(consul) in (OLD, MANY)
        seen.append(held(consul) == MANY)
        consul.writes_until_death = None
        applied(consul, {"new": numbered(400)})
        assert held(consul) == {**(MANY if seen[-1] else OLD), "new": numbered(400)}
        assert [key for key in keys(consul) if key.startswith("-staged")] == []
    assert steps > 9
    assert seen == sorted(seen), "what was there once does not go away"
    assert {False, True} == set(seen)


def test_a_small_change_is_there_or_not_wherever_the_writer_is_killed() -> None:
    for loses_the_answer in (False, True):
        consul = with_old()
        consul.writes_until_death, consul.dies_after_write = 0, loses_the_answer

        with pytest.raises(KilledError):
            applied(consul, {"a": numbered(1), "b": numbered(3)})

        new = {"a": numbered(1), "b": numbered(3)} if loses_the_answer else {}
        assert held(consul) == OLD | new


def test_a_change_on_top_of_one_that_is_not_moved_in_yet_moves_it_in() -> None:
    consul = with_old()
    consul.writes_until_death = 5
    with pytest.raises(KilledError):
        applied(consul, MANY, is_complete=True, may_prune=True)
    consul.writes_until_death = None
    assert snapshot(consul).pending

    deleted(consul, "s0")

    assert held(consul) == {name: text for name, text in MANY.items() if name != "s0"}
    assert not snapshot(consul).pending


def test_a_reader_changes_nothing_even_if_something_is_to_be_moved_in() -> None:
    consul = with_old()
    consul.writes_until_death = 5
    with pytest.raises(KilledError):
        applied(consul, MANY, is_complete=True, may_prune=True)
    consul.writes_until_death = None
    consul.writes.clear()

    outcome = applied(consul, MANY, is_complete=True, may_prune=True)

    assert not outcome.has_changed
    assert consul.writes == []


def test_whoever_is_too_late_to_move_documents_in_moves_none() -> None:
    consul = with_old()
    consul.writes_until_death = 5
    with pytest.raises(KilledError):
        applied(consul, MANY, is_complete=True, may_prune=True)
    consul.writes_until_death = None
    late = snapshot(consul)
    deleted(consul, "s0")
    applied(consul, {"s1": numbered(400)})
    now, writes = held(consul), len(consul.writes)

    with pytest.raises(StoreConflictError):
        settle(consul, STORE.keys, late)

    assert held(consul) == now
    assert len(consul.writes) == writes + 1, "the first one was refused"


# Two at once.


def test_a_change_beside_another_is_put_on_top_of_it() -> None:
    consul = FakeConsul()
    consul.before_write = lambda: applied(consul, {"app": APP})

    outcome = applied(consul, {"front": FRONT})

    assert outcome.has_changed
    assert outcome.judgement.diagnostics == (), "it was judged again, with app there"
    assert held(consul) == {"app": APP, "front": FRONT}
    assert outcome.revision == 2


def test_a_change_that_is_wrong_on_top_of_another_is_refused() -> None:
    consul = FakeConsul()
    consul.before_write = lambda: applied(consul, {"one": numbered(1)})

    outcome = applied(consul, {"other": numbered(1).replace("host1", "host2")})

    assert [finding.code for finding in outcome.judgement.diagnostics] == ["MC319"]
    assert held(consul) == {"one": numbered(1)}


def test_two_changes_of_one_document_do_not_overwrite_each_other_silently() -> None:
    consul = FakeConsul()
    applied(consul, {"app": APP})
    other = APP.replace("myapp1", "myapp3")
    consul.before_write = lambda: applied(consul, {"app": other})

    with pytest.raises(StoreConflictError, match='"app" was changed by somebody else'):
        applied(consul, {"app": APP_WITHOUT_MYAPP2})

    assert held(consul) == {"app": other}


def test_two_equal_changes_at_once_are_one() -> None:
    consul = FakeConsul()
    consul.before_write = lambda: applied(consul, {"app": APP})

    outcome = applied(consul, {"app": APP})

    assert not outcome.has_changed
    assert outcome.revision == 1


def test_an_import_does_not_delete_what_somebody_adds_at_the_same_time() -> None:
    consul = FakeConsul()
    applied(consul, {"app": APP})
    consul.before_write = lambda: applied(consul, {"new": numbered(1)})

    with pytest.raises(StoreConflictError, match='"new" was changed'):
        applied(consul, {"app": APP_WITHOUT_MYAPP2}, is_complete=True, may_prune=True)

    assert held(consul) == {"app": APP, "new": numbered(1)}


def test_a_hand_that_goes_past_the_revision_is_noticed() -> None:
    consul = FakeConsul()
    applied(consul, {"app": APP})
    by_hand = APP.replace("myapp1", "myapp3")
    consul.before_write = lambda: consul.put(f"{PREFIX}/app", by_hand.encode())

    with pytest.raises(StoreConflictError, match='"app" was changed by somebody else'):
        applied(consul, {"app": APP_WITHOUT_MYAPP2})

    assert held(consul) == {"app": by_hand}


def test_two_large_changes_at_once_are_both_there() -> None:
    consul = FakeConsul()
    one = {f"a{number}": numbered(number) for number in range(100)}
    two = {f"b{number}": numbered(number + 100) for number in range(100)}
    consul.before_write = lambda: applied(consul, two)

    applied(consul, one)

    assert held(consul) == one | two
    assert [key for key in keys(consul) if key.startswith("-staged")] == []


def test_it_ends_where_others_never_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshc.store.apply.time.sleep", lambda _seconds: None)
    consul = FakeConsul()

    def interfere() -> None:
        consul.put(f"{PREFIX}-revision", b'{"format": 1, "revision": 1, "documents": 0}')
        consul.before_write = interfere

    consul.before_write = interfere

    with pytest.raises(StoreConflictError, match="20 times in a row; nothing was written"):
        applied(consul, {"app": APP})

    assert held(consul) == {}


# A Consul that fails.


class _Failing(FakeConsul):
    """Answers each transaction from the n-th on with an error."""

    error: ConsulError | TxnResult
    good: int = 0

    def txn(self, operations: Sequence[KvOperation]) -> TxnResult:
        if len(self.writes) < self.good:
            return super().txn(operations)
        if isinstance(self.error, TxnResult):
            return self.error
        raise self.error


def failing(error: ConsulError | TxnResult, *, after: int = 0) -> _Failing:
    consul = _Failing()
    consul.error, consul.good = error, after
    return consul


def test_a_lost_connection_is_an_error_that_says_what_is_known() -> None:
    consul = failing(ConsulUnreachableError("the connection was reset"))

    with pytest.raises(StoreError, match="whether the change was stored is not known") as raised:
        applied(consul, {"app": APP})

    assert raised.value.hint is not None
    assert "run the same command again" in raised.value.hint


def test_a_token_that_may_not_write_is_an_error() -> None:
    denied = TxnResult(ok=False, errors=(TxnFailure(operation=0, reason="Permission denied"),))

    with pytest.raises(ConsulDeniedError, match="does not let this token change the store"):
        applied(failing(denied), {"app": APP})


def test_a_transaction_that_fails_for_another_reason_is_an_error() -> None:
    other = TxnResult(ok=False, errors=(TxnFailure(operation=0, reason="disk quota"),))

    with pytest.raises(ConsulError, match="did not do a transaction: disk quota"):
        applied(failing(other), {"app": APP})


def test_a_change_that_counts_is_a_success_though_it_could_not_be_moved_in() -> None:
    consul = failing(ConsulUnreachableError("the connection was reset"), after=4)

    outcome = applied(consul, MANY)

    assert outcome.has_changed
    assert not outcome.is_settled
    assert held(consul) == MANY
