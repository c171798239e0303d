"""Protocol slice: GRPC."""
