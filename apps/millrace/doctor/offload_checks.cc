#include "doctor/link_checks.h"

namespace millrace::doctor {

namespace {

using Kind = Target::Kind;

std::string on_off(const char* name, bool is_on) {
  return std::string(name) + (is_on ? " on" : " off");
}

std::string text_of(const Offloads& offloads) {
  return on_off("tx checksum", offloads.tx_checksum) + ", " + on_off("tso", offloads.tso) + ", " +
         on_off("gso", offloads.gso) + ", " + on_off("gro", offloads.gro) + ", " +
         on_off("lro", offloads.lro);
}

std::string switch_command(const std::string& name, const std::string& what) {
  return "ethtool -K " + name + " " + what;
}

/// The kernel's packet sockets carry super-frames in both directions, and profit from whoever builds them.
Findings for_af_packet(const InterfaceFacts& interface, const std::string& subject) {
  const Offloads& offloads = *interface.offloads;
  Findings findings;
  if (offloads.lro) {
    findings.push_back(warn(subject, "lro on: frames are merged so that nobody can tell them apart again",
                            switch_command(interface.name, "lro off gro on")));
  }
  if (!offloads.tso || !offloads.tx_checksum) {
    findings.push_back(warn(subject,
                            text_of(offloads) + ": the kernel cuts and sums in software what the stack sends",
                            switch_command(interface.name, "tx on sg on tso on")));
  }
  // A veth gets super-frames as such from its peer.
  if (!offloads.gro && !interface.is_veth()) {
    findings.push_back(warn(subject, "gro off: each frame is received for itself, at several times the cost",
                            switch_command(interface.name, "gro on")));
  }
  return findings;
}

Findings for_other(const Target& target, const InterfaceFacts& interface, const std::string& subject) {
  const Offloads& offloads = *interface.offloads;
  if (target.virtual_driver == "net_af_packet" && (offloads.gro || offloads.lro)) {
    return {bad(subject, text_of(offloads) + ": merged frames are larger than the device's slots, and cut",
                switch_command(interface.name, "gro off lro off"))};
  }
  if (offloads.lro) {
    return {
        warn(subject, "lro on: most drivers refuse XDP with it", switch_command(interface.name, "lro off"))};
  }
  return {};
}

Finding unfinished(const std::string& subject, const PeerFacts& peer) {
  const InterfaceFacts& interface = peer.interface;
  return bad(subject,
             interface.name + peer.place + " has " + text_of(*interface.offloads) +
                 ": it leaves checksums and segmentation to a device, here nobody does them, and the stack "
                 "drops its frames for a wrong checksum",
             peer.command_prefix + switch_command(interface.name, "tx off tso off gso off"));
}

}  // namespace

Findings check_offloads(const Examination& examination) {
  if (!examination.interface || !examination.interface->offloads) return {};
  const InterfaceFacts& interface = *examination.interface;
  const std::string subject = interface.name + ": offloads";
  Findings findings = examination.target.kind == Kind::kAfPacket
                          ? for_af_packet(interface, subject)
                          : for_other(examination.target, interface, subject);
  if (findings.empty()) findings.push_back(ok(subject, text_of(*interface.offloads)));
  return findings;
}

Findings check_peer(const Examination& examination) {
  if (!examination.interface || !examination.interface->is_veth()) return {};
  const Target& target = examination.target;
  const std::string subject = examination.interface->name + ": peer";
  if (!examination.peer) {
    if (!target.needs_finished_checksums()) return {ok(subject, "is in a network namespace out of reach")};
    return {warn(
        subject,
        "is in a network namespace out of reach; with tx checksum, tso or gso on there, checksums arrive "
        "unfinished and the stack drops the frames",
        "there: ethtool -K INTERFACE tx off tso off gso off")};
  }
  const PeerFacts& peer = *examination.peer;
  if (!peer.interface.offloads) return {ok(subject, peer.interface.name + peer.place)};
  const Offloads& offloads = *peer.interface.offloads;
  if (target.needs_finished_checksums() && (offloads.tx_checksum || offloads.tso || offloads.gso))
    return {unfinished(subject, peer)};
  if (target.kind == Kind::kAfPacket && !offloads.tso) {
    return {warn(subject,
                 peer.interface.name + peer.place + " has " + text_of(offloads) +
                     ": super-frames do not pass, at several times the cost",
                 peer.command_prefix + switch_command(peer.interface.name, "tx on sg on tso on gso on"))};
  }
  return {ok(subject, peer.interface.name + peer.place + ": " + text_of(offloads))};
}

}  // namespace millrace::doctor
