"""What a server of this protocol has to show, each by an id that its tests name.

A test says what it shows: ``@pytest.mark.conforms("S5", "stale-nonce")``.  Ids of letter and
number are the behaviours that go-control-plane (S, D, U, C, K, L, G) and java-control-plane (J)
prove in their own tests; where these two differ or are wrong, those in words say what meshc does.
"""

from __future__ import annotations

BEHAVIOURS = {
    # What meshc does where the reference libraries differ, are wrong, or say nothing.
    "nack": "what a client refused is parked until its content changes, and the reason is kept",
    "version": "a version is a digest of content: equal content, equal version, everywhere",
    "unknown-node": "an unknown node is refused with a clear status and logged once",
    "absent-type": "a known node without clusters or listeners is told so at once",
    "named-subset": "names are answered with what exists of them, on aggregated streams too",
    "order": "clusters, endpoints, listeners, routes",
    "make-before-break": "what is old goes after what no longer uses it was accepted",
    "endpoints-again": "endpoints are sent again after their cluster",
    "stale-nonce": "a request with a stale nonce is ignored",
    "type-url": "no type on an aggregated stream and another on a single one: INVALID_ARGUMENT",
    "subscribe-again": "a known name subscribed to again in delta is sent again",
    "slow-reader": "who reads slowly delays nobody and gets the newest state alone",
    "reconnect": "a new stream starts from what is published now",
    "limits": "512 KiB a request, few streams a connection, pings of Envoy are accepted",
    "one-generation": "a push is of one generation, also when the next comes meanwhile",
    # What neither library tests and every server should show.
    "nack-parked": "a refusal is not answered with the same",
    "error-detail": "the reason of a refusal is shown by node, resource and line of the spec",
    "delta-reconnect": "who comes back in delta hears what has gone",
    "resubscribe": "a name that was dropped and taken up again is sent again",
    "restart": "a restart with equal content sends nothing, with other content what differs",
    "wrong-type-on-single": "another type on a stream of one type is refused",
    "many-nodes": "thousands of nodes at once",
    # Server, state of the world.
    "S1": "the end of the server ends streams of every type within a second",
    "S2": "one request of each service: one answer, nonce 1, of the right type",
    "S3": "a fetch of each type is answered once, without data with an error",
    "S4": "a failure to send ends the stream",
    "S5": "of a wrong and a right nonce only the right one counts",
    "S6": "seven types on one stream, the node in the first request alone",
    "S7": "an answer that comes too late for what is asked for is not sent",
    "S8": "an aggregated request without a type is an error",
    "S9": "the end of a stream ends all that it watched",
    "S10": "requests for unknown types are held, without an error or a leak",
    "S11": "a failure within ends the stream with an error",
    "S12": "an error of a callback fails the stream",
    # Server, delta.
    "D1": "everything of each type: one answer, nonce 1, of the right type",
    "D2": "a name of each type: one answer",
    "D3": "errors end a delta stream as well, a missing type among them",
    "D4": "seven types on one delta stream, the node in the first request alone",
    "D5": "no watch and no task is left behind",
    "D6": "no names are everything, beside names, until the star is dropped",
    "D7": "a name, the star, another name, the star dropped: both names",
    "D8": "a name dropped under the star is sent again, or named as gone",
    "D9": "an error of a callback while requests wait: no deadlock",
    "D10": "all cancel functions are called once",
    # Subscriptions.
    "U1": "state of the world: no names are everything until there is one, and then nothing",
    "U2": "state of the world: the star with names, without, dropped, and back",
    "U3": "delta: versions that a client brings; names under the legacy wildcard",
    "U4": "delta: names under the star; dropping everything does not revive it",
    "U5": "without the legacy wildcard no names are nothing, and the star still works",
    # Snapshots of a node.
    "C1": "no snapshot is an error, a wrong name silent, each type answered exactly",
    "C2": "fetches: all types, an unknown node, the same version",
    "C3": "watches before there is anything; the same again; only the type that changed",
    "C4": "resources with a time to live are repeated",
    "C5": "a node that is there later is served then",
    "C6": "many setters and watchers at once",
    "C7": "watches that end are no longer counted",
    "C8": "a reader that is blocked blocks nobody, and is served when it reads",
    "C9": "a further name at the same version is answered",
    "C10": "clearing a node",
    "C11": "a type that the library does not know",
    "C12": "delta: everything of all types, then names, then one type changes",
    "C13": "delta: a resource that goes",
    "C14": "three clusters, accepted, then two",
    # Consistency of a snapshot.
    "K1": "endpoints without a cluster, listeners without their routes",
    "K2": "scoped routes",
    "K3": "no snapshot, and types that do not exist",
    "K4": "which resources a resource refers to",
    "K5": "the order of types",
    "K6": "names of resources; invalid ones",
    # Collections that are the same for all.
    "L1": "a named one and all of them",
    "L2": "a current version is waited at; a batch is one step; deletion is silent by name",
    "L3": "a version of elsewhere is answered",
    "L4": "deletion: endpoints silent, clusters with what remains, be it nothing",
    "L5": "only what changed; one that ends leaves the other",
    "L6": "delta: everything of nothing is answered, and what comes goes to all",
    "L7": "delta: only what exists and is not known already",
    "L8": "delta: updates, deletions, batches, returns",
    "L9": "a deletion is silent in state of the world and named in delta",
    "L10": "several names, answered once each time; lists are whole; others are not woken",
    "L11": "clients that begin differently, and change what they ask for",
    "L12": "names with a prefix and a star",
    "L13": "a hundred at once, one resource each",
    # Polling.
    "G1": "statuses of polls",
    # More, from java-control-plane.
    "J1": "endpoints that do not exist on an aggregated stream",
    "J2": "endpoints are sent again after clusters",
    "J3": "the order of types with two watchers of each",
    "J4": "at the same version known names are answered, unknown ones not",
    "J5": "the same version set again answers nobody",
    "J6": "a watch on an empty snapshot is left open",
    "J7": "a node that is watched is not cleared",
    "J8": "snapshots that nobody needs are forgotten",
    "J9": "what is counted for one stream",
    "J10": "versions by type",
}

NOT_OURS = {
    "S12": "there are no callbacks",
    "D9": "there are no callbacks",
    "D10": "there are no watches with functions to cancel them; S9 and D5 show what is left",
    "C4": "no resource has a time to live: what an Envoy has it keeps, also without the server",
    "K1": "a bundle is checked as a whole when it is built: tests/validate/test_consistency.py",
    "K2": "scoped routes are never built",
    "K4": "a bundle is checked as a whole when it is built: tests/validate/test_consistency.py",
    "L12": "no collection has such names: resources are called as meshc calls them",
}
"""Why there is no test on the wire."""
