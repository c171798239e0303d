"""HTTP/2 connections and TLS that hostile clients cannot wear out.

In: sockets, certificates, limits.
Out: messages of streams, and who the peer's certificate says it is.
Owns: what of grpclib and h2 is replaced, and why; every limit.
Must not know: the xDS protocol, bundles.
"""
