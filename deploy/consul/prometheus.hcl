# What Prometheus' token may do: find what is registered.
# "agent" is only asked which datacenter this is; say so in prometheus.yml and leave it out here.
node_prefix "" { policy = "read" }
service_prefix "" { policy = "read" }
agent_prefix "" { policy = "read" }
