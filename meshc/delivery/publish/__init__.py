"""Publication: what hosts read, in Consul's KV or in a folder for rsync or a web server.

In: a built bundle, what was published before.
Out: the difference, published: blobs, then one small pointer per node, then the index.
Owns: the order of writing, publication times, one publisher at a time, what goes when nobody uses
it any more, and refusing to publish a mesh that has shrunk too much.
Must not know: specs, hosts, what an agent does with what it reads.

    local           the bundle, as it is to be published
    plan            pure: what is published, what shall be → what to write and to remove
    comparison      reads what is published, as little as that takes
    publisher       writes what differs, in an order that can be cut off anywhere
    place           what a place for publications can do; to_consul and to_directory are such
    collect         blobs that nobody uses go after a grace time
"""
