"""A client with python3-redis: redis_py.py HOST PORT."""

import sys
import threading

import redis


def talk(client):
    assert client.set("key", b"\x00\r\n", ex=1000) is True
    assert client.get("key") == b"\x00\r\n"
    assert 990 <= client.ttl("key") <= 1000
    assert client.get("nobody") is None
    assert client.set("key", "x", nx=True) is None
    assert client.set("key", "x", get=True) == b"\x00\r\n"
    assert client.incr("counter", 5) == 5 and client.decr("counter") == 4
    assert client.incrbyfloat("float", 0.5) == 0.5
    assert client.mset({"a": 1, "b": 2}) and client.mget("a", "nobody", "b") == [b"1", None, b"2"]
    assert client.append("a", "23") == 3 and client.getrange("a", 1, -1) == b"23" and client.strlen("a") == 3
    assert client.setrange("a", 5, "x") == 6 and client.getdel("a") == b"123\x00\x00x"
    assert client.expire("b", 100) and client.persist("b") and client.ttl("b") == -1
    assert client.rename("b", "c") and client.exists("b", "c") == 1 and client.type("c") == b"string"
    try:
        client.lpush("list", 1)
        raise AssertionError("a list")
    except redis.exceptions.ResponseError as error:
        assert "unknown command" in str(error), error
    assert client.echo("x") == b"x" and client.ping()
    assert client.client_setname("me") and client.client_getname() in (b"me", "me")
    assert any(one["name"] == "me" for one in client.client_list())
    assert client.config_set("timeout", 100) and client.config_get("timeout") == {"timeout": "100"}
    assert client.info()["connected_clients"] >= 1 and client.info("keyspace")["db0"]["keys"] == client.dbsize()
    assert client.delete("key", "counter", "float", "c", "nobody") == 4


def walk(client):
    names = {b"walk:%d" % number for number in range(5000)}
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.set(name, name)
    assert all(pipe.execute())
    assert set(client.scan_iter("walk:*", count=100)) == names
    assert set(client.keys("walk:*")) == names
    assert client.randomkey() in names
    assert client.unlink(*names) == len(names)


def together(host, port):
    """Several threads, a connection each, count in common."""
    def count():
        own = redis.Redis(host, port)
        for _ in range(500):
            own.incr("common")
    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert redis.Redis(host, port).getdel("common") == b"4000"


def main():
    host, port = sys.argv[1], int(sys.argv[2])
    client = redis.Redis(host, port)
    talk(client)
    walk(client)
    together(host, port)
    value = bytes(range(256)) * 40_000
    assert client.set("large", value) and client.get("large") == value
    assert client.flushall() and client.dbsize() == 0
    print("all is well")


main()
