"""Protocol slice: TCP."""
