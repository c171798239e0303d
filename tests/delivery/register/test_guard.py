"""How many hosts may lose what they have registered."""

from __future__ import annotations

import pytest

from meshc.delivery.register.guard import refusal


@pytest.mark.parametrize(
    ("losing", "registered", "share"),
    [(0, 0, 0.3), (1, 1, 0.3), (1, 3, 0.3), (1, 3, 0.0), (3, 10, 0.3), (3000, 10_000, 0.3)],
)
def test_some_may(losing: int, registered: int, share: float) -> None:
    names = [f"n{number}" for number in range(losing)]

    assert refusal(names, registered=registered, share=share) is None


@pytest.mark.parametrize(
    ("losing", "registered", "share"),
    [(2, 2, 0.3), (2, 3, 0.3), (2, 10, 0.0), (4, 10, 0.3), (3001, 10_000, 0.3)],
)
def test_more_may_not(losing: int, registered: int, share: float) -> None:
    names = [f"n{number}" for number in range(losing)]

    assert refusal(names, registered=registered, share=share) is not None


def test_the_reason_names_some_hosts_and_the_limit() -> None:
    names = {"app4", "app2", "app3", "app1"}

    assert refusal(names, registered=10, share=0.3) == (
        "4 of 10 hosts would lose what they have registered (app1, app2, app3, …), "
        "and 3 may at once"
    )
