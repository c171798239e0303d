"""Protocol slice: HTTP."""
