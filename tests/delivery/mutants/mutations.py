"""The agent's code with one thing left out or done wrong; each is undone with the test."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, NoReturn

from meshc.delivery.agent import deliver as delivery
from meshc.delivery.agent import outset
from meshc.delivery.agent.admin import EnvoyAdmin
from meshc.delivery.agent.configuration import CDS_SUBSCRIPTION, LDS_SUBSCRIPTION
from meshc.delivery.agent.confirm import Outcome
from meshc.delivery.agent.steps import plan_steps

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from meshc.delivery.agent.admin import SubscriptionState
    from meshc.delivery.agent.configuration import Subscription
    from meshc.delivery.agent.steps import Put, Step
    from meshc.delivery.errors import DeliveryError

_Delivery = delivery._Delivery
_DUMPS = {CDS_SUBSCRIPTION: "Clusters", LDS_SUBSCRIPTION: "Listeners"}


def prune_at_once(patch: pytest.MonkeyPatch) -> None:
    """Drop clusters without waiting for the listeners that drain."""
    patch.setattr(_Delivery, "_await_drained", lambda _self: True)


def swap_all_together(patch: pytest.MonkeyPatch) -> None:
    """Rename one file after the other, in the right order, and wait for nothing in between."""
    acknowledge_without_asking(patch)
    skip_warming(patch)
    prune_at_once(patch)


def skip_warming(patch: pytest.MonkeyPatch) -> None:
    """Take Envoy's success for the end of it."""
    patch.setattr(_Delivery, "_await_warm", lambda _self: None)


def trust_the_dump(patch: pytest.MonkeyPatch) -> None:
    """Take the versions of clusters and listeners from the configuration dump."""
    real_versions, real_states = EnvoyAdmin.versions, EnvoyAdmin.states

    def dumped(self: EnvoyAdmin) -> dict[Subscription, str]:
        sections: list[dict[str, Any]] = json.loads(self._ask("/config_dump"))["configs"]
        return {
            name: str(section.get("version_info", ""))
            for section in sections
            for name, kind in _DUMPS.items()
            if section["@type"].endswith(f".{kind}ConfigDump")
        }

    def versions(self: EnvoyAdmin) -> dict[str, str]:
        wrong = {f"{name}version_text": version for name, version in dumped(self).items()}
        return real_versions(self) | wrong

    def states(
        self: EnvoyAdmin, subscriptions: Iterable[Subscription]
    ) -> dict[Subscription, SubscriptionState]:
        wrong = dumped(self)
        return {
            name: dataclasses.replace(state, version=wrong.get(name, state.version))
            for name, state in real_states(self, subscriptions).items()
        }

    patch.setattr(EnvoyAdmin, "versions", versions)
    patch.setattr(EnvoyAdmin, "states", states)


def leave_the_refused_file(patch: pytest.MonkeyPatch) -> None:
    """Report a refusal and undo nothing."""

    def only_report(_self: object, error: DeliveryError) -> NoReturn:
        raise error

    patch.setattr(_Delivery, "_put_back", only_report)


def never_nudge(patch: pytest.MonkeyPatch) -> None:
    """Put a file once, whether Envoy notices or not."""
    real = _Delivery._write

    def once(self: delivery._Delivery, step: Put, data: bytes) -> Outcome:
        self.patience = dataclasses.replace(self.patience, nudges=0)
        return real(self, step, data)

    patch.setattr(_Delivery, "_write", once)


def acknowledge_without_asking(patch: pytest.MonkeyPatch) -> None:
    """Say "accepted" as soon as the file is in place."""

    def only_put(self: delivery._Delivery, step: Put, data: bytes) -> Outcome:
        vars(delivery)["put_file"](
            self.directory, step.path, data
        )  # a scenario may have wrapped it
        self.files[step.path] = data
        return Outcome.ACCEPTED

    patch.setattr(_Delivery, "_write", only_put)


def listeners_before_clusters(patch: pytest.MonkeyPatch) -> None:
    """Plan the same steps with the listeners first, each of them confirmed."""

    def reordered(*args: Any, **given: Any) -> tuple[Step, ...]:
        steps = plan_steps(*args, **given)
        return tuple(sorted(steps, key=lambda step: getattr(step, "path", "") != "lds.json"))

    patch.setattr(outset, "plan_steps", reordered)
