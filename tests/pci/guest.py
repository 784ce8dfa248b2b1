"""A virtual machine with a NIC on its PCI bus: Debian's kernel, and the bundled programs in an initial RAM disk.

Its processor is emulated, so that it runs wherever QEMU does. Nothing is installed in it or for it: the kernel is unpacked in
the cache, once.
"""

import pathlib
import re
import shutil
import subprocess

from testbed import expect

HERE = pathlib.Path(__file__).resolve().parent
PCI_ADDRESS = "0000:00:04.0"
MAC = "52:54:00:18:00:02"
# Those that give devices to programs, and the NICs' own, from which they are taken.
MODULES = ("vfio-pci", "vfio_iommu_type1", "uio_pci_generic", "e1000e", "virtio_pci", "virtio_net")
# The drivers of DPDK that it takes; all that are there would be loaded.
PMDS = ("bus_pci", "bus_vdev", "mempool_ring", "net_e1000", "net_virtio")


def output_of(*command, timeout=60, cwd=None, stdin=None):
    """What a command prints; fails unless it succeeds."""
    done = subprocess.run(list(map(str, command)), input=stdin or b"", capture_output=True, timeout=timeout, check=False, cwd=cwd)
    expect(done.returncode == 0, f"{command[0]}: status {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


class Kernel:
    """Debian's newest, from the cache."""

    def __init__(self, cache):
        self._root = pathlib.Path(cache) / "kernel"
        if not self._root.exists():
            self._fetch(pathlib.Path(cache) / "unfinished")
        self.image = next(self._root.glob("boot/vmlinuz-*"))
        self.version = self.image.name.removeprefix("vmlinuz-")

    def _fetch(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        depends = output_of("apt-cache", "depends", "linux-image-amd64").decode()
        package = re.search(r"Depends: (linux-image-\S+)", depends)
        expect(package, "apt knows no linux-image-amd64; apt-get update")
        output_of("apt-get", "-o", "APT::Sandbox::User=root", "download", package.group(1), timeout=300, cwd=folder)
        output_of("dpkg", "-x", next(folder.glob("*.deb")), folder / "root", timeout=120)
        version = next((folder / "root/lib/modules").iterdir()).name
        output_of("depmod", "-b", folder / "root", version, timeout=120)
        (folder / "root").rename(self._root)
        shutil.rmtree(folder)

    def copy_modules(self, to):
        """MODULES and what they need."""
        folder = pathlib.Path("lib/modules") / self.version
        wanted = set()
        for name in MODULES:
            listed = output_of("modprobe", "-d", self._root, "-S", self.version, "--show-depends", name).decode()
            wanted |= set(re.findall(r"^insmod (\S+)", listed, re.MULTILINE))
        for path in [*wanted, self._root / folder / "modules.builtin", self._root / folder / "modules.order"]:
            copy(path, to / pathlib.Path(path).relative_to(self._root))
        output_of("depmod", "-b", to, self.version)


def copy(source, to):
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, to)


def copy_with_links(path, root):
    """A file of the system's to its place below `root`, and links on the way to it as they are: DPDK knows its drivers by more than
    one name, and must not find two."""
    path = path.parent.resolve() / path.name
    to = root / path.relative_to("/")
    if to.is_symlink() or to.exists():
        return
    if not path.is_symlink():
        copy(path, to)
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    to.symlink_to(path.readlink())
    copy_with_links(path.parent / path.readlink(), root)


def make_initramfs(programs, kernel, folder):
    """Writes the RAM disk into `folder`; returns its path. Programs and driver lie in it as if they were installed."""
    root = pathlib.Path(folder) / "root"
    for name in ("bin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    copy(HERE / "init.sh", root / "init")
    copy("/bin/busybox", root / "bin/busybox")
    pmds = next(pathlib.Path("/usr/lib/x86_64-linux-gnu/dpdk").glob("pmds-*"))
    drivers = [pmds / f"librte_{name}.so" for name in PMDS]
    ours = [programs.echo, programs.millrace, programs.plugin]
    listed = output_of("ldd", *ours, *drivers).decode()
    libraries = {pathlib.Path(path) for path in re.findall(r"(?:=>|^)\s+(/\S+) \(0x", listed, re.MULTILINE)}
    ours += [path for path in libraries if "millrace" in path.name]
    for path in [*drivers, *sorted(libraries - set(ours))]:
        copy_with_links(path, root)
    for path in map(pathlib.Path, ours):
        to = root / ("lib" if ".so" in path.name else "bin") / path.name
        copy(path, to)
        output_of("strip", "--strip-debug", to)
    kernel.copy_modules(root)
    names = output_of("find", ".", "-print0", cwd=root)
    image = pathlib.Path(folder) / "initramfs"
    image.write_bytes(output_of("cpio", "--null", "--create", "--format=newc", "--quiet", cwd=root, stdin=names))
    return image


class Guest:
    """A machine that runs, and its console. Whatever becomes of the test, the machine ends with it."""

    # A NIC that is not really on the bus has to be told of the IOMMU.
    BEHIND_IOMMU = {"virtio-net-pci": ",disable-legacy=on,iommu_platform=on"}

    def __init__(self, bench, image, initramfs, nic, iommu, queues=1):
        machine = ["-device", "intel-iommu,intremap=on"] if iommu else []
        # A busy machine has the emulated timer come late: nothing for the guest to despair of.
        boot = "no_timer_check " + ("intel_iommu=on iommu=pt" if iommu else "intel_iommu=off")
        device = f"{nic},netdev=wire,mac={MAC},bus=pcie.0,addr=4,romfile={self.BEHIND_IOMMU.get(nic, '') if iommu else ''}"
        wire = "tap,id=wire,ifname=peer0,script=no,downscript=no"
        if queues > 1:
            wire += f",queues={queues}"
            device += f",mq=on,rss=on,vectors={2 * queues + 2}"
        self._asked = 0
        self._console = bench.start(
            ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot",
             "-display", "none", "-serial", "stdio", "-machine", "q35,accel=tcg", "-cpu", "max", "-m", 1024, *machine,
             "-kernel", image, "-initrd", initramfs, "-append", f"console=ttyS0 quiet loglevel=1 panic=-1 {boot}",
             "-netdev", wire, "-device", device],
            bench.peer, stdin=subprocess.PIPE)
        self._console.wait_for("%% guest ready", 90)

    def ask(self, command, seconds=60):
        """(exit status, output) of a shell command in the guest."""
        self._asked += 1
        self._console.write(f"{self._asked} {command}\n")
        answer = self._console.wait_for(rf"^%% {self._asked} begins\n((?:.*\n)*?)%% {self._asked} ends with (\d+)$", seconds)
        return int(answer.group(2)), answer.group(1)

    def do(self, command, seconds=60):
        """The output; fails unless the command succeeds."""
        status, output = self.ask(command, seconds)
        expect(status == 0, f"in the guest: {command}: status {status}: {output.strip()}")
        return output

    def refuse(self, command, *words, seconds=60):
        """Fails unless the command does, and says why in one line, in which these words are."""
        status, output = self.ask(command, seconds)
        expect(status != 0, f"in the guest: {command}: succeeded: {output.strip()}")
        expect(output.count("\n") == 1 and all(word in output for word in words),
               f"in the guest: {command}: said: {output.strip()}")

    def bind(self, driver):
        """As `dpdk-devbind.py --bind=` does."""
        device = f"/sys/bus/pci/devices/{PCI_ADDRESS}"
        self.do(f"modprobe {driver} && echo {driver} >{device}/driver_override && "
                f"{{ [ ! -e {device}/driver ] || echo {PCI_ADDRESS} >{device}/driver/unbind; }} && "
                f"echo {PCI_ADDRESS} >/sys/bus/pci/drivers_probe")

    def power_off(self):
        self._console.write("0 poweroff -f\n")
        expect(self._console.wait(30) == 0, "the machine did not end as it should")
