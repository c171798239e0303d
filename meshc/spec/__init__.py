"""Room 1: text → typed specs, with positions.

In: files.
Out: `SpecSet`, diagnostics.
Owns: YAML, positions, field syntax, the JSON Schema for editors.
Must not know: other services, nodes, Envoy.
"""
