"""Programs that move bytes: nc, socat, iperf3, sockperf, DNS."""

import json
import os
import re
import shutil
import time

from harness import MB, PEER, PYTHON, ROLES, SOAK, expect, expect_same, need, watched
from web_cases import start_nginx


@watched(carries=20 * MB)
def nc_file(bench, on_stack):
    """A file each way: first the client sends, then the server."""
    need("nc.openbsd")
    host, source = bench.host(on_stack), bench.random_file("source", 20 * MB)
    for direction in ("up", "down"):
        arrived = bench.path(direction)
        with open(source, "rb") as file, open(arrived, "wb") as target:
            # -d: reads no input; -N: says when its input is at its end.
            sender, receiver = ("-N", {"stdin": file}), ("-d", {"stdout": target})
            at_server, at_client = (receiver, sender) if direction == "up" else (sender, receiver)
            server = bench.server(on_stack, "nc.openbsd", "-n", "-v", at_server[0], "-l", host, 7777, **at_server[1])
            server.wait_for("^Listening")
            client = bench.client(on_stack, "nc.openbsd", "-n", at_client[0], host, 7777, **at_client[1])
            client.succeed(20)
            server.succeed(20)
        expect_same(source, arrived)


@watched(carries=100)
def nc_datagrams(bench, on_stack):
    """nc connects its UDP socket to whoever comes first."""
    need("nc.openbsd")
    host = bench.host(on_stack)
    server = bench.server(on_stack, "nc.openbsd", "-n", "-v", "-u", "-l", host, 7777)
    server.wait_for("^Bound")
    for text in ("first\n", "second\n"):
        with open(bench.file("text", text), "rb") as file:
            client = bench.client(on_stack, "nc.openbsd", "-n", "-u", "-q", 1, host, 7777, stdin=file)
            server.wait_for(text.strip())
            client.succeed(10)
        server.end()
        server = bench.server(on_stack, "nc.openbsd", "-n", "-v", "-u", "-l", host, 7777)
        server.wait_for("^Bound")


@watched(carries=20 * MB)
def socat_stream(bench, on_stack):
    host, source, arrived = bench.host(on_stack), bench.random_file("source", 20 * MB), bench.path("arrived")
    server = bench.server(on_stack, "socat", "-u", "-d", "-d", f"TCP-LISTEN:7777,bind={host},reuseaddr",
                          f"CREATE:{arrived}")
    server.wait_for("listening on")
    bench.client(on_stack, "socat", "-u", f"OPEN:{source}", f"TCP:{host}:7777").succeed(20)
    server.succeed(20)
    expect_same(source, arrived)
    # Echoed by a child of socat's, over a pipe; the answer comes back on the same connection.
    server = bench.server(on_stack, "socat", "-d", "-d", "-t", 10, f"TCP-LISTEN:7778,bind={host},reuseaddr", "EXEC:cat")
    server.wait_for("listening on")
    with open(source, "rb") as file, open(arrived, "wb") as target:
        bench.client(on_stack, "socat", "-t", 10, "STDIO", f"TCP:{host}:7778", stdin=file, stdout=target).succeed(20)
    server.succeed(20)
    expect_same(source, arrived)


@watched(carries=100)
def socat_datagrams(bench, on_stack):
    host = bench.host(on_stack)
    server = bench.server(on_stack, "socat", "-d", "-d", "-t", 10, f"UDP-RECVFROM:7777,bind={host}",
                          "EXEC:tr a-z A-Z")
    server.wait_for("receiving on|starting|N ")
    time.sleep(0.3)
    with open(bench.file("text", "hello"), "rb") as file:
        out = bench.client(on_stack, "socat", "-t", 10, "STDIO", f"UDP:{host}:7777", stdin=file).succeed(20)
    expect(out == "HELLO", out + server.output())


DATAGRAMS = 2_000_000  # bits a second: a rate at which a socket's buffer lasts while the receiver waits for a core
IPERF = (
    ("to the server", []),
    ("from the server (-R)", ["-R"]),
    ("both ways (--bidir)", ["--bidir"]),
    ("four streams (-P 4)", ["-P", 4]),
    ("from a file (-Z)", ["-Z"]),
    ("datagrams (-u)", ["-u", "-b", DATAGRAMS, "-l", 1400]),
    ("datagrams from the server (-u -R)", ["-u", "-R", "-b", DATAGRAMS, "-l", 1400]),
)


@watched(carries=100 * MB)
def iperf(bench, on_stack):
    host = bench.host(on_stack)
    for name, options in IPERF:
        server = bench.server(on_stack, "iperf3", "-s", "-1", "--forceflush", "-B", host)
        server.wait_for("^Server listening")
        said = json.loads(bench.client(on_stack, "iperf3", "-J", "-c", host, "-t", 10 if SOAK else 1, *options).succeed(40))
        expect("error" not in said, f"{name}: {said.get('error')}")
        sums = [value for key, value in said["end"].items() if key.startswith("sum")]
        least = 0.8 * DATAGRAMS if "-u" in options else 4e6
        expect(sums and all(one["bits_per_second"] > least for one in sums), f"{name}: {sums}")
        if "-u" in options:
            lost = said["end"]["sum"]["lost_percent"]
            expect(lost < 2, f"{name}: {lost} % of the datagrams lost")
        server.succeed(10)


@watched(carries=1 * MB)
def sockperf(bench, on_stack):
    host = bench.host(on_stack)
    for protocol in ([], ["--tcp"]):
        server = bench.server(on_stack, "sockperf", "server", "-i", host, "-p", 11111, *protocol)
        server.wait_for("to block on socket")
        # At a rate at which a socket's buffer lasts while the receiver waits for a core.
        for mode in (["ping-pong"], ["under-load", "--mps", 600, "--burst", 10]):
            out = bench.client(on_stack, "sockperf", *mode, "-i", host, "-p", 11111, *protocol, "-t", 5 if SOAK else 2,
                               "-m", 200).succeed(30)
            told = re.search(r"dropped messages = (\d+); # duplicated messages = (\d+); # out-of-order messages = (\d+)", out)
            expect(told and set(told.groups()) == {"0"}, f"{mode}: {out}")
            expect(int(re.search(r"SentMessages=(\d+)", out)[1]) > 1000, out)
        server.end()


def dig(bench, on_stack, *words):
    return bench.client(on_stack, "dig", f"@{bench.host(on_stack)}", "-p", 5353, "+timeout=3", "+tries=1", *words).succeed(10)


def ask_names(bench, on_stack):
    for _ in range(20):
        for protocol in ("+notcp", "+tcp"):
            out = dig(bench, on_stack, protocol, "+short", "host.example.test", "A")
            expect(out == "198.18.7.7\n", out)
    # Too long for a datagram: asked again over TCP.
    out = dig(bench, on_stack, "+bufsize=1200", "long.example.test", "TXT")
    expect(out.count("0123456789") >= 150 and "Truncated, retrying in TCP mode" in out, out)


@watched()
def dnsmasq(bench, on_stack):
    need("dnsmasq", "dig")
    host = bench.host(on_stack)
    # -d: one process, also for TCP.
    server = bench.server(on_stack, "dnsmasq", "-d", "-C", bench.file("dnsmasq.conf", ""), "-p", 5353, "-a", host, "-z", "-h",
                          "-R", "-I", "lo", "--edns-packet-max=4096", "--address=/host.example.test/198.18.7.7",
                          *[f"--txt-record=long.example.test,{number}{'0123456789' * 10}" for number in range(20)])
    bench.wait_for_port(server, host, 5353)
    ask_names(bench, on_stack)


@watched()
def names(bench):
    """A name is looked up over the stack: first with a server on the kernel, then with none."""
    need("dnsmasq", "curl")
    start_nginx(bench, False)
    server = bench.on_kernel("dnsmasq", "-d", "-C", bench.file("dnsmasq.conf", ""), "-a", PEER, "-z", "-h", "-R", "-I", "lo",
                             f"--address=/host.example.test/{PEER}")
    bench.wait_for_port(server, PEER, 53)
    # ip-netns(8) puts this in the place of /etc/resolv.conf.
    folder = f"/etc/netns/{bench.stack}"
    os.makedirs(folder)
    try:
        with open(f"{folder}/resolv.conf", "w", encoding="ascii") as file:
            file.write(f"nameserver {PEER}\noptions timeout:5 attempts:1\n")
        curl = ["curl", "-sS", "--max-time", 10, "http://host.example.test:8080/ping"]
        fetch = [PYTHON, "-c", "import urllib.request as r; print(r.urlopen('http://host.example.test:8080/ping').read())"]
        for command in (curl, [*curl, "-4"], fetch):
            out = bench.on_stack(*command).succeed(20)
            expect("pong" in out, out)
        expect(bench.on_stack("curl", "-sS", "http://missing.example.test:8080/").wait(20) == 6, "a name that is not there")
        server.end()
        expect(bench.on_stack(*curl).wait(20) == 6, "a name found without a server")
    finally:
        shutil.rmtree(folder)


UNBOUND = """
server:
  interface: {host}@5353
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  verbosity: 1
  access-control: 0.0.0.0/0 allow
  num-threads: 2
  so-reuseport: no
  module-config: "iterator"
  local-zone: "example.test." static
  local-data: "host.example.test. A 198.18.7.7"
{texts}
remote-control:
  control-enable: no
"""


@watched()
def unbound(bench, on_stack):
    need("unbound", "dig")
    host = bench.host(on_stack)
    texts = "\n".join(f"  local-data: 'long.example.test. TXT \"{number}{'0123456789' * 10}\"'" for number in range(20))
    configuration = bench.file("unbound.conf", UNBOUND.format(host=host, folder=bench.scratch, texts=texts))
    server = bench.server(on_stack, "unbound", "-d", "-p", "-c", configuration)
    bench.wait_for_port(server, host, 5353)
    ask_names(bench, on_stack)


def add_cases(add):
    for on_stack, where in ROLES:
        add(f"nc {where}: a file each way", nc_file, on_stack)
        add(f"nc {where}: datagrams", nc_datagrams, on_stack)
        add(f"socat {where}: a file, and one through a child and back", socat_stream, on_stack)
        add(f"socat {where}: a datagram through a child and back", socat_datagrams, on_stack)
        add(f"iperf3 {where}: both directions, streams, -Z, datagrams", iperf, on_stack)
        add(f"sockperf {where}: ping-pong and under load, TCP and UDP", sockperf, on_stack)
        add(f"dnsmasq {where}: dig over UDP and TCP", dnsmasq, on_stack)
        add(f"unbound {where}: dig over UDP and TCP", unbound, on_stack)
    add("names are looked up over the stack", names)
