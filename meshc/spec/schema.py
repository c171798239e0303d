"""The documents as users write them: a service, and the mesh's own `mesh.yaml`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic_core import PydanticCustomError

from meshc.protocols.grpc.spec import SPEC as GRPC
from meshc.protocols.http.spec import SPEC as HTTP
from meshc.protocols.http2.spec import SPEC as HTTP2
from meshc.protocols.tcp.spec import SPEC as TCP
from meshc.spec.fields import (
    Duration,
    HostPort,
    IpAddress,
    IpPort,
    Labels,
    Name,
    Port,
    SpecModel,
    at_least,
    quoted,
)
from meshc.spec.policies import PoliciesSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshc.spec.slices import ProtocolSpec

AppProtocol = Literal["HTTP", "HTTP2", "GRPC", "TCP"]
"""One member a protocol slice; the order is that of the documentation."""

PROTOCOL_SPECS: Mapping[str, ProtocolSpec] = {
    spec.keyword: spec for spec in (HTTP, HTTP2, GRPC, TCP)
}
DEFAULT_PANIC_THRESHOLD = 50
"""Envoy's own; one host of two may go."""

DEFAULT_XDS_DIRECTORY = "/var/lib/meshc/envoy"
DEFAULT_ACCESS_LOG_DIRECTORY = "/var/log/envoy"


class LocalitySpec(SpecModel):
    """Where a host stands; Envoy's words."""

    region: Name = Field(description="Region, for example eu-west.")
    zone: Name | None = Field(default=None, description="Zone within the region.")


class HostSpec(SpecModel):
    """One host that runs the service behind its Envoy, or one outside the mesh."""

    name: Name = Field(
        description="The host's name; the same name in several services is one host."
    )
    ingress_addr: IpPort | None = Field(
        default=None,
        alias="ingressAddr",
        description="Where this host's Envoy accepts traffic for the service.",
    )
    substance_addr: IpPort | None = Field(
        default=None, alias="substanceAddr", description="Where the application itself listens."
    )
    egress_host: IpAddress = Field(
        default="127.0.0.1",
        alias="egressHost",
        description="Where this host's Envoy listens for the application's own calls.",
    )
    external_addr: HostPort | None = Field(
        default=None,
        alias="externalAddr",
        description="Instead of the three above: address of a host outside the mesh, "
        "which has no Envoy of ours.",
    )
    admin_addr: IpPort | None = Field(
        default=None,
        alias="adminAddr",
        description="Where this host's Envoy serves its admin interface. "
        "Default: admin of mesh.yaml.",
    )
    labels: Labels = Field(default={}, description="Facts about the host.")
    locality: LocalitySpec | None = Field(default=None, description="Where the host stands.")
    weight: Annotated[StrictInt, Field(ge=0, le=128)] = Field(
        default=1,
        description="Share of traffic beside the other hosts of the service. 0: no new requests "
        "and connections; what is under way ends in peace.",
    )

    @model_validator(mode="after")
    def _inside_or_outside(self) -> HostSpec:
        given = self.model_fields_set
        if self.external_addr is None:
            missing = [
                name
                for name, value in (
                    ("ingressAddr", self.ingress_addr),
                    ("substanceAddr", self.substance_addr),
                )
                if value is None
            ]
            if missing:
                raise PydanticCustomError(
                    "MC202",
                    "host {name} has no {missing}",
                    {
                        "name": quoted(self.name),
                        "missing": " and no ".join(missing),
                        "hint": "a host of the mesh has ingressAddr (its Envoy) and substanceAddr "
                        "(its application); one outside the mesh has externalAddr alone",
                    },
                )
        elif inside := given & {"ingress_addr", "substance_addr", "egress_host", "admin_addr"}:
            raise PydanticCustomError(
                "MC209",
                "host {name} is outside the mesh and has {inside}",
                {
                    "name": quoted(self.name),
                    "inside": " and ".join(
                        sorted(type(self).model_fields[field].alias or field for field in inside)
                    ),
                    "hint": "externalAddr stands alone: there is no Envoy of ours on that host",
                },
            )
        return self


class HealthSpec(SpecModel):
    """Whose word about the hosts of a service a caller follows."""

    source: Literal["consul"] = Field(
        alias="from",
        description="Who says which hosts are well; consul: those whose checks in Consul all pass.",
    )
    panic_threshold: Annotated[StrictInt, Field(ge=0, le=100)] = Field(
        default=DEFAULT_PANIC_THRESHOLD,
        alias="panicThreshold",
        description="Where fewer percent of the hosts pass, all of them are used, as in Envoy's "
        "panic mode. With 0 that happens when none does.",
    )


Tag = Annotated[StrictStr, Field(pattern=r"^[!-~]{1,128}$")]
"""A tag of a service in Consul."""


class DependencySpec(PoliciesSpec):
    """One service that this one calls, through a port of its own Envoy."""

    name: Name = Field(description="Name of the service that is called.")
    egress_port: Port = Field(
        alias="egressPort", description="Port of the own Envoy for these calls, at egressHost."
    )
    protocol: AppProtocol | None = Field(
        default=None,
        description="What this service speaks to that one; refused if the other speaks "
        "something else. Default: not compared.",
    )
    source: Literal["consul"] | None = Field(
        default=None,
        alias="from",
        description="consul: the service is none of this mesh, and its hosts are those that "
        "Consul knows under this name; protocol must be given then.",
    )
    tags: tuple[Tag, ...] = Field(
        default=(), max_length=16, description="With from: consul: tags that each host must have."
    )
    health: HealthSpec | None = Field(
        default=None,
        description="Which hosts are used at any moment, see [Health](#health). "
        "Default: all of them; with from: consul those that pass.",
    )

    @property
    def panic_threshold(self) -> int | None:
        """Percent of hosts that must pass in Consul; None where Consul is not asked at all."""
        if self.health is not None:
            return self.health.panic_threshold
        return None if self.source is None else DEFAULT_PANIC_THRESHOLD

    @model_validator(mode="after")
    def _what_consul_needs(self) -> DependencySpec:
        if self.source is not None and self.protocol is None:
            raise PydanticCustomError(
                "MC202",
                "dependency {name} is taken from Consul and has no protocol",
                {
                    "name": quoted(self.name),
                    "key": "from",
                    "hint": "no document says what that service speaks; add for example "
                    "protocol: TCP",
                },
            )
        if self.tags and self.source is None:
            raise PydanticCustomError(
                "MC202",
                "dependency {name} has tags and no from",
                {
                    "name": quoted(self.name),
                    "key": "tags",
                    "hint": "tags choose among the hosts of a service that only Consul knows; "
                    "remove them, or add from: consul",
                },
            )
        return self


class ServiceSpec(PoliciesSpec):
    """One service: what it speaks, where it runs, what it calls."""

    schema_reference: StrictStr | None = Field(
        default=None, alias="$schema", description="For editors; not used."
    )
    name: Name | None = Field(
        default=None, description="Default: the file's name without its ending."
    )
    protocol: AppProtocol = Field(description="What the service speaks.")
    labels: Labels = Field(default={}, description="Facts about the service.")
    hosts: tuple[HostSpec, ...] = Field(default=(), description="Where the service runs.")
    dependent_services: tuple[DependencySpec, ...] = Field(
        default=(), alias="dependentServices", description="What the service calls."
    )


class AdminSpec(SpecModel):
    """Envoy's admin interface on every host."""

    host: IpAddress | Literal["ingress"] = Field(
        default="127.0.0.1",
        description='An address, or "ingress": the address at which the host accepts traffic. '
        "Whoever reaches it can stop Envoy, so leave it on loopback unless the network is trusted.",
    )
    port: Port = Field(default=9901, description="TCP port.")


def _directory(value: str) -> str:
    if not value or "\0" in value or (value.endswith("/") and value != "/"):
        raise PydanticCustomError(
            "MC204",
            "{value} is not a usable directory",
            {"value": quoted(value), "hint": "write a path without a slash at its end"},
        )
    return value


Directory = Annotated[StrictStr, Field(max_length=1_024), AfterValidator(_directory)]


class AccessLogSpec(SpecModel):
    """One access log for each listener, as JSON lines."""

    enabled: StrictBool = Field(default=True, description="false: no access logs.")
    directory: Directory = Field(
        default=DEFAULT_ACCESS_LOG_DIRECTORY,
        description="Must exist on every host and be writable for its Envoy; "
        "a relative path starts at Envoy's working directory.",
    )


class ZipkinSpec(HostPort):
    """A Zipkin collector."""

    port: Port = Field(default=9411, description="TCP port.")
    path: Annotated[StrictStr, Field(pattern=r"^/[!-~]*$", max_length=1_024)] = Field(
        default="/api/v2/spans", description="Path that takes spans as JSON."
    )


class OpenTelemetrySpec(HostPort):
    """An OpenTelemetry collector that takes OTLP over gRPC."""

    port: Port = Field(default=4317, description="TCP port.")


class TracingSpec(SpecModel):
    """Where spans go; exactly one collector."""

    zipkin: ZipkinSpec | None = Field(default=None, description="A Zipkin collector.")
    open_telemetry: OpenTelemetrySpec | None = Field(
        default=None, alias="openTelemetry", description="An OpenTelemetry collector (OTLP, gRPC)."
    )
    sampling: Annotated[StrictFloat, Field(ge=0, le=100)] = Field(
        default=100, description="Share of new traces that are kept, in percent."
    )

    @model_validator(mode="after")
    def _one_collector(self) -> TracingSpec:
        if (self.zipkin is None) == (self.open_telemetry is None):
            raise PydanticCustomError(
                "MC209",
                "tracing needs exactly one of zipkin and openTelemetry",
                {"hint": "for example tracing: {zipkin: {host: 10.0.0.9}}"},
            )
        return self


class LimitsSpec(SpecModel):
    """What one host's Envoy may use."""

    file_subscriptions: Annotated[StrictInt, Field(ge=2, le=1_000_000)] = Field(
        default=100,
        alias="fileSubscriptions",
        description="Files that one Envoy may watch. Each costs an inotify instance, and an Envoy "
        "that gets none aborts; many systems allow 128 for a user "
        "(sysctl fs.inotify.max_user_instances).",
    )


class MeshSpec(SpecModel):
    """`mesh.yaml`: what belongs to no single service. Everything has a default."""

    schema_reference: StrictStr | None = Field(
        default=None, alias="$schema", description="For editors; not used."
    )
    name: Name = Field(default="mesh", description="Name of the mesh.")
    labels: Labels = Field(default={}, description="Facts that every host gets.")
    admin: AdminSpec = Field(default=AdminSpec(), description="Envoy's admin interface.")
    access_log: AccessLogSpec = Field(
        default=AccessLogSpec(), alias="accessLog", description="Access logs."
    )
    connect_timeout: Annotated[Duration, at_least("1ms")] = Field(
        default=Duration(1_000),
        alias="connectTimeout",
        description="Longest time to open a connection, to hosts and to the own application.",
    )
    drain_time: Annotated[Duration, at_least("1s")] = Field(
        default=Duration(60_000),
        alias="drainTime",
        description="How long an Envoy lets connections of a replaced listener end "
        "(envoy --drain-time-s); delivery waits as long before it removes what they use.",
    )
    tracing: TracingSpec | None = Field(
        default=None, description="Where spans go. Default: nowhere."
    )
    xds_directory: Directory = Field(
        default=DEFAULT_XDS_DIRECTORY,
        alias="xdsDirectory",
        description='Where each Envoy finds its files. A relative path, such as ".", starts at '
        "Envoy's working directory.",
    )
    routes: Literal["file", "inline"] = Field(
        default="file",
        description="file: routes in files of their own, so that changing them closes no "
        "connection; inline: inside the listeners.",
    )
    endpoints: Literal["file", "inline"] = Field(
        default="file",
        description="file: endpoints in files of their own, so that changing them closes no "
        "connection; inline: inside the clusters.",
    )
    limits: LimitsSpec = Field(default=LimitsSpec(), description="What one host's Envoy may use.")
    defaults: PoliciesSpec = Field(
        default=PoliciesSpec(), description="Policies of every service that sets nothing else."
    )
