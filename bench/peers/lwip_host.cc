#include "lwip_host.h"

#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/timeouts.h>

#include <algorithm>
#include <stdexcept>

#include "link/gso.h"

namespace millrace::bench {

namespace {

constexpr auto kTimers = std::chrono::milliseconds(1);

ip4_addr_t to_lwip(std::uint32_t host_order) {
  return {lwip_htonl(host_order)};
}

void require(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string("lwIP: ") + what);
}

}  // namespace

LwipHost::LwipHost(const std::string& device, const IpPrefix& address)
    : port_(device, {&address, 1}), next_timers_(Clock::now()) {
  lwip_init();
  const ip4_addr_t own = to_lwip(address.address.v4_value()), gateway{};
  const ip4_addr_t mask = to_lwip(address.length == 0 ? 0 : ~std::uint32_t{0} << (32 - address.length));
  require(netif_add(&interface_, &own, &mask, &gateway, this, &LwipHost::start, &netif_input) != nullptr,
          "no interface");
  netif_set_default(&interface_);
  netif_set_up(&interface_);
  netif_set_link_up(&interface_);
}

LwipHost::~LwipHost() {
  netif_remove(&interface_);
}

err_t LwipHost::start(netif* interface) {
  const LwipHost& self = *static_cast<LwipHost*>(interface->state);
  const MacAddress mac = self.port_.device->mac();
  interface->name[0] = 'm';
  interface->name[1] = 'r';
  interface->mtu = static_cast<u16_t>(std::min(self.port_.device->mtu(), 1500U));
  interface->hwaddr_len = ETH_HWADDR_LEN;
  std::copy(mac.bytes.begin(), mac.bytes.end(), interface->hwaddr);
  interface->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
  interface->output = &etharp_output;
  interface->linkoutput = &LwipHost::send;
  return ERR_OK;
}

// --- frames

void LwipHost::poll() {
  if (port_.receive(in_) > 0) {
    for (Packet& frame : in_) deliver(frame);
    in_.clear();
  }
  if (const auto now = Clock::now(); now >= next_timers_) {
    sys_check_timeouts();
    next_timers_ = now + kTimers;
  }
  port_.send(out_);
}

void LwipHost::deliver(Packet& frame) {
  // lwIP adds up every checksum, so that one a kernel's end of the wire has left to its device must be there.
  if (frame.offload.rx_checksum == Offload::RxChecksum::kPartial) {
    frame.offload.needs_checksum = true;
    if (!link::complete_checksum(frame)) return;
  }
  const auto length = static_cast<u16_t>(std::min(frame.length(), 0xffffU));
  pbuf* copy = pbuf_alloc(PBUF_RAW, length, PBUF_RAM);
  if (copy == nullptr) return;
  frame.copy_out(0, {static_cast<std::uint8_t*>(copy->payload), length});
  if (interface_.input(copy, &interface_) != ERR_OK) pbuf_free(copy);
}

err_t LwipHost::send(netif* interface, pbuf* frame) {
  LwipHost& self = *static_cast<LwipHost*>(interface->state);
  PacketPtr packet = self.port_.pool.allocate(frame->tot_len);
  if (!packet) return ERR_MEM;
  pbuf_copy_partial(frame, packet->put(frame->tot_len), frame->tot_len, 0);
  self.out_.push_back(std::move(packet));
  return ERR_OK;
}

// --- the echo server

void LwipHost::listen(std::uint16_t port) {
  tcp_pcb* bound = tcp_new();
  require(bound != nullptr && tcp_bind(bound, IP4_ADDR_ANY, port) == ERR_OK, "cannot bind");
  tcp_pcb* listener = tcp_listen(bound);
  require(listener != nullptr, "cannot listen");
  tcp_accept(listener, &LwipHost::on_accept);
}

err_t LwipHost::on_accept(void* /*self*/, tcp_pcb* connection, err_t error) {
  if (error != ERR_OK || connection == nullptr) return ERR_VAL;
  tcp_nagle_disable(connection);
  tcp_recv(connection, &LwipHost::on_data);
  return ERR_OK;
}

err_t LwipHost::on_data(void* /*self*/, tcp_pcb* connection, pbuf* data, err_t /*error*/) {
  if (data == nullptr) return tcp_close(connection);
  if (data->tot_len > tcp_sndbuf(connection)) return ERR_MEM;  // it is offered again
  for (const pbuf* part = data; part != nullptr; part = part->next) {
    if (tcp_write(connection, part->payload, part->len, TCP_WRITE_FLAG_COPY) == ERR_OK) continue;
    tcp_abort(connection);
    pbuf_free(data);
    return ERR_ABRT;
  }
  tcp_recved(connection, data->tot_len);
  pbuf_free(data);
  return tcp_output(connection);
}

}  // namespace millrace::bench
