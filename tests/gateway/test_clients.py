import pytest

from services.gateway import clients

pytestmark = pytest.mark.pure

PROXY = "10.0.0.1"


def address(forwarded=None, *, proxies=0, peer=PROXY):
    environ = {"REMOTE_ADDR": peer}
    return clients.address(
        environ if forwarded is None else {**environ, "HTTP_X_FORWARDED_FOR": forwarded}, proxies=proxies
    )


class TestAddress:
    def test_is_that_of_whoever_connects_and_not_what_they_say_it_is(self):
        assert address() == PROXY
        assert address("198.51.100.66") == PROXY

    def test_is_what_the_server_in_front_of_us_has_appended(self):
        assert address("198.51.100.66", proxies=1) == "198.51.100.66"
        assert address("192.0.2.1, 198.51.100.66", proxies=1) == "198.51.100.66"
        assert address("192.0.2.1,198.51.100.66, 10.0.0.2", proxies=2) == "198.51.100.66"

    @pytest.mark.parametrize("forwarded", [None, "", "198.51.100.66", "unknown, 10.0.0.2", ",", "a" * 5000])
    def test_is_that_of_whoever_connects_if_they_came_past_a_server_or_it_says_nothing(self, forwarded):
        assert address(forwarded, proxies=2) == PROXY

    def test_is_of_ipv6_the_network_that_one_customer_has(self):
        one, other = (address(peer=f"2001:db8:1:2:{rest}") for rest in ("3::4", "ffff:ffff:ffff:ffff"))

        assert one == other == "2001:db8:1:2::"
        assert address(peer="2001:db8:1:3::") != one

    def test_is_the_same_for_an_ipv4_address_however_it_is_written(self):
        assert address(peer="::ffff:198.51.100.66") == "198.51.100.66"

    def test_is_none_where_there_is_none(self):
        assert address(peer="") == ""
