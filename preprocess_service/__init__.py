"""The service that turns files into tensors; it writes nothing to disk."""
