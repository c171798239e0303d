"""The xDS protocol of one client, without any input or output.

In: requests as bytes, a snapshot of what a node is to have.
Out: responses as bytes, in an order that breaks no traffic.
Owns: subscriptions, versions, nonces, acknowledgements, make before break.
Must not know: connections, bundles.
"""
