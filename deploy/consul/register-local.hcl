# meshc consul register-local on NODE: once for each SERVICE that runs there, and for the admin
# interface.  It reads what runs there where its source is consul://…/MESH.
key "meshc/v1/MESH/nodes/NODE" { policy = "read" }
service "SERVICE" { policy = "write" }
service "envoy-admin" { policy = "write" }
