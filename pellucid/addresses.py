"""Host and port as one text."""


def address(host: str, port: int) -> str:
    """`host:port` as gRPC and URLs have it: an IPv6 host stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
