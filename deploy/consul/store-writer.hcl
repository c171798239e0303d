# meshc svc apply, delete and import, for MESH.
key_prefix "meshc/v1/MESH/specs" { policy = "write" }
