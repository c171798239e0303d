"""Goes through a mesh service by service and node by node: reuse, or compile, check and stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from meshc.artifact.layout import node_directory, on_host, service_directory
from meshc.assemble.files import (
    ShapeFiles,
    UnitFiles,
    node_files,
    origins_line,
    service_files,
    shape_files,
    shared_files_of,
)
from meshc.assemble.memory import Record
from meshc.plan.node import plan_node

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshc.assemble.keys import DependencyKeys
    from meshc.assemble.memory import Signature
    from meshc.compile.compiler import CompiledNode, CompiledService, Compiler
    from meshc.compile.resources import Resource
    from meshc.diagnostics import DiagnosticSink
    from meshc.model.mesh import Mesh, Node, Service
    from meshc.plan.service import SharedPlans
    from meshc.plan.types import NodePlan, NodeShape

_OWN_SUBSCRIPTIONS = 2


class Output(Protocol):
    """Where files go; knows what is already there."""

    def is_untouched(self, record: Record) -> bool:
        """Whether all files of a record are on disk as they were left."""

    def put(self, path: str, data: bytes) -> Signature:
        """Make a file part of the output, writing it only where it differs."""


class NodeCheck(Protocol):
    """Judges all that a node consists of."""

    def check(self, node: str, compiled: CompiledNode) -> None:
        """Judge a node."""


@dataclass(slots=True, kw_only=True)
class Assembler:
    """Assembles one mesh.  INPUT: all but the records.  OUTPUT: records by name.

    Files are produced and handed on one unit at a time, so that a mesh of ten thousand nodes
    never has all its bytes in memory.
    """

    mesh: Mesh
    plans: SharedPlans
    compiler: Compiler
    keys: DependencyKeys
    output: Output
    sink: DiagnosticSink
    shared_resources: dict[str, Resource]
    node_check: NodeCheck
    gate: str
    known_services: dict[str, Record]
    known_nodes: dict[str, Record]
    on_progress: Callable[[int, int], None]
    services: dict[str, Record] = field(default_factory=dict)
    nodes: dict[str, Record] = field(default_factory=dict)
    _compiled_services: set[str] = field(default_factory=set)
    _shapes: dict[NodeShape, ShapeFiles] = field(default_factory=dict)

    def run(self) -> None:
        """Assemble everything; nodes of one service follow each other and share its listeners."""
        for service in self.mesh.services.values():
            self._service(service)
        total = len(self.mesh.nodes)
        done = 0
        for service in self.mesh.services.values():
            for instance in service.instances:
                node = self.mesh.nodes[instance.node]
                if node.id not in self.nodes:
                    self._node(node)
                    done += 1
                    self.on_progress(done, total)
            self.compiler.forget_nodes()
            self._shapes.clear()

    def _service(self, service: Service) -> None:
        overriding = self.plans.overriding.get(service.name, ())
        key = self.keys.service(service, overriding)
        known = self.known_services.get(service.name)
        if known is not None and self._is_reusable(known, key):
            self.services[service.name] = known
            return
        compiled = self._compile_service(service)
        unit = service_files(service, compiled, self.mesh.nodes)
        folder = service_directory(service.name)
        self.services[service.name] = self._record(key, unit, folder, origins_line(service))

    def _compile_service(self, service: Service) -> CompiledService:
        compiled = self.compiler.compile_service(self.plans.service(service))
        self._compiled_services.add(service.name)
        directory = self.mesh.settings.xds_directory
        for path, resource in shared_files_of(service, compiled):
            self.shared_resources[on_host(directory, path)] = resource
        return compiled

    def _node(self, node: Node) -> None:
        key = self.keys.node(node)
        known = self.known_nodes.get(node.id)
        if known is not None and self._is_reusable(known, key):
            self.nodes[node.id] = known
            return
        plan = plan_node(node, self.plans)
        self._need_shared(plan)
        compiled = self.compiler.compile_node(plan)
        self.node_check.check(node.id, compiled)
        shape = self._shapes.get(plan.shape)
        if shape is None:
            shape = shape_files(plan, compiled, self.compiler.context)
            self._shapes[plan.shape] = shape
        self._check_subscriptions(node, shape.subscriptions)
        unit = node_files(node, compiled, shape)
        self.nodes[node.id] = self._record(key, unit, node_directory(node.id), "")

    def _need_shared(self, plan: NodePlan) -> None:
        """Compile the reused services that a node refers to, for the check of its references."""
        for listener in plan.listeners:
            if listener.service not in self._compiled_services:
                self._compile_service(self.mesh.services[listener.service])

    def _is_reusable(self, known: Record, key: str) -> bool:
        """Whether nothing has changed, neither what went in nor what came out.

        A verdict of Envoy is kept, but one that is wanted must be of the wanted version.
        """
        return (
            known.key == key and self.gate in ("", known.gate) and self.output.is_untouched(known)
        )

    def _record(self, key: str, unit: UnitFiles, folder: str, origins: str) -> Record:
        return Record(
            key=key,
            gate=self.gate,
            line=unit.line,
            origins=origins,
            files={path: self.output.put(path, data) for path, data in unit.files},
            folder=folder,
            folder_time=0,
        )

    def _check_subscriptions(self, node: Node, watched: int) -> None:
        limit = self.mesh.settings.limits.file_subscriptions
        needed = _OWN_SUBSCRIPTIONS + watched
        if needed > limit:
            self.sink.report(
                "MC401",
                f'the Envoy of host "{node.id}" would watch {needed} files, '
                f"{needed - limit} more than limits.fileSubscriptions allows",
                at=node.origin.at("name").span,
                hint="set endpoints: inline in mesh.yaml, or raise both fs.inotify."
                "max_user_instances on the hosts and the limit",
            )
