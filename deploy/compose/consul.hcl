# One server with access rules: nobody may do anything without a token.
server           = true
bootstrap_expect = 1
node_name        = "consul"
datacenter       = "dc1"
client_addr      = "0.0.0.0"
bind_addr        = "{{ GetInterfaceIP \"eth0\" }}"
data_dir         = "/consul/data"
ui_config { enabled = true }
connect { enabled = false }
disable_update_check = true
performance { raft_multiplier = 1 }
acl {
  enabled                  = true
  default_policy           = "deny"
  enable_token_persistence = true
}
