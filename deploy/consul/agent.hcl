# The delivery agent of NODE (meshc agent with a source consul://…/MESH): what this host gets.
key "meshc/v1/MESH/nodes/NODE" { policy = "read" }
key_prefix "meshc/v1/MESH/blobs/" { policy = "read" }
