"""Policy slice: when to try again."""
