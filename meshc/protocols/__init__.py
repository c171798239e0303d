"""Protocol slices, one folder each.

In: a service's protocol keyword; a listener or cluster of the plan.
Out: network filters and cluster options in Envoy's JSON.
Owns: what one protocol means in Envoy, and which capabilities it provides.
Must not know: other slices, specs of other services, nodes.
"""
