"""The short form of the campaign "outages", and proof that it notices when a setting is missing."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.campaigns.outages import bars, mutants
from tests.campaigns.outages.events import EVENTS
from tests.campaigns.outages.fleet import OURS, SERVICES, Fleet
from tests.campaigns.outages.network import missing_for_network, network
from tests.campaigns.outages.play import Size, play
from tests.delivery.live import envoy_or_skip

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


pytestmark = pytest.mark.envoy

_HOSTS = 5
_OUT_WITHIN_S = 8.0
"""More than the campaign allows: here other tests run beside it."""
_LASTS_S = {True: 10.0, False: 4.0}
"""For events after which a host must be out, and for others."""


@contextmanager
def _running(folder: Path, **settings: Any) -> Iterator[Fleet]:
    envoy_or_skip()
    if missing := missing_for_network():
        pytest.skip(missing)
    with network(_HOSTS) as found:
        fleet = Fleet(folder, found, has_others=False, **settings)
        try:
            fleet.start()
            yield fleet
        finally:
            fleet.close()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with _running(tmp_path_factory.mktemp("fleet")) as found:
        yield found


@pytest.fixture(scope="module")
def mutable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet of which the caller can be changed."""
    folder = tmp_path_factory.mktemp("mutable")
    with _running(folder, has_agent=False) as found:
        yield found


def _size(event: str, clients: int, kinds: Sequence[str] = tuple(SERVICES)) -> Size:
    return Size(
        clients=clients,
        is_kept=True,
        before_s=1.5,
        lasts_s=_LASTS_S[EVENTS[event].must_be_out],
        after_s=2.0,
        kinds=tuple(kinds),
        columns=(OURS,),
    )


@pytest.mark.parametrize(
    ("event", "clients"),
    [
        ("application-killed", 40),
        ("envoy-killed", 4),
        ("envoy-stopped", 4),
        ("envoy-hangs", 4),
        ("zone-gone", 40),
    ],
)
def test_no_request_fails_needlessly(
    fleet: Fleet, tmp_path: Path, event: str, clients: int
) -> None:
    run = play(fleet, EVENTS[event], _size(event, clients), tmp_path, has_deliveries=True)

    assert bars.of_run(run, out_within_s=_OUT_WITHIN_S) == []


_ZONE_GONE = ("http get", "http post", "http2 get", "http2 post", "tcp")


@pytest.fixture(scope="module")
def zone_gone(mutable: Fleet, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is missed with a change for each service, while two of five hosts are unplugged."""
    edit = mutants.all_of(
        mutants.budget_back("web"),
        # Two hosts that are gone are both tried only as long as nobody leaves them alone.
        mutants.one_attempt("two"),
        mutants.outlier_off("two"),
        mutants.outlier_off("db"),
    )
    run = play(
        mutable,
        EVENTS["zone-gone"],
        replace(_size("zone-gone", 40, _ZONE_GONE), is_kept=False),
        tmp_path_factory.mktemp("zone-gone"),
        has_deliveries=False,
        edit=edit,
    )
    return bars.of_run(run)


@pytest.mark.parametrize(
    ("setting", "missed"),
    [
        ("no budget for what reached no application", "http get: "),
        ("no budget for what reached no application", "http post: "),
        ("tries on several hosts", "http2 "),
        ("outlier detection", "db: the host still got requests"),
    ],
)
def test_a_zone_that_is_gone_shows_that_a_setting_is_missing(
    zone_gone: list[str], setting: str, missed: str
) -> None:
    assert any(f": {missed}" in one for one in zone_gone), (setting, zone_gone)


def test_an_application_that_is_down_shows_that_its_mark_is_missing(
    mutable: Fleet, tmp_path: Path
) -> None:
    event = "application-killed"
    size = _size(event, 4, ["http get", "http post"])

    run = play(
        mutable,
        EVENTS[event],
        size,
        tmp_path,
        has_deliveries=False,
        edit=mutants.mark_off("web"),
    )

    assert any("http post: " in one for one in bars.of_run(run)), bars.of_run(run)


def test_an_envoy_that_hangs_shows_that_pings_are_missing(mutable: Fleet, tmp_path: Path) -> None:
    event = "envoy-hangs"
    size = _size(event, 4, ["http2 get"])

    run = play(
        mutable,
        EVENTS[event],
        size,
        tmp_path,
        has_deliveries=False,
        edit=mutants.pings_off("two"),
    )

    assert any("http2 get: somebody waited" in one for one in bars.of_run(run)), bars.of_run(run)
