"""Policy slice: asking hosts how they are."""
