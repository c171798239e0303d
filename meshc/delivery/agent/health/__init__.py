"""Endpoints by health: which hosts of a dependency are used, by what Consul says of them.

In: the compiled endpoints of a node with the rule of each, what Consul says, what lies on disk.
Out: endpoint files that take the place of the compiled ones, and words about them.
Owns: which endpoints are used, what is believed of Consul, how often that may change.
Must not know: how files are delivered, where bundles come from.

A generation is what the build made of it; what follows from health takes the place of its
endpoints when it is checked and delivered, and is in no other way part of it.  So guards,
rollbacks, quarantine and history are about builds, and a host that is ill for a minute leaves no
trace in them.  Nobody imports this room who has no rule.

    assignment   an endpoint file, read and written
    instances    what is believed of Consul's answer
    choice       pure: rule, compiled endpoints, instances, endpoints before → endpoints
    follower     asks Consul, for years
    narrower     the glue: what a bundle's endpoints are at this moment
"""
