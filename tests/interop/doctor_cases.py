"""What `millrace doctor` finds at the stack's end of a veth, and whether the commands that it names mend it."""

import json
import re

from harness import STACK, expect, run

IPV6 = "/proc/sys/net/ipv6/conf/stack0/disable_ipv6"


def shell(namespace, command):
    return run(["ip", "netns", "exec", namespace, "sh", "-c", command])


def diagnose(bench, *arguments, status):
    """The findings, one a dictionary."""
    program = bench.start([bench.programs.millrace, "doctor", "--json", *arguments], bench.stack)
    expect(program.wait(20) == status, f"{arguments}: status {program.wait()}: {program.output()}")
    answer = json.loads(program.output())
    for severity in ("bad", "warn"):
        counted = sum(finding["severity"] == severity for finding in answer["findings"])
        expect(answer[severity] == counted, f"{severity}: {answer}")
    expect((answer["bad"] > 0) == (status == 1), f"the status is not that of the findings: {answer}")
    for finding in answer["findings"]:
        expect((finding["severity"] == "ok") == (finding["remedy"] == ""), f"severity and remedy: {finding}")
    return answer["findings"]


def subjects(findings, *severities):
    return {finding["subject"] for finding in findings if finding["severity"] in severities}


def mend(bench, findings, *names):
    """Does what the doctor says about some subjects."""
    chosen = [finding for finding in findings if finding["subject"] in names and finding["remedy"]]
    expect({finding["subject"] for finding in chosen} == set(names), f"not all of {names}: {findings}")
    for finding in chosen:
        shell(bench.stack, finding["remedy"])


def healthy(bench):
    """A link that is well: nothing bad, a line a check, and the machine's interfaces when none is named."""
    bench.connect()
    device = ["af_packet:stack0", "--addr", f"{STACK}/24"]
    findings = diagnose(bench, *device, status=0)
    names = subjects(findings, "ok")
    for name in (f"address {STACK}", "stack0: link", "stack0: MTU", "stack0: offloads", "stack0: peer", "stack0: IPv6"):
        expect(name in names, f"{name} is not well: {findings}")
    text = bench.start([bench.programs.millrace, "doctor", *device], bench.stack).succeed(20)
    lines = text.splitlines()
    expect(len(lines) == len(findings), f"not a line a check: {text}")
    expect(all(re.match(r"(ok  |warn|bad )  \S", line) for line in lines), text)
    machine = {finding["subject"]: finding["message"] for finding in diagnose(bench, status=0)}
    expect("will not do" in machine["lo"] and "af_packet:stack0" in machine["stack0"], str(machine))


def kernel_address(bench):
    """The kernel has the stack's address: bad, until what the doctor says is done."""
    bench.connect()
    shell(bench.stack, f"ip addr add {STACK}/24 dev stack0")
    device = ["af_packet:stack0", "--addr", f"{STACK}/24"]
    findings = diagnose(bench, *device, status=1)
    expect(subjects(findings, "bad") == {f"address {STACK}"}, str(findings))
    expect(f"ip addr del {STACK}/24 dev stack0" in str(findings), str(findings))
    mend(bench, findings, f"address {STACK}")
    expect(not run(["ip", "-n", bench.stack, "-4", "addr", "show", "dev", "stack0"]), "the address is still there")
    diagnose(bench, *device, status=0)


def links(bench):
    """Either end down, and IPv6 left on: the commands bring them where they should be."""
    bench.connect()
    device = ["af_packet:stack0", "--addr", f"{STACK}/24"]
    bench.set_link(False)
    findings = diagnose(bench, *device, status=1)
    expect(subjects(findings, "bad") == {"stack0: link"} and "peer0" in str(findings), str(findings))
    mend(bench, findings, "stack0: link")
    shell(bench.stack, f"ip link set stack0 down; echo 0 >{IPV6}")
    findings = diagnose(bench, *device, status=1)
    expect(subjects(findings, "bad") == {"stack0: link"}, str(findings))
    expect("ip link set dev stack0 up" in str(findings), str(findings))
    mend(bench, findings, "stack0: IPv6", "stack0: link")  # in the order in which they are told
    findings = diagnose(bench, *device, status=0)
    expect("stack0: IPv6" in subjects(findings, "ok"), str(findings))
    expect("inet6" not in run(["ip", "-n", bench.stack, "addr", "show", "dev", "stack0"]), "the kernel has an address")


def offloads(bench):
    """What the peer leaves undone is the cause of drops on one driver, and what another one lives on."""
    bench.connect()
    for device in ("xdp:stack0", "dpdk:net_af_packet0,iface=stack0"):
        findings = diagnose(bench, device, status=1)
        expect("stack0: peer" in subjects(findings, "bad") and "checksum" in str(findings), str(findings))
    expect("stack0: peer" in subjects(diagnose(bench, "af_packet:stack0", status=0), "ok"), "super-frames are welcome")
    mend(bench, findings, "stack0: peer")
    features = bench.in_peer("ethtool", "-k", "peer0")
    for name in ("tx-checksumming", "tcp-segmentation-offload", "generic-segmentation-offload"):
        expect(re.search(rf"^{name}: off", features, re.MULTILINE), f"{name} is not off: {features}")
    for device in ("xdp:stack0", "dpdk:net_af_packet0,iface=stack0"):
        program = bench.start([bench.programs.millrace, "doctor", "--json", device], bench.stack)
        program.wait(20)  # whatever else this build and machine lack
        expect("stack0: peer" in subjects(json.loads(program.output())["findings"], "ok"), program.output())
    findings = diagnose(bench, "af_packet:stack0", status=0)
    mend(bench, findings, "stack0: peer")
    expect("stack0: peer" in subjects(diagnose(bench, "af_packet:stack0", status=0), "ok"), "not as before")


def unprivileged(bench):
    """Without privileges: the command that gives them, and nothing else goes wrong."""
    bench.connect()
    program = bench.start(["setpriv", "--bounding-set=-all", "--inh-caps=-all", bench.programs.millrace, "doctor",
                           "--json", "af_packet:stack0"], bench.stack)
    expect(program.wait(20) == 1, program.output())
    findings = json.loads(program.output())["findings"]
    expect(subjects(findings, "bad") == {"privileges"}, str(findings))
    expect(f"setcap cap_net_raw,cap_net_admin,cap_bpf+ep {bench.programs.millrace}" in str(findings), str(findings))


def bad_usage(bench):
    for arguments, pattern in ((["eth0"], "eth0"), (["foo:bar"], "unknown driver"), (["dpdk:eth0"], "PCI address"),
                               (["af_packet:x", "y"], "y"), (["--addr", "198.18.0.300/24"], "198.18.0.300"),
                               (["--xml"], "--xml")):
        program = bench.start([bench.programs.millrace, "doctor", *arguments])
        expect(program.wait(10) == 2, f"{arguments}: status {program.wait()}: {program.output()}")
        lines = program.output().splitlines()
        expect(len(lines) == 1 and lines[0].startswith("millrace: ") and pattern in lines[0], program.output())


def add_cases(add):
    add("millrace doctor: all is well", healthy)
    add("millrace doctor: an address of the kernel's", kernel_address)
    add("millrace doctor: links that are down", links)
    add("millrace doctor: a peer's offloads", offloads)
    add("millrace doctor: without privileges", unprivileged)
    add("millrace doctor: bad usage", bad_usage)
