"""Findings about what a user wrote, and the errors of the world around it.

In: a code, a place, a sentence.
Out: rendered text, JSON, SARIF, CI annotations.
Owns: the catalogue of codes, the shape of a finding, its sorting and rendering.
Must not know: any other room; everybody may import this one.
"""

from meshc.diagnostics.diagnostic import Diagnostic, DiagnosticSink, Related, Severity, Span
from meshc.diagnostics.errors import InternalError, MeshcError

__all__ = [
    "Diagnostic",
    "DiagnosticSink",
    "InternalError",
    "MeshcError",
    "Related",
    "Severity",
    "Span",
]
