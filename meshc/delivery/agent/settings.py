"""What the agent is told: a file, above it the environment (MESHC_AGENT_*), above that flags."""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshc.delivery.agent.admin import AdminAddress
from meshc.diagnostics.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "MESHC_AGENT_"
_KINDS = {"bool": "true or false", "int": "a whole number", "float": "a number"}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
_LAST_PORT = 65535
_POSITIVE = (
    *("poll", "probe", "validation_limit", "source_limit", "max_growth"),
    *("max_file", "max_manifest", "consul_timeout"),
)
_NOT_NEGATIVE = ("quiet", "longest_quiet", "unconfirmed_wait")
_MAX_FILE = 16 * 1024 * 1024
_MAX_MANIFEST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Everything that an operator may decide; times are in seconds.

    ``state`` may lie anywhere that lasts; by default it is a hidden folder of the target, so
    that one writable path is enough for a hardened service.
    """

    node: str
    source: str
    target: Path
    state: Path
    admin: str = ""
    """``unix:/path`` or ``http://127.0.0.1:PORT``; empty: what the bootstrap says."""
    envoy: str = "auto"
    """Program for the local validation: ``auto``, ``none`` or a path."""
    require_validation: bool = False
    validation_limit: float = 10.0
    unconfirmed: bool = False
    unconfirmed_wait: float = 2.0
    """Between two steps when nobody can be asked."""
    max_shrink: float = 0.3
    max_growth: float = 10.0
    """Share of listeners, clusters or endpoints by which a node may shrink, or grow, at once."""
    allow_shrink: bool = False
    allow_empty: bool = False
    poll: float = 5.0
    quiet: float = 0.05
    longest_quiet: float = 2.0
    probe: float = 5.0
    keep: int = 3
    metrics: str = ""
    """``unix:/path`` or a loopback ``http://127.0.0.1:PORT``; empty: a socket in ``state``."""
    source_limit: float = 30.0
    max_file: int = _MAX_FILE
    max_manifest: int = _MAX_MANIFEST
    ca_file: str = ""
    allow_loopback: bool = False
    """Whether Consul may send callers of services that only it knows to loopback addresses."""
    consul_address: str = ""
    consul_token_file: str = ""
    """There is no setting for the token itself: settings are shown, and may be read by anybody."""
    consul_ca_file: str = ""
    consul_cert_file: str = ""
    consul_key_file: str = ""
    consul_server_name: str = ""
    consul_datacenter: str = ""
    consul_timeout: float = 10.0
    log: str = "text"

    def __post_init__(self) -> None:
        self._check()

    def _check(self) -> None:
        if not self.node:
            raise SettingsError("no node is named", hint="say --node NAME")
        if self.log not in {"text", "json"}:
            raise SettingsError(f'log must be "text" or "json", not "{self.log}"')
        if self.keep < 1:
            raise SettingsError("keep must be at least 1: the last good generation is kept")
        if not 0 <= self.max_shrink <= 1:
            raise SettingsError("max-shrink is a share between 0 and 1")
        for name in (*_POSITIVE, *_NOT_NEGATIVE):
            value = getattr(self, name)
            if not (0 < value < math.inf or (value == 0 and name in _NOT_NEGATIVE)):
                least = "0 or more" if name in _NOT_NEGATIVE else "more than 0"
                raise SettingsError(f"{name.replace('_', '-')} must be {least}")
        if self.admin:
            admin_address(self.admin)
        if self.metrics not in {"", "none"}:
            metrics_address(self.metrics)


def places(
    flags: Mapping[str, Any], *, file: Path | None, environment: Mapping[str, str]
) -> tuple[Path, Path]:
    """Return target and state folder, for commands that need nothing else.

    Raises:
        SettingsError: the target is not named.
    """
    merged = _merged(flags, file=file, environment=environment)
    if not merged.get("target"):
        raise SettingsError(
            "which agent? Its target is not named",
            hint=f"say --target DIR, set {PREFIX}TARGET, or write it into the settings file",
        )
    return merged["target"], merged["state"]


def admin_address(text: str) -> AdminAddress:
    """Read ``unix:/path`` or ``http://host:port``."""
    if text.startswith("unix:/"):
        return AdminAddress(text.removeprefix("unix:"))
    host, port = _host_port(text)
    return AdminAddress(host, port)


def metrics_address(text: str) -> AdminAddress:
    """Read where metrics are served: a Unix socket, or a loopback address and no other."""
    address = admin_address(text)
    if not address.is_pipe and not (address.host == "::1" or address.host.startswith("127.")):
        raise SettingsError(
            f'metrics are not served at "{text}": that is no loopback address',
            hint="say unix:/path or http://127.0.0.1:PORT; a proxy can add access control",
        )
    return address


def _host_port(text: str) -> tuple[str, int]:
    rest = text.removeprefix("http://").rstrip("/")
    host, _, port = rest.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    is_port = port.isascii() and port.isdecimal() and 0 < int(port[:6]) <= _LAST_PORT
    if not text.startswith("http://") or not host or not is_port or "/" in rest:
        raise SettingsError(f'"{text}" is neither unix:/path nor http://ADDRESS:PORT')
    return host, int(port)


def load_settings(
    flags: Mapping[str, Any], *, file: Path | None = None, environment: Mapping[str, str]
) -> AgentSettings:
    """Put the settings together; a flag that was not given is None.

    Raises:
        SettingsError: something is unknown, of the wrong kind, or missing.
    """
    merged = _merged(flags, file=file, environment=environment)
    for one in fields(AgentSettings):
        if one.default is MISSING and not merged.get(one.name):
            raise SettingsError(
                f"the agent is not told its {one.name}",
                hint=f"say --{one.name}, set {PREFIX}{one.name.upper()}, or write it into "
                "the settings file",
            )
    return AgentSettings(**merged)


def _merged(
    flags: Mapping[str, Any], *, file: Path | None, environment: Mapping[str, str]
) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    if file is not None:
        merged |= _from_file(file)
    merged |= _from_environment(environment)
    merged |= {name: value for name, value in flags.items() if value is not None}
    if merged.get("target"):
        target = Path(merged["target"]).absolute()
        merged["target"] = target
        merged["state"] = Path(merged.get("state") or target / ".agent").absolute()
    return merged


def _from_file(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SettingsError(f'cannot read settings "{path}": {reason}') from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f'"{path}" is not TOML: {error}') from error
    table = table.get("agent", table)
    if not isinstance(table, dict):
        raise SettingsError(f'[agent] in "{path}" is not a table')
    return {_known(key, f'"{path}"'): _typed(key, value) for key, value in table.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for name, value in environment.items():
        if name.startswith(PREFIX):
            key = name.removeprefix(PREFIX).lower()
            if key != "config":
                known = _known(key, "the environment")
                found[known] = _typed(key, value)
    return found


def _known(key: str, where: str) -> str:
    name = key.replace("-", "_")
    names = [one.name for one in fields(AgentSettings)]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f'did you mean "{close[0]}"?' if close else "known: " + ", ".join(names)
        raise SettingsError(f'unknown agent setting "{key}" in {where}', hint=hint)
    return name


def _typed(key: str, value: object) -> Any:
    """Bring a value from a file or from the environment into the type of its setting."""
    name = key.replace("-", "_")
    kind = str(next(one.type for one in fields(AgentSettings) if one.name == name))
    text = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        match kind:
            case "bool":
                if text.lower() not in (*_TRUE, *_FALSE):
                    raise ValueError(text)  # noqa: TRY301, one kind of mistake for the user
                return text.lower() in _TRUE
            case "int":
                return int(text)
            case "float":
                return float(text)
            case _:
                if not isinstance(value, str | os.PathLike):
                    raise ValueError(text)  # noqa: TRY004, TRY301, one kind of mistake for the user
                return Path(value) if kind == "Path" else value
    except ValueError as error:
        wanted = _KINDS.get(kind, "a text")
        raise SettingsError(f'setting "{key}" must be {wanted}, not "{text}"') from error
