# meshc build and check with --specs consul://…/MESH, meshc svc list, show and export.
key_prefix "meshc/v1/MESH/specs" { policy = "read" }
