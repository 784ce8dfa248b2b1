#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "doctor/examination.h"

namespace millrace::test {

/// A machine of files: /proc, /sys and /dev under a folder of its own, gone with the object.
class MadeUpMachine {
 public:
  MadeUpMachine() {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-doctor-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  MadeUpMachine(const MadeUpMachine&) = delete;
  MadeUpMachine& operator=(const MadeUpMachine&) = delete;
  ~MadeUpMachine() {
    std::error_code none;
    std::filesystem::remove_all(root_, none);
  }

  void file(std::string_view path, std::string_view text = "") const {
    const std::filesystem::path full = place(path);
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text << '\n';
  }
  void folder(std::string_view path) const { std::filesystem::create_directories(place(path)); }
  /// `target` is as seen from the machine's root, too.
  void link(std::string_view path, std::string_view target) const {
    const std::filesystem::path full = place(path);
    std::filesystem::create_directories(full.parent_path());
    std::filesystem::create_symlink(place(target), full);
  }

  [[nodiscard]] doctor::Examination examination(std::string_view spec) const {
    doctor::Examination examination;
    examination.files = doctor::Files(root_.string());
    EXPECT_EQ(doctor::parse_target(spec, examination.target), "");
    return examination;
  }

 private:
  [[nodiscard]] std::filesystem::path place(std::string_view path) const {
    return root_.string() + std::string(path);
  }

  std::filesystem::path root_;
};

/// An interface that is up and well.
inline doctor::InterfaceFacts good_interface(std::string name, std::string driver = "ixgbe") {
  doctor::InterfaceFacts interface;
  interface.name = std::move(name);
  interface.driver = std::move(driver);
  interface.up = interface.carrier = interface.ethernet = true;
  interface.mtu = 1500;
  interface.offloads = doctor::Offloads{
      .rx_checksum = true, .tx_checksum = true, .tso = true, .gso = true, .gro = true, .lro = false};
  interface.rings = doctor::Rings{.rx = 1024, .rx_max = 4096, .tx = 1024, .tx_max = 4096};
  interface.channels = doctor::Channels{.rx = 0, .tx = 0, .combined = 1};
  return interface;
}

/// The one finding of a check that is expected to have one.
inline doctor::Finding only(const doctor::Findings& findings) {
  EXPECT_EQ(findings.size(), 1u);
  return findings.empty() ? doctor::Finding{} : findings.front();
}

}  // namespace millrace::test
