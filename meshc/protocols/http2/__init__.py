"""Protocol slice: HTTP2."""
