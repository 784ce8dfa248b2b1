"""The dpdk: driver on a PCI NIC in a virtual machine, against the kernel outside: prints TAP. Needs root.

    guest [ millrace-echo on dpdk:0000:00:04.0 ]====( QEMU's NIC, a TAP interface )====[ peer0 ] namespace [ millrace-load ]
            198.18.0.2                                                             198.18.0.1

--case picks by a regular expression. --address and --no-server are there to see cases fail.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

import guest as virtual  # noqa: E402
import testbed  # noqa: E402
from testbed import PREFIX, STACK, expect  # noqa: E402

NEEDED = ("qemu-system-x86_64", "busybox", "cpio", "depmod", "setpriv")
CASES = [  # NIC, its driver in Linux, who gives it to programs, IOMMU, hugepages
    ("e1000e", "e1000e", "vfio-pci", True, True),
    ("e1000e", "e1000e", "uio_pci_generic", False, True),
    ("virtio-net-pci", "virtio_pci", "vfio-pci", True, True),
    ("virtio-net-pci", "virtio_pci", "vfio-pci", True, False),
    ("virtio-net-pci", "virtio_pci", "uio_pci_generic", False, True),
    ("e1000", "", "vfio-pci", True, True),  # has no MSI-X
]
BULK = 10_000_000
QUEUES = 2
# Of all devices; each has more of its own.
MUST_BE_ZERO = ("TcpInCsumErrors", "UdpInCsumErrors", "IpExtInCsumErrors", "IcmpInCsumErrors", "device.RxBadChecksum",
                "device.RxDropped", "device.RxTruncated", "device.RxNoMemory", "device.TxErrors")


class Bench(testbed.Bench):
    """The TAP interface in its namespace, and what machines are made of."""

    def __init__(self, options, kernel, initramfs):
        super().__init__(options, "tap")
        self._kernel = kernel
        self._initramfs = initramfs

    def boot(self, nic, iommu, queues=1):
        if queues > 1:
            self.TAPS = {"tap": (["multi_queue"], [])}
        self.connect()
        return virtual.Guest(self, self._kernel.image, self._initramfs, nic, iommu, queues)

    def load(self, mode, *options):
        """millrace-load outside, which checks what comes back."""
        said = self.start([self.programs.load, mode, "--host", STACK, "--timeout", 60, *options], self.peer).succeed(70)
        expect('intact="yes"' in said, f"not intact: {said.strip()}")


def doctor(machine, spec):
    """{subject: (severity, the rest of the line)}, and shows what it said."""
    _, said = machine.ask(f"millrace doctor '{spec}' --addr {STACK}/{PREFIX}")
    for line in said.splitlines():
        print(f"# doctor: {line}", flush=True)
    return {subject.strip(): (severity, text) for severity, subject, text in
            re.findall(r"^(ok|warn|bad) +(.+?)  +(.*)$", said, re.MULTILINE)}


def says(findings, subject, severity, *words):
    found = findings.get(subject, ("nothing", ""))
    expect(found[0] == severity and all(word in found[1] for word in words), f"doctor on {subject}: {' '.join(found)}")


def before_binding(machine, spec, server, kernel_driver, driver, iommu, hugepages):
    """A device that Linux has, and a machine that is not ready: each lack is one line."""
    # The second comes with the first elsewhere, where modprobe is not busybox's.
    machine.do(f"modprobe -a vfio-pci vfio_iommu_type1 {kernel_driver}")
    nic = f"PCI {virtual.PCI_ADDRESS}"
    findings = doctor(machine, spec)
    says(findings, nic, "bad", f"--bind={driver}")
    says(findings, "IOMMU", "ok" if iommu else "bad", "on" if iommu else "no mode without one")
    says(findings, "hugepages", "warn" if iommu else "bad", "none")
    machine.refuse(server, "cannot be opened", "millrace doctor dpdk:")
    machine.refuse(server.replace(virtual.PCI_ADDRESS, "0000:00:1e.0"), "no such PCI device")
    machine.bind(driver)
    if not iommu:
        machine.refuse(server, "hugepages", "sysctl -w vm.nr_hugepages")
    if hugepages:
        machine.do("echo 100 >/proc/sys/vm/nr_hugepages")
    findings = doctor(machine, spec)
    says(findings, nic, "ok", f"driver {driver}")
    says(findings, "hugepages", *(("ok", "100 of 2048kB") if hugepages else ("warn", "none")))
    expect(all(severity != "bad" for severity, _ in findings.values()), "doctor finds something bad on a machine that is ready")


def start(machine, server):
    """In the background; waits until it serves, or has ended."""
    machine.do(f"{server} >/tmp/log 2>&1 &")
    machine.do("while ! grep -q serving /tmp/log && pidof millrace-echo; do sleep 0.2; done; cat /tmp/log; "
               "grep -q serving /tmp/log")


def counters(machine):
    said = machine.do("millrace stats -z")
    values = {name: int(value) for name, value in re.findall(r"^(\S*?[a-zA-Z_]) *(\d+)$", said, re.MULTILINE)}
    for name, value in values.items():
        if value != 0 and name.startswith(("Ip", "Tcp", "Udp", "device.")):
            print(f"# stats: {name} {value}", flush=True)
    return values


def serves(bench, nic, kernel_driver, driver, iommu, hugepages):
    """A server on the NIC: round trips, a stream with equal hashes, datagrams; and what is said about it."""
    # Behind an IOMMU other memory does, too; less of it is sooner pinned.
    spec = f"dpdk{'' if hugepages else '(memory=128)'}:{bench.programs.address}"
    machine = bench.boot(nic, iommu)
    server = f"millrace-echo --dev '{spec}' --addr {STACK}/{PREFIX}"
    before_binding(machine, spec, server, kernel_driver, driver, iommu, hugepages)
    if not bench.programs.no_server:
        start(machine, server)
    # Its sleep has to end when a frame comes.
    bench.load("rr", "--count", 200, "--size", 64)
    bench.load("bulk", "--direction", "echo", "--bytes", BULK)
    bench.load("udp", "--count", 200, "--size", 64)
    seen = counters(machine)
    for name in MUST_BE_ZERO:
        expect(seen.get(name) == 0, f"{name} is {seen.get(name)}")
    expect(seen["device.TxBytes"] >= BULK and seen["device.RxBytes"] >= BULK, "bytes are missing in the counters")
    expect(seen["device.tx_good_packets"] == seen["device.TxPackets"], "frames were lost in the device")
    attached = seen["device.TxBytesAttached"]
    expect(attached >= BULK * 9 // 10, f"only {attached} bytes were sent from where they lay")
    expect(re.search(rf"LISTEN .*0\.0\.0\.0:7 ", machine.do("millrace ss -tan")), "millrace ss does not show the server")
    machine.do("kill $(pidof millrace-echo); wait; grep -v serving /tmp/log; true")
    # The device was given back: it can be had again.
    start(machine, server)
    bench.load("rr", "--count", 20, "--size", 64)
    machine.power_off()


def several_queues(bench):
    """The device's hash is the one that Millrace computes: frames come in by the queues where their flows are at home."""
    machine = bench.boot("virtio-net-pci", iommu=True, queues=QUEUES)
    machine.do("modprobe -a vfio-pci vfio_iommu_type1 virtio_pci && echo 100 >/proc/sys/vm/nr_hugepages")
    machine.bind("vfio-pci")
    start(machine, f"millrace-echo --queues {QUEUES} --dev 'dpdk:{bench.programs.address}' --addr {STACK}/{PREFIX}")
    bench.load("rr", "--connections", 100, "--count", 4000, "--size", 64)
    bench.load("bulk", "--direction", "echo", "--bytes", BULK)
    bench.load("udp", "--connections", 20, "--count", 400, "--size", 64)
    seen = counters(machine)
    for name in MUST_BE_ZERO:
        expect(seen.get(name) == 0, f"{name} is {seen.get(name)}")
    for queue in range(QUEUES):
        frames = seen[f"device.rx_q{queue}_good_packets"]
        expect(frames >= seen["device.RxPackets"] / QUEUES / 4, f"queue {queue} has received {frames} of {seen['device.RxPackets']}")
    # ARP is for all. Were it chance where a flow comes in, every other connection would begin in the wrong one.
    expect(seen["device.HandedOver"] <= 10, f"{seen['device.HandedOver']} frames came in by the wrong queue")
    machine.power_off()


def main():
    parser = argparse.ArgumentParser()
    for program in ("echo", "load", "millrace", "plugin"):
        parser.add_argument(f"--{program}", required=True, type=os.path.abspath)
    parser.add_argument("--cache", required=True, type=os.path.abspath, help="where the kernel is kept")
    parser.add_argument("--address", default=virtual.PCI_ADDRESS, help="another one than the NIC's")
    parser.add_argument("--no-server", action="store_true")
    testbed.add_case_options(parser)
    options = parser.parse_args()
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        print(f"1..1\nok 1 - pci # SKIP needs {', '.join(missing)}: tests/run.sh --suite pci installs them")
        return 0
    testbed.end_on_signals()
    with tempfile.TemporaryDirectory(prefix="millrace-pci-") as folder:
        kernel = virtual.Kernel(options.cache)
        initramfs = virtual.make_initramfs(options, kernel, folder)
        cases = testbed.cases_of([sys.modules[__name__]])
        return testbed.run_cases(options, cases, lambda: Bench(options, kernel, initramfs))


def add_cases(add):
    for case in CASES:
        nic, _, driver, iommu, hugepages = case
        add(f"{nic}, {driver}, {'IOMMU' if iommu else 'no IOMMU'}{'' if hugepages else ', no hugepages'}", serves, *case)
    add("virtio-net-pci, vfio-pci, IOMMU, several queues", several_queues)


if __name__ == "__main__":
    sys.exit(main())
