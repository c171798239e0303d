# meshc publish consul, for MESH.  AGENT is the node of the Consul that is asked, on which the
# session of the lock is.
key_prefix "meshc/v1/MESH/nodes/" { policy = "write" }
key_prefix "meshc/v1/MESH/blobs/" { policy = "write" }
key "meshc/v1/MESH/index" { policy = "write" }
key_prefix "meshc/v1/MESH/trash/" { policy = "write" }
key "meshc/v1/MESH/lock" { policy = "write" }
session "AGENT" { policy = "write" }
