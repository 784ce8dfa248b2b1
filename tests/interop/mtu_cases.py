"""Paths whose narrowest link is behind a router: with its ICMP, and with a firewall that swallows it."""

from harness import PEER, PREFIX, STACK, expect, field, run

FAR = "198.19.0.1"  # the router's other side
BEYOND = "198.19.0.2"  # the kernel behind it
MB = 1_000_000


def routed(bench, mtu, icmp):
    """stack0 -- left0 [middle, a router] right0, of a smaller MTU -- peer0; the peer announces full segments all the same."""
    bench.connect(middle=True)
    middle = ["ip", "netns", "exec", bench.middle]
    run(["ip", "-n", bench.middle, "addr", "add", f"{PEER}/{PREFIX}", "dev", "left0"])
    run(["ip", "-n", bench.middle, "addr", "add", f"{FAR}/24", "dev", "right0"])
    run([*middle, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"])
    run(["ip", "-n", bench.middle, "link", "set", "right0", "mtu", str(mtu)])
    run(["ip", "-n", bench.peer, "addr", "flush", "dev", "peer0"])
    run(["ip", "-n", bench.peer, "addr", "add", f"{BEYOND}/24", "dev", "peer0"])
    run(["ip", "-n", bench.peer, "route", "add", f"{STACK}/32", "via", FAR, "mtu", str(mtu), "advmss", "1460"])
    if not icmp:
        # What the router itself says by ICMP has no way out.
        run(["ip", "-n", bench.middle, "rule", "add", "pref", "1", "iif", "lo", "ipproto", "icmp", "blackhole"])


def counters_of(text):
    return {line.split()[1]: int(line.split()[2]) for line in text.splitlines() if line.startswith("stats ")}


def narrow_link(bench, mtu, icmp):
    routed(bench, mtu, icmp)
    bench.kernel_echo()
    # Without ICMP, the search below the black hole takes several probes, which must end before the data do.
    size = 20 * MB if icmp else 200 * MB
    out = bench.start([bench.programs.load, "bulk", "--direction", "echo", "--host", BEYOND, "--bytes", size,
                       "--timeout", 90, "--stats", *bench.stack_options(), "--gw", PEER], bench.stack).succeed(100)
    expect(int(field(out, "bytes")) == size and field(out, "intact") == "yes", out)
    told = counters_of(out)
    found = {name: told.get(f"tcp.{name}", 0) for name in ("TcpPathMtuReduced", "TcpMtuBlackHole", "TcpExtTCPMTUPSuccess")}
    if icmp:
        expect(found["TcpPathMtuReduced"] >= 1 and found["TcpMtuBlackHole"] == 0, f"{found}: {out}")
    else:
        expect(found["TcpPathMtuReduced"] == 0 and found["TcpMtuBlackHole"] >= 1, f"{found}: {out}")
        expect(found["TcpExtTCPMTUPSuccess"] >= 1, f"no larger size was found: {found}: {out}")


def add_cases(add):
    for mtu in (1400, 576):
        add(f"a link of MTU {mtu} behind a router", narrow_link, mtu, True)
        add(f"a link of MTU {mtu} behind a router whose ICMP is lost", narrow_link, mtu, False)
