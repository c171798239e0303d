"""What the endpoints of a bundle are at this moment, and what is told about them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meshc.artifact.health import parse_rule
from meshc.artifact.layout import BOOTSTRAP, is_health_path
from meshc.artifact.manifest import file_digest
from meshc.consul.address import is_consul_url, parse_consul_url
from meshc.delivery.agent.admin import AdminAddress
from meshc.delivery.agent.health.assignment import Address
from meshc.delivery.agent.health.choice import choose, is_ours
from meshc.delivery.agent.health.follower import Follower, Known
from meshc.delivery.agent.health.instances import Limits, ip_text
from meshc.delivery.agent.sources.consul import consul_settings
from meshc.delivery.errors import DeliveryError
from meshc.diagnostics.errors import BundleError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from meshc.artifact.health import HealthRule
    from meshc.artifact.store import NodeBundle
    from meshc.delivery.agent.health.choice import Choice
    from meshc.delivery.agent.settings import AgentSettings

Described = dict[str, Any]

_FIRST_ANSWER_S = 1.0
"""For so long a dependency that is new to this host waits for Consul's first word."""


def _described(choice: Choice, problem: str) -> Described:
    """Say of a dependency what status and metrics show."""
    return {
        "service": choice.rule.service,
        "consumer": choice.rule.consumer,
        "only_in_consul": choice.rule.is_only_in_consul,
        "known": choice.known,
        "passing": choice.passing,
        "used": choice.used,
        "panic": choice.is_panic,
        "left_out": list(choice.left_out),
        "refused": list(choice.refused),
        "problem": problem,
    }


class Narrower:
    """Puts endpoints by health in the place of compiled ones.

    ``notify`` is told when endpoints may have changed; without it nothing is followed, and
    whoever asks waits for Consul's answer.
    """

    def __init__(self, settings: AgentSettings, notify: Callable[[float], None] | None) -> None:
        self._follower = _follower(settings, notify)
        self._may_loop = settings.allow_loopback
        self._chosen: dict[str, Choice] = {}
        self._shown: dict[str, Choice] = {}
        self._delivered: dict[str, str] = {}
        self._refused: dict[str, set[str]] = {}

    def narrowed(self, bundle: NodeBundle, before: Mapping[str, bytes]) -> NodeBundle:
        """Return a bundle with the endpoints that are right now.

        Args:
            bundle: A build's files.
            before: The files that lie in the target.

        Raises:
            DeliveryError: a rule is damaged, or its endpoints are not there.
        """
        rules = rules_of(bundle.files)
        self._await_news(rules, before)
        limits = self._limits(bundle.files)
        choices = {
            rule.endpoints_path: self._choose(rule, bundle.files, before, limits) for rule in rules
        }
        self._chosen = choices
        chosen = {path: choice.data for path, choice in choices.items()}
        return replace(bundle, files={**bundle.files, **chosen})

    def _await_news(self, rules: tuple[HealthRule, ...], before: Mapping[str, bytes]) -> None:
        new = {rule.service for rule in rules if rule.endpoints_path not in before}
        self._follower.await_first(new, _FIRST_ANSWER_S)

    def _choose(
        self,
        rule: HealthRule,
        files: Mapping[str, bytes],
        before: Mapping[str, bytes],
        limits: Limits,
    ) -> Choice:
        path = rule.endpoints_path
        if path not in files:
            raise DeliveryError(f'the bundle has "{rule.path}" and not "{path}"')
        instances = self._follower.know(rule.service).instances
        found = choose(rule, files[path], instances, before.get(path), limits)
        if file_digest(found.data) in self._refused.get(path, ()):
            return choose(rule, files[path], None, before.get(path), limits)
        return found

    def show(self) -> None:
        """Show what was chosen last: it is what runs."""
        self._shown = self._chosen

    def delivered(self) -> None:
        """Remember that what was chosen last lies in the target; follow nothing else any more."""
        self.show()
        self._delivered = {path: file_digest(one.data) for path, one in self._chosen.items()}
        self._follower.keep({choice.rule.service for choice in self._chosen.values()})

    def refuse(self, path: str, build: Mapping[str, bytes]) -> bool:
        """Take note that Envoy refuses endpoints that were chosen.

        Returns:
            Whether they were: what is compiled is the build's own mistake.
        """
        choice = self._chosen.get(path)
        if choice is None or choice.data == build.get(path):
            return False
        self._refused.setdefault(path, set()).add(file_digest(choice.data))
        return True

    def chosen_in(self, files: Mapping[str, bytes], build: Mapping[str, bytes]) -> set[str]:
        """Return the paths at which a choice lies in the target, and not something else.

        Args:
            files: What lies in the target.
            build: What was compiled.
        """
        limits = self._limits(build)
        found = set()
        for rule in rules_of(build):
            path = rule.endpoints_path
            if path not in files or path not in build:
                continue
            known = self._delivered.get(path)
            # Of an earlier process it is not known what it delivered, only what it can have been.
            if (
                is_ours(rule, files[path], build[path], limits)
                if known is None
                else known == file_digest(files[path])
            ):
                found.add(path)
        return found

    def described(self) -> list[Described]:
        """Say what is used of each dependency, and why."""
        return [
            _described(choice, self._follower.problem_of(choice.rule.service))
            for _, choice in sorted(self._shown.items())
        ]

    def close(self) -> None:
        """End everything that waits for Consul."""
        self._follower.close()

    def _limits(self, files: Mapping[str, bytes]) -> Limits:
        return Limits(admin=_admin_of(files.get(BOOTSTRAP, b"")), may_loop=self._may_loop)


class _Nobody:
    """Stands for a Consul that cannot be asked, because nobody has said rightly where it is."""

    def __init__(self, problem: str) -> None:
        self._problem = problem

    def know(self, _service: str) -> Known:
        return Known(problem=self._problem)

    def problem_of(self, _service: str) -> str:
        return self._problem

    def await_first(self, services: Collection[str], limit_s: float) -> None:
        """Wait for nothing."""

    def keep(self, services: Collection[str]) -> None:
        """Follow nothing."""

    def close(self) -> None:
        """Nothing is open."""


def _follower(
    settings: AgentSettings, notify: Callable[[float], None] | None
) -> Follower | _Nobody:
    """Return who asks Consul; wrong settings for it are no reason to deliver nothing."""
    try:
        address = settings.consul_address
        if not address and is_consul_url(settings.source):
            address = parse_consul_url(settings.source).address
        return Follower(consul_settings(settings, address), notify)
    except SettingsError as error:
        return _Nobody(error.message)


def rules_of(files: Mapping[str, bytes]) -> tuple[HealthRule, ...]:
    """Read the rules among a node's files; raises DeliveryError where one is damaged."""
    try:
        return tuple(
            parse_rule(path, files[path]) for path in sorted(files) if is_health_path(path)
        )
    except BundleError as error:
        raise DeliveryError(
            error.message, hint="use one version of meshc for building and delivering"
        ) from error


def _admin_of(bootstrap: bytes) -> Address | None:
    try:
        found = AdminAddress.from_bootstrap(json.loads(bootstrap))
    except (DeliveryError, ValueError, RecursionError):
        return None
    host = None if found.is_pipe else ip_text(found.host)
    return None if host is None else Address(host, found.port)
