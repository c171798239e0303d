"""Policy slice: how much to send at once."""
