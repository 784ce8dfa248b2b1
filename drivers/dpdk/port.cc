#include "dpdk/port.h"

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <thread>

#include "af_packet/interface_info.h"
#include "dpdk/descriptor_signals.h"
#include "dpdk/device_arguments.h"
#include "dpdk/eal.h"
#include "dpdk/pci_binding.h"
#include "dpdk/peer_socket.h"
#include "frame_headers.h"

namespace millrace::drivers::dpdk {
namespace {

constexpr std::uint64_t kRxOffloads = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM |
                                      RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_LRO |
                                      RTE_ETH_RX_OFFLOAD_SCATTER;
constexpr std::uint64_t kTxOffloads = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM |
                                      RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO |
                                      RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
constexpr std::uint64_t kChecksums = RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
constexpr std::uint64_t kTxChecksums = RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
constexpr std::uint32_t kMbufRoom = 2048;
/// vhost copies what comes in into mbufs that it takes for that: fewer for a super-frame, and yet the same
/// few for small ones. With all of their ring in use, as others have it, larger ones only fill the caches.
constexpr std::uint32_t kVhostMbufRoom = 4096 - RTE_PKTMBUF_HEADROOM;
/// A device that lost its peer gets time to notice before it is closed; then we look whether the peer is
/// back.
constexpr Duration kLookAtLink = 20ms;
constexpr Duration kPatience = 1s;
constexpr std::chrono::milliseconds kSettle{50};
constexpr std::chrono::milliseconds kRetry{200};

std::string reason(int result) {
  const std::string said = Eal::instance().take_complaint();
  return said.empty() ? rte_strerror(result < 0 ? -result : rte_errno) : said;
}

bool is_up(std::uint16_t port) {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

/// Those that are open in this process, and being opened, by their devices' names; the EAL's thread alone
/// looks here.
std::map<std::string, std::weak_ptr<Port>>& open_ports() {
  static auto* const ports = new std::map<std::string, std::weak_ptr<Port>>;
  return *ports;
}

}  // namespace

std::shared_ptr<Port> Port::open(const DpdkConfig& config, std::string& error) {
  Eal& eal = Eal::instance();
  EalOptions options;
  options.arguments = config.eal;
  options.memory_mb = config.memory_mb;
  if (is_pci_address(config.device)) {
    options.pci_address = device_name(with_whole_address(config.device));
    options.physical_addresses = !PciBinding::of(options.pci_address).has_iommu;
  }
  error = eal.start(options);
  if (!error.empty()) return nullptr;
  std::shared_ptr<Port> port{new Port};
  const auto set_up = [&] {
    error = port->set_up(config);
    if (error.empty()) open_ports()[port->device_name_] = port;
  };
  if (!eal.run(set_up))
    error = "DPDK runs in the process that this one was forked from, and cannot be used here";
  if (!error.empty()) port.reset();
  return port;
}

std::shared_ptr<Port> Port::find(const DpdkConfig& config, std::string& error) {
  const std::string name = device_name(with_whole_address(config.device));
  std::shared_ptr<Port> port;
  Eal::instance().run([&] {
    if (const auto at = open_ports().find(name); at != open_ports().end()) port = at->second.lock();
  });
  if (port != nullptr && port->queues_.size() == config.queues) return port;
  error = "device " + name + " is not open with " + std::to_string(config.queues) + " queues";
  return nullptr;
}

Port::~Port() {
  Eal& eal = Eal::instance();
  eal.run([this, &eal] {
    eal.withdraw(this);
    close();
    queues_.clear();
    if (claimed_) open_ports().erase(device_name_);
  });
}

std::string Port::set_up(const DpdkConfig& config) {
  config_ = config;
  device_ = with_defaults(with_whole_address(config.device), config.rx_slots, config.queues);
  device_name_ = device_name(device_);
  dies_with_peer_ = dpdk::dies_with_peer(device_);
  is_vhost_ = device_name_.starts_with("net_vhost");
  if (is_vhost_) vhost_peer_.set_socket(argument_of(device_, "iface"));
  is_tap_ = device_name_.starts_with("net_tap");
  claimed_ = open_ports().try_emplace(device_name_).second;
  if (!claimed_) return "device " + device_name_ + " is open already; its queues cannot be had one by one";
  if (std::string error = probe(); !error.empty()) return error;
  rte_eth_dev_info info;
  if (const int result = rte_eth_dev_info_get(id_, &info); result != 0)
    return "device " + device_name_ + " does not say what it can do: " + reason(result);
  if (const int most = std::min(info.max_rx_queues, info.max_tx_queues); config.queues > most) {
    return "device " + device_name_ + " has " + std::to_string(most) + (most == 1 ? " queue" : " queues") +
           ", not " + std::to_string(config.queues);
  }
  read_capabilities(info);
  if (std::string error = make_queues(config.queues); !error.empty()) return error;
  return start();
}

std::string Port::probe() {
  Eal& eal = Eal::instance();
  (void)eal.take_complaint();
  remove_dead_socket(listening_socket(device_));
  // A PCI device that was named to the EAL is probed already.
  if (rte_eth_dev_get_port_by_name(device_name_.c_str(), &id_) == 0) return {};
  const int result = rte_dev_probe(device_.c_str());
  if (result != 0 || rte_eth_dev_get_port_by_name(device_name_.c_str(), &id_) != 0) {
    id_ = RTE_MAX_ETHPORTS;
    std::string why;
    if (is_pci_address(device_)) why = PciBinding::of(device_name_).obstacle(device_name_);
    if (why.empty()) why = reason(result);
    return "device \"" + device_ + "\" cannot be opened: " + why;
  }
  return {};
}

void Port::read_capabilities(const rte_eth_dev_info& info) {
  conf_ = {};
  conf_.rxmode.offloads = info.rx_offload_capa & kRxOffloads;
  conf_.txmode.offloads = info.tx_offload_capa & kTxOffloads;
  multi_segment_ = (conf_.txmode.offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
  // 0 where the device knows no limit; the default is a frame.
  if ((conf_.rxmode.offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO) != 0)
    conf_.rxmode.max_lro_pkt_size = info.max_lro_pkt_size;
  std::uint16_t mtu = RTE_ETHER_MTU;
  (void)rte_eth_dev_get_mtu(id_, &mtu);
  // net_af_packet does not ask the interface for its own.
  InterfaceInfo interface;
  if (device_name_.starts_with("net_af_packet") && query_interface(argument_of(device_, "iface"), interface))
    mtu = static_cast<std::uint16_t>(std::min<std::uint32_t>(mtu, interface.mtu));
  mtu_ = config_.mtu != 0 ? config_.mtu : mtu;
  conf_.rxmode.mtu = mtu_;
  one_interrupt_ = is_pci_address(device_) && PciBinding::of(device_name_).one_interrupt;
  // net_tap misses a change before it has started, and gives the state of the last one it saw ever after;
  // asked without, it looks.
  tells_link_ = !one_interrupt_ && (*info.dev_flags & RTE_ETH_DEV_INTR_LSC) != 0 && !is_tap_;
  conf_.intr_conf.lsc = tells_link_ ? 1 : 0;
  // net_tap has it for rules of rte_flow's only: the kernel picks the queue.
  if (config_.queues > 1 && !is_tap_) rss_.ask(info, conf_);

  max_segments_ = info.tx_desc_lim.nb_seg_max == UINT16_MAX ? std::uint16_t{0} : info.tx_desc_lim.nb_seg_max;
  caps_ = {};
  caps_.scatter = true;  // at worst by a copy
  caps_.tx_checksum = (conf_.txmode.offloads & kTxChecksums) == kTxChecksums;
  caps_.rx_checksum = (conf_.rxmode.offloads & kChecksums) == kChecksums;
  caps_.lro = (conf_.rxmode.offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO) != 0;
  // net_vhost hands super-frames to a guest that takes them, and does not advertise that.
  const bool segments = (conf_.txmode.offloads & RTE_ETH_TX_OFFLOAD_TCP_TSO) != 0 ||
                        (is_vhost_ && argument_of(device_, "tso") == "1");
  // net_tap cuts them in software, with 128 mbufs, and refuses what needs more: the stack does that better.
  caps_.tso = segments && caps_.tx_checksum && multi_segment_ && !is_tap_;
  caps_.max_gso_bytes = caps_.tso ? kMaxGsoBytes : 0;
  // The end of a program like this one looks for a free descriptor and waits. Behind a file in /dev there is
  // a kernel or a card. A switch may drop what it finds no room for, as it would before a slow machine.
  caps_.senders_wait =
      is_vhost_ || device_name_.starts_with("net_memif") ||
      (device_name_.starts_with("net_virtio_user") && !argument_of(device_, "path").starts_with("/dev/"));
  // What virtio_user would do there, our checksum field needs none of; see set_tx_offload().
  prepare_ = (conf_.txmode.offloads & kTxChecksums) != 0 && !device_name_.starts_with("net_virtio_user");
}

std::string Port::make_queues(std::uint16_t count) {
  const std::uint32_t frame = mtu_ + kEthernetHeader + kVlanTag;
  const bool scatter = (conf_.rxmode.offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0 || is_vhost_;
  RxQueue::Config rx;
  rx.slots = config_.rx_slots;
  rx.lendable = config_.pool;
  rx.room = is_vhost_ ? kVhostMbufRoom : scatter ? kMbufRoom : std::max(kMbufRoom, frame);
  TxQueue::Config tx;
  tx.slots = config_.tx_slots;
  tx.room = multi_segment_ ? kMbufRoom : std::max(kMbufRoom, frame);
  tx.multi_segment = multi_segment_;
  tx.max_segments = max_segments_;
  tx.prepare = prepare_;
  for (std::uint16_t i = 0; i < count; ++i) {
    queues_.push_back(std::make_unique<QueuePair>());
    if (std::string error = queues_.back()->rx.open(rx); !error.empty()) return error;
    if (std::string error = queues_.back()->tx.open(tx); !error.empty()) return error;
    if (is_vhost_) vhost_peer_.add_queue(queues_.back()->rx.vhost_ring(), queues_.back()->tx.vhost_ring());
  }
  return {};
}

std::string Port::configure(const rte_eth_dev_info& info, bool interrupts) {
  conf_.intr_conf.rxq = interrupts ? 1 : 0;
  const auto count = static_cast<std::uint16_t>(queues_.size());
  if (const int result = rte_eth_dev_configure(id_, count, count, &conf_); result != 0)
    return "device " + device_name_ + " does not take its configuration: " + reason(result);
  if (std::string error = set_up_queues(info); !error.empty()) return error;
  if (const int result = rte_eth_dev_start(id_); result != 0)
    return "device " + device_name_ + " does not start: " + reason(result);
  return {};
}

std::string Port::set_up_queues(const rte_eth_dev_info& info) {
  auto rx_slots = static_cast<std::uint16_t>(config_.rx_slots);
  auto tx_slots = static_cast<std::uint16_t>(config_.tx_slots);
  (void)rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx_slots, &tx_slots);
  rte_eth_rxconf rx_conf = info.default_rxconf;
  rx_conf.offloads = conf_.rxmode.offloads;
  rte_eth_txconf tx_conf = info.default_txconf;
  tx_conf.offloads = conf_.txmode.offloads;
  const auto socket = static_cast<unsigned>(rte_eth_dev_socket_id(id_));
  for (std::uint16_t i = 0; const auto& queue : queues_) {
    QueuePair& pair = *queue;
    pair.rx.attach(id_, i);
    pair.tx.attach(id_, i);
    int result = rte_eth_rx_queue_setup(id_, i, rx_slots, socket, &rx_conf, pair.rx.pool());
    if (result == 0) result = rte_eth_tx_queue_setup(id_, i, tx_slots, socket, &tx_conf);
    if (result != 0) return "device " + device_name_ + " does not set its queues up: " + reason(result);
    ++i;
  }
  return {};
}

std::string Port::start() {
  rte_eth_dev_info info;
  if (const int result = rte_eth_dev_info_get(id_, &info); result != 0)
    return "device " + device_name_ + " does not say what it can do: " + reason(result);
  // Before the configuration: net_vhost's peer may come with that already.
  if (tells_link_) (void)rte_eth_dev_callback_register(id_, RTE_ETH_EVENT_INTR_LSC, &on_link, this);
  std::string error = configure(info, !one_interrupt_);
  if (!error.empty() && !one_interrupt_) {
    (void)rte_eth_dev_stop(id_);
    error = configure(info, false);
  }
  if (!error.empty()) return error;
  if (is_tap_) take_tap_signals();
  interrupts_.find(id_, conf_.intr_conf.rxq != 0, is_vhost_ ? &vhost_peer_ : nullptr);
  // Of a port that is open again it is what it was: its users look at it meanwhile.
  if (caps_.can_sleep != interrupts_.there()) caps_.can_sleep = interrupts_.there();
  rss_.apply(id_, info, config_.queues);
  apply_mac();
  (void)Eal::instance().take_complaint();
  was_up_ = false;
  ready_.store(true);
  return {};
}

void Port::apply_mac() {
  rte_ether_addr address{};
  (void)rte_eth_macaddr_get(id_, &address);
  MacAddress own;
  std::memcpy(own.bytes.data(), address.addr_bytes, own.bytes.size());
  // A device probed anew may have drawn another address: the stack goes on with the first.
  if (mac_.is_zero()) {
    mac_ = config_.mac.value_or(own);
    // The kernel's end of net_tap has the device's address; the stack is somebody else.
    if (is_tap_ && !config_.mac) mac_.bytes.back() ^= 1;
  }
  if (is_tap_ || mac_ == own) return;
  std::memcpy(address.addr_bytes, mac_.bytes.data(), mac_.bytes.size());
  if (rte_eth_dev_default_mac_addr_set(id_, &address) != 0) (void)rte_eth_promiscuous_enable(id_);
}

void Port::close() {
  ready_.store(false);
  await_users();
  if (id_ == RTE_MAX_ETHPORTS) return;
  if (tells_link_) forget_link();
  rte_eth_dev_info info{};
  const bool known = rte_eth_dev_info_get(id_, &info) == 0;
  // The answers that net_virtio_user gets while it closes wake the thread of interrupts, whose handler then
  // finds nothing where the port was: nobody waits for it. In that thread itself it cannot be at work
  // meanwhile.
  const auto stop_and_close = [id = id_] {
    (void)rte_eth_dev_stop(id);
    (void)rte_eth_dev_close(id);
  };
  if (!device_name_.starts_with("net_virtio_user") || !Eal::run_among_interrupts(stop_and_close))
    stop_and_close();
  if (known && info.device != nullptr) (void)rte_dev_remove(info.device);
  id_ = RTE_MAX_ETHPORTS;
}

void Port::forget_link() {
  // Refused while it is being called: not for long, as who calls waits for nobody who is here.
  while (rte_eth_dev_callback_unregister(id_, RTE_ETH_EVENT_INTR_LSC, &on_link, this) == -EAGAIN)
    std::this_thread::yield();
  vhost_peer_.lose();
}

void Port::await_users() const {
  if (!is_shared()) return;  // the one there is does not burst while it waits for this
  for (const auto& queue : queues_) {
    while (queue->busy.load()) std::this_thread::yield();
  }
}

// --- the link

int Port::on_link(std::uint16_t id, rte_eth_event_type /*type*/, void* self, void* /*unused*/) {
  auto& port = *static_cast<Port*>(self);
  VhostPeer& peer = port.vhost_peer_;
  if (port.is_vhost_) is_up(id) ? peer.meet(id, port.ready()) : peer.lose();
  tell_link_changed(*port.queues_.front());
  return 0;
}

void Port::look_at_link(Instant now) {
  next_look_ = now + kLookAtLink;
  const bool up = link_up();
  if (up) {
    down_since_ = Instant{};
  } else if (dies_with_peer_) {
    // It met a peer that was about to go, and will hear from nobody.
    if (down_since_ == Instant{}) down_since_ = now;
    if (now - down_since_ >= kPatience) reopen();
  }
  if (up == link_seen_) return;
  link_seen_ = up;
  queues_.front()->link_changed.store(true, std::memory_order_release);
}

void Port::tell_link_changed(QueuePair& queue) {
  queue.link_changed.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  (void)!::write(queue.event_fd.get(), &one, sizeof one);
}

bool Port::take_link_event(QueuePair& queue) {
  if (!queue.link_changed.exchange(false, std::memory_order_acquire)) return false;
  std::uint64_t count = 0;
  (void)!::read(queue.event_fd.get(), &count, sizeof count);
  return true;
}

void Port::saw_link(bool up) {
  if (!is_shared() || seen_up_.load(std::memory_order_relaxed) == up) return;
  seen_up_.store(up, std::memory_order_release);
  std::for_each(queues_.begin() + 1, queues_.end(), [](const auto& queue) { tell_link_changed(*queue); });
}

bool Port::link_up() {
  const bool up = is_up(id_);
  was_up_ |= up;
  return up;
}

void Port::reopen() {
  down_since_ = Instant{};
  // Otherwise another user has closed it, and it will be opened again.
  if (!ready_.exchange(false)) return;
  Eal::instance().post(this, kSettle, [this] {
    close();
    retry();
  });
}

void Port::close_and_reopen() {
  ready_.store(false);
  Eal::instance().run([this] {
    Eal& eal = Eal::instance();
    eal.withdraw(this);
    close();
    eal.post(this, kRetry, [this] { retry(); });
  });
}

void Port::retry() {
  if (id_ != RTE_MAX_ETHPORTS) return;  // another job has opened it, or will close it first
  if (probe().empty()) {
    if (start().empty()) {
      reopened_.fetch_add(1, std::memory_order_relaxed);
      for (const auto& queue : queues_) tell_link_changed(*queue);
      return;
    }
    close();
  }
  Eal::instance().post(this, kRetry, [this] { retry(); });
}

}  // namespace millrace::drivers::dpdk
