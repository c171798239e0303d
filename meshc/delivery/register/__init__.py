"""Registration: hosts of the mesh in Consul, where Prometheus and everybody else finds them.

In: the facts about instances in a bundle, what is registered.
Out: exactly these hosts registered, and none of anybody else's touched.
Owns: names, ids and metadata of what is registered, whose it is, what a run may remove at most.
Must not know: specs, how files reach hosts, whether an Envoy runs.

There are two ways, and each host goes one of them.  A host without a Consul agent gets a node of
its own in the catalogue; on the node of an agent an entry would be undone by the agent within a
minute or two.  A host with an agent registers its services with that agent, which also checks them.

    facts         the bundle, as far as registration needs it
    metadata      what Consul takes as metadata
    entries       a node and its services, as they are registered
    desired       pure: facts → entries
    reconcile     pure: what shall be, what is → what to do
    guard         pure: when that removes too much
    catalogue     nodes of their own, read and written
    sync          one run over the catalogue, alone and in an order that can be cut off anywhere
    local         the services of one host, with the agent of that host
"""
