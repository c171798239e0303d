"""The stages in order: specs → model → plan → resources → bundle.  This is the map of the code."""

from __future__ import annotations

import contextlib
import gc
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import meshc
from meshc.artifact.manifest import ManifestHeader, render_manifest
from meshc.artifact.write import BundleWriter
from meshc.assemble.assembler import Assembler
from meshc.assemble.keys import DependencyKeys
from meshc.assemble.memory import BuildMemory, tool_key
from meshc.assemble.output import BuildOutput
from meshc.compile.compiler import Compiler
from meshc.diagnostics import DiagnosticSink
from meshc.model.link import link
from meshc.plan.match import check_policies
from meshc.plan.service import SharedPlans
from meshc.registry import compile_context
from meshc.spec.load import load_specs
from meshc.validate.consistency import ConsistencyCheck
from meshc.validate.constraints import SchemaCheck
from meshc.validate.gate import EnvoyCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from meshc.compile.resources import Resource
    from meshc.diagnostics import Diagnostic
    from meshc.model.mesh import Mesh
    from meshc.spec.places import SpecSource
    from meshc.spec.source import SourceFile

ENVOY_SCHEMA = "1.40.0"
"""The Envoy version whose schema resources are checked against."""


def _no_progress(_done: int, _total: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What a build may be told.

    ``is_dry`` writes nothing, ``is_strict`` lets warnings stop a build as errors do; ``envoy`` is
    the program that judges every resource, None for no such judgement; ``cache`` is the folder of
    what earlier builds learnt, None for none.
    """

    out: Path
    is_dry: bool = False
    is_strict: bool = False
    envoy: Path | None = None
    cache: Path | None = None
    on_progress: Callable[[int, int], None] = _no_progress


@dataclass(slots=True, kw_only=True)
class BuildResult:
    """What a build found and did.  Where ``diagnostics`` has errors, nothing was written."""

    diagnostics: tuple[Diagnostic, ...]
    sources: Mapping[str, SourceFile]
    has_errors: bool
    services: int = 0
    nodes: int = 0
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    unchanged: int = 0
    checked: int = 0
    judged: int = 0
    seconds: float = 0.0
    generation: str = field(default="")


def read_mesh(
    specs: Path | SpecSource, sink: DiagnosticSink, memory: BuildMemory | None = None
) -> tuple[Mesh, Mapping[str, SourceFile]]:
    """Specs → model: everything that can be wrong without Envoy is reported here."""
    loaded = load_specs(specs, sink, None if memory is None else memory.parsed)
    mesh = link(loaded, sink)
    check_policies(mesh, sink)
    return mesh, loaded.sources


def build(specs: Path | SpecSource, options: BuildOptions) -> BuildResult:
    """Compile specs, such as a folder, into a bundle and write it, or change nothing at all."""
    started = time.perf_counter()
    with _collection_paused():
        # In a function of its own, so that nearly everything is gone when collection goes on
        # and would look through it.
        result = _read_and_build(specs, options)
    result.seconds = time.perf_counter() - started
    return result


def _read_and_build(specs: Path | SpecSource, options: BuildOptions) -> BuildResult:
    sink = DiagnosticSink()
    with contextlib.ExitStack() as stack:
        # Before specs and cache are read: of two builds at once, the one that read later is
        # the one that writes later.
        writer = None if options.is_dry else stack.enter_context(BundleWriter(options.out))
        memory = BuildMemory(options.cache, out=options.out, envoy_schema=ENVOY_SCHEMA)
        mesh, sources = read_mesh(specs, sink, memory)
        result = BuildResult(diagnostics=(), sources=sources, has_errors=sink.has_errors)
        if not sink.has_errors and not (options.is_strict and sink.has_findings):
            _build(mesh, memory, writer, sink, options, result)
    result.diagnostics = sink.sorted()
    result.has_errors = sink.has_errors
    return result


@contextlib.contextmanager
def _collection_paused() -> Iterator[None]:
    """Pause the search for garbage in cycles.

    A build makes millions of objects that stay, and next to none in cycles; looking through
    them again and again takes a quarter of its time and frees nothing.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _build(  # noqa: PLR0917, the stages share these six and nothing else
    mesh: Mesh,
    memory: BuildMemory,
    writer: BundleWriter | None,
    sink: DiagnosticSink,
    options: BuildOptions,
    result: BuildResult,
) -> None:
    """Plan, compile, check, stage; commit if there was nothing to report."""
    shared_resources: dict[str, Resource] = {}
    schema = SchemaCheck(ENVOY_SCHEMA, memory.checked, sink)
    envoy = EnvoyCheck(options.envoy, memory.accepted, sink)
    output = BuildOutput(options.out, writer)

    def judge(resource: Resource) -> None:
        schema.check(resource)
        envoy.check(resource)

    assembler = Assembler(
        mesh=mesh,
        plans=SharedPlans(mesh),
        compiler=Compiler(compile_context(mesh.settings), judge),
        keys=DependencyKeys(mesh, base=tool_key()),
        output=output,
        sink=sink,
        shared_resources=shared_resources,
        node_check=ConsistencyCheck(shared_resources, sink),
        gate=envoy.version,
        known_services=memory.services,
        known_nodes=memory.nodes,
        on_progress=options.on_progress,
    )
    with contextlib.closing(envoy):
        assembler.run()
        envoy.finish()
    result.checked, result.judged = schema.checked, envoy.judged
    if sink.has_errors:
        return
    output.finish(_manifest(mesh, assembler))
    if writer is not None:
        memory.save(
            services={name: output.signed(it) for name, it in assembler.services.items()},
            nodes={name: output.signed(it) for name, it in assembler.nodes.items()},
        )
    result.services = sum(not one.is_only_in_consul for one in mesh.services.values())
    result.nodes = len(mesh.nodes)
    result.changed, result.removed = tuple(output.changed), tuple(output.removed)
    result.foreign, result.unchanged = tuple(output.foreign), output.unchanged


def _manifest(mesh: Mesh, assembler: Assembler) -> bytes:
    header = ManifestHeader(
        meshc=meshc.__version__,
        envoy=ENVOY_SCHEMA,
        mesh=mesh.settings.name,
        drain_time=mesh.settings.drain_time.envoy,
    )
    return render_manifest(
        header,
        services={name: record.line for name, record in assembler.services.items()},
        nodes={name: record.line for name, record in assembler.nodes.items()},
        origins={name: record.origins for name, record in assembler.services.items()},
    )
