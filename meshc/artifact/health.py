"""By what rule a host chooses among the endpoints of a dependency, as Consul calls them passing.

Such a file lies beside the endpoints that it is about and is delivered with them, so that rule
and endpoints are always of one build.  No Envoy reads it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from meshc.artifact.layout import endpoints_path, health_path
from meshc.diagnostics.errors import BundleError
from meshc.diagnostics.names import is_name

_FORMAT = 1
_MOST_TAGS = 64
_PERCENT = range(101)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRule:
    """The rule for one caller's endpoints of one service.

    Attributes:
        mesh: Instances that Consul knows of another mesh are none of this service's.
        service: Name of the service, in the mesh and in Consul.
        consumer: The service that calls it.
        panic_threshold: Where fewer percent pass, all are used.
        tags: What each instance must have; for a service that only Consul knows.
        is_only_in_consul: The compiled file has no endpoints; all of them come from Consul.
    """

    mesh: str
    service: str
    consumer: str
    panic_threshold: int
    tags: tuple[str, ...] = ()
    is_only_in_consul: bool = False

    @property
    def path(self) -> str:
        """Where the rule lies, relative to `out/` and to a host's directory."""
        return health_path(self.service, self.consumer)

    @property
    def endpoints_path(self) -> str:
        """Where the endpoints lie that the rule is about."""
        return endpoints_path(self.service, self.consumer)

    def to_bytes(self) -> bytes:
        """Write what `parse_rule` reads."""
        text = json.dumps({"format": _FORMAT, **asdict(self)}, indent=2, sort_keys=True)
        return text.encode() + b"\n"


def parse_rule(path: str, data: bytes) -> HealthRule:
    """Read a rule; raises BundleError where it is damaged or lies at another's place."""
    try:
        content = json.loads(data)
        if content.pop("format") != _FORMAT:
            raise ValueError("its format is not known")  # noqa: TRY301, one kind of damage
        rule = HealthRule(**content | {"tags": tuple(content["tags"])})
        is_sound = (
            all(is_name(one) for one in (rule.mesh, rule.service, rule.consumer))
            and type(rule.panic_threshold) is int
            and rule.panic_threshold in _PERCENT
            and len(rule.tags) <= _MOST_TAGS
            and all(isinstance(tag, str) for tag in rule.tags)
            and isinstance(rule.is_only_in_consul, bool)
            and rule.path == path
        )
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise BundleError(f'"{path}" is damaged: {error}') from error
    if not is_sound:
        raise BundleError(f'"{path}" is damaged: it breaks a rule for such files')
    return rule
