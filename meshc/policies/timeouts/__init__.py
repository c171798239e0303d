"""Policy slice: how long to wait."""
