"""Writes the spec reference from the schema: `python -m meshc.spec.reference`."""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from meshc.spec.fields import Duration
from meshc.spec.policies import POLICY_SPECS, PoliciesSpec
from meshc.spec.schema import (
    PROTOCOL_SPECS,
    DependencySpec,
    HealthSpec,
    HostSpec,
    MeshSpec,
    ServiceSpec,
)
from meshc.spec.sizes import Size
from meshc.spec.slices import Side

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

PAGE = Path("docs/specs.md")

_INTRODUCTION = """# Spec reference

Generated from the schema by `make docs`.

A spec folder holds one document for each service, in YAML or JSON, in any sub-folder, and \
optionally `mesh.yaml` at its top for what belongs to no single service.
Names of services, hosts and meshes are 1 to 64 letters, digits, `-` and `_`, and do not begin \
with `-`; the name of a service is its file's without the ending, unless `name` says otherwise.
Names that differ only in upper and lower case are refused.
Durations are a number with a unit: `250ms`, `1.5s`, `5m`, `1h`; sizes likewise: `64KiB`, `16MiB`.
YAML means YAML 1.2: `yes`, `on` and `12:30` are texts.
Anchors, merge keys, tags and repeated keys are refused.
Unknown keys are errors.
Instead of a folder the documents may be in Consul: [the store](consul.md#the-store).
Editors check documents against [docs/schema](schema), which the first line of the sample specs \
points to.
"""


_HEALTH = """A dependency with `health: {from: consul}` uses the hosts whose checks in Consul all \
pass, and never none of them; the agent of each calling host sees to that while the mesh runs.
The build gives all hosts, and what it gives is used wherever Consul has said nothing so far.
With `from: consul` instead, the service needs no document: its hosts are the passing ones that \
Consul knows under `name`, with all of the `tags`.
[Endpoints by health](consul.md#endpoints-by-health) says what that needs and what can go wrong.

```yaml
dependentServices:
- {name: app, egressPort: 9001, health: {from: consul, panicThreshold: 50}}
- {name: legacy-db, egressPort: 9005, from: consul, protocol: TCP, tags: [primary]}
```
"""


_POLICIES = """Policies stand in a service (how others call it), in a dependency (how this \
caller calls it) and under `defaults` of `mesh.yaml`.
They are merged field by field, in rising order: meshc's default, the protocol's, `defaults` of \
the mesh, the called service, the caller's dependency.
`meshc explain NODE RESOURCE` shows who had the last word on each field.
`inbound` is about the called hosts themselves, so it stands in a service or under `defaults`; in \
a dependency it is an error.

With nothing set, a request is tried on another host

- whatever its method, where no application has seen it: the host is gone or refuses, or its Envoy \
cannot reach the application and says so in a header, `x-meshc-failure`, which no client sees;
- if it may be repeated safely (`retries.onIdempotent`), also where the connection ended before \
an answer began.

Answers of the application, its own errors among them, are passed on as they are.
A request that makes an application crash is therefore sent to several hosts if it is a GET; \
`retries: {onIdempotent: []}` prevents that.
A host that fails twice in a row gets nothing for a while (`outlierDetection`).
[Outages](outages.md) shows what that comes to, as measured.

Envoys speak HTTP/2 with each other for HTTP, HTTP2 and GRPC, and notice within some seconds \
when one of them falls silent.
Applications are spoken to as `protocol` says, and are never sent pings.
"""


def page() -> str:
    """Return the reference as a Markdown page."""
    parts = [_INTRODUCTION, "## A service\n", _table(ServiceSpec), _policy_keys(*Side)]
    parts += ["### Protocols\n", _protocols()]
    parts += ["### Hosts\n", _table(HostSpec)]
    parts += ["### Dependencies\n", _table(DependencySpec), _policy_keys(Side.CALLER)]
    parts += ["### Health\n", _HEALTH, _table(HealthSpec)]
    parts += ["## Policies\n", _policies()]
    parts += ["## mesh.yaml\n", _table(MeshSpec), _nested(MeshSpec, "")]
    return "\n".join(parts).rstrip() + "\n"


def _protocols() -> str:
    lines = ["| `protocol` | what it is |", "|---|---|"]
    lines += [f"| `{name}` | {spec.summary} |" for name, spec in PROTOCOL_SPECS.items()]
    return "\n".join(lines) + "\n"


def _policies() -> str:
    parts = [
        _POLICIES,
    ]
    for policy in POLICY_SPECS.values():
        parts += [f"### {policy.key}\n", f"{policy.summary[0].upper()}{policy.summary[1:]}.\n"]
        parts += [_table(policy.model), _nested(policy.model, policy.key + ".")]
    return "\n".join(parts)


def _nested(model: type[BaseModel], prefix: str) -> str:
    parts = []
    for name, info in model.model_fields.items():
        inner = _model_in(info.annotation)
        if inner is not None and inner is not PoliciesSpec:
            key = info.alias or name
            parts += [f"### {prefix}{key}\n", _table(inner), _nested(inner, f"{prefix}{key}.")]
    return "\n".join(part for part in parts if part)


def _policy_keys(*sides: Side) -> str:
    keys = ", ".join(f"`{key}`" for key, policy in POLICY_SPECS.items() if policy.side in sides)
    return f"Besides these, [policies](#policies): {keys}.\n"


def _table(model: type[BaseModel]) -> str:
    hidden = set(PoliciesSpec.model_fields) if issubclass(model, PoliciesSpec) else set()
    lines = ["| key | value | meaning |", "|---|---|---|"]
    for name, info in model.model_fields.items():
        if name not in hidden:
            required = " (required)" if info.is_required() else ""
            lines.append(f"| `{info.alias or name}`{required} | {_type(info)} | {_meaning(info)} |")
    return "\n".join(lines) + "\n"


def _meaning(info: FieldInfo) -> str:
    text = info.description or ""
    default = info.default
    if info.is_required() or default is None or isinstance(default, BaseModel) or "Default" in text:
        return text
    if default in ((), {}):
        return text
    shown = str(default).lower() if isinstance(default, bool) else str(default)
    return f"{text} Default: `{shown}`."


def _type(info: FieldInfo) -> str:
    return _type_of(info.annotation)


def _type_of(annotation: Any) -> str:  # noqa: PLR0911, a table of cases
    origin = get_origin(annotation)
    if origin is typing.Annotated:
        return _type_of(get_args(annotation)[0])
    if origin is Literal:
        shown = [
            str(value).lower() if value is True else str(value) for value in get_args(annotation)
        ]
        return ", ".join(f"`{value}`" for value in shown)
    if origin in (types.UnionType, typing.Union):
        kinds = [_type_of(part) for part in get_args(annotation) if part is not type(None)]
        return " or ".join(dict.fromkeys(kinds))
    if origin is tuple:
        return f"list of {_type_of(get_args(annotation)[0])}"
    if origin is dict:
        return "names with texts"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    return {
        int: "number",
        float: "number",
        str: "text",
        bool: "`true`, `false`",
        Duration: "duration",
        Size: "size",
    }[annotation]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    for argument in get_args(annotation):
        if (found := _model_in(argument)) is not None:
            return found
    return None


def main() -> None:
    """Write docs/specs.md of the checkout that one stands in."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
