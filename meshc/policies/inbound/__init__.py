"""Policy slice: what the called service's own Envoys do with what comes in."""
