"""Room 4: plans → Envoy resources, as plain dicts in Envoy's own JSON.

In: `NodePlan`, `ServicePlan`, the registry's slices.
Out: `Resource`s, each distinct one built and encoded once.
Owns: Envoy's API, resource names, encoding, the bootstrap template.
Must not know: specs, other nodes, disk.
"""
