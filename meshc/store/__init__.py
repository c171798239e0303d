"""Service documents in Consul KV instead of in files.

In: the address of a mesh in Consul; documents to store, names to delete.
Out: documents for the compiler, one consistent reading each; what a change changed.
Owns: the keys below ``specs``, which changes are allowed, that a change happens whole or not at
all, when two documents mean the same.
Must not know: resources, bundles, agents, what else is kept in Consul.

A change is one transaction that also moves the key ``specs-revision`` from the index at which the
mesh was read: whoever was slower reads again, judges again, and tries again.  What is too much for
one transaction is first laid beside the documents (``specs-staged``), then made to count by one
such transaction, then moved in; readers see it from that transaction on, all of it.
Rejected: everything in one value, which people could not read with Consul's own tools and which
would end at 512 KiB; content addresses for every document, for the first of these reasons.
"""
