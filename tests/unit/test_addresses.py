from pellucid.addresses import address


def test_only_an_ipv6_host_stands_in_brackets() -> None:
    hosts = ("127.0.0.1", "localhost", "::1")
    assert [address(host, 5) for host in hosts] == ["127.0.0.1:5", "localhost:5", "[::1]:5"]
