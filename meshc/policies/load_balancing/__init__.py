"""Policy slice: which host gets the next request."""
