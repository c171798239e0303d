# Beside agent.hcl, where endpoints are narrowed by health: once for each SERVICE that NODE calls.
service "SERVICE" { policy = "read" }
# Instances are on nodes of their own and on nodes of Consul's agents.
node_prefix "" { policy = "read" }
