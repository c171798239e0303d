"""Room 2: one linked mesh.

In: `SpecSet`.
Out: `Mesh`.
Owns: names, references, cross-file rules, who shares a host.
Must not know: YAML, Envoy, files.
"""
