"""Policy slice: when a host gets nothing for a while."""
