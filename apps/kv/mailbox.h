#pragma once

#include <atomic>
#include <utility>

namespace millrace::kv {

/// Letters of one thread to another, to be handed over together. A letter has a field `next`; nobody owns it
/// through here.
template <typename Letter>
struct Bundle {
  Letter* newest = nullptr;
  Letter* oldest = nullptr;

  void add(Letter& letter) {
    letter.next = newest;
    newest = &letter;
    if (oldest == nullptr) oldest = &letter;
  }
  [[nodiscard]] bool empty() const { return newest == nullptr; }
};

/// Where a thread gets its letters: any thread puts bundles in, the owner takes all at once. No lock, no
/// bound: whoever writes bounds what is under way. What one thread puts in comes out in its order.
template <typename Letter>
class Mailbox {
 public:
  /// Any thread. The bundle, which is not empty, is empty afterwards.
  void put(Bundle<Letter>& bundle) {
    Letter* head = head_.load();
    do {
      bundle.oldest->next = head;
    } while (!head_.compare_exchange_weak(head, bundle.newest));
    bundle = {};
  }
  /// The owner: the oldest one, and behind it by `next` the others; null: there is none.
  [[nodiscard]] Letter* take() {
    if (empty()) return nullptr;
    Letter* letter = head_.exchange(nullptr);
    Letter* oldest = nullptr;
    while (letter != nullptr) {
      Letter* older = std::exchange(letter->next, oldest);
      oldest = std::exchange(letter, older);
    }
    return oldest;
  }
  [[nodiscard]] bool empty() const { return head_.load() == nullptr; }

 private:
  // Sequentially consistent, as Waker's flag: one of the two who look at both sees what the other did.
  alignas(64) std::atomic<Letter*> head_{nullptr};
};

}  // namespace millrace::kv
