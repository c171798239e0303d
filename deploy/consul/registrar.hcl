# meshc consul sync, plan and status, for MESH: once for each SERVICE of the mesh, and for the
# admin interfaces.  AGENT is the node of the Consul that is asked.
node_prefix "meshc-MESH-" { policy = "write" }
service "SERVICE" { policy = "write" }
service "envoy-admin" { policy = "write" }
key "meshc/v1/MESH/registration-lock" { policy = "write" }
session "AGENT" { policy = "write" }
# A part of the catalogue could be taken for all of it, and hosts be registered twice.
node_prefix "" { policy = "read" }
service_prefix "" { policy = "read" }
