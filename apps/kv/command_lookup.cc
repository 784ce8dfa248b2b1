#include <array>
#include <cstdint>
#include <cstring>

#include "command.h"

namespace millrace::kv {

namespace {

constexpr std::size_t kLongestName = 16;

/// A name of letters as two words, without their case: bit 5 is set in each of its bytes, which makes letters
/// small and nothing else a letter.
struct PackedName {
  std::uint64_t first = 0, second = 0;
  bool operator==(const PackedName&) const = default;

  /// At most kLongestName bytes.
  static PackedName of(std::string_view name) {
    std::array<char, kLongestName> bytes{};
    std::memcpy(bytes.data(), name.data(), name.size());
    PackedName packed;
    std::memcpy(&packed.first, bytes.data(), sizeof packed.first);
    std::memcpy(&packed.second, bytes.data() + sizeof packed.first, sizeof packed.second);
    constexpr std::uint64_t kSmall = 0x2020202020202020;
    packed.first |= name.size() >= 8 ? kSmall : kSmall & ((std::uint64_t{1} << 8 * name.size()) - 1);
    if (name.size() > 8) {
      packed.second |=
          name.size() == kLongestName ? kSmall : kSmall & ((std::uint64_t{1} << 8 * (name.size() - 8)) - 1);
    }
    return packed;
  }
  [[nodiscard]] std::size_t hash() const {
    return static_cast<std::size_t>((first * 0x9e3779b97f4a7c15 ^ second * 0xc2b2ae3d27d4eb4f) >> 56);
  }
};

/// Open addressing, twice as large as its hash so that no search wraps around.
class Lookup {
 public:
  Lookup() {
    for (const Command& command : all_commands()) {
      const PackedName name = PackedName::of(command.name);
      std::size_t at = name.hash();
      while (slots_[at].command != nullptr) ++at;
      slots_[at] = {name, &command};
    }
  }
  [[nodiscard]] const Command* find(std::string_view text) const {
    if (text.size() > kLongestName) return nullptr;
    const PackedName name = PackedName::of(text);
    for (std::size_t at = name.hash(); slots_[at].command != nullptr; ++at) {
      if (slots_[at].name == name) return slots_[at].command;
    }
    return nullptr;
  }

 private:
  struct Slot {
    PackedName name;
    const Command* command = nullptr;
  };
  std::array<Slot, 512> slots_{};
};

}  // namespace

const Command* find_command(std::string_view name) {
  static const Lookup kLookup;
  return kLookup.find(name);
}

}  // namespace millrace::kv
