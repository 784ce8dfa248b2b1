#include "program.h"

#include <elf.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

namespace millrace::command {

namespace {

#if defined(__x86_64__)
constexpr std::uint16_t kMachine = EM_X86_64;
#else
constexpr std::uint16_t kMachine = EM_AARCH64;
#endif

Program failed(std::string path, std::string problem, int status = 126) {
  return {std::move(path), std::move(problem), status};
}

Program look_up(const std::string& command) {
  if (command.find('/') != std::string::npos) {
    if (access(command.c_str(), F_OK) != 0) return failed(command, command + ": not found", 127);
    if (access(command.c_str(), X_OK) != 0) return failed(command, command + ": " + std::strerror(errno));
    return {command, {}};
  }
  const char* path = std::getenv("PATH");
  std::stringstream folders(path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = (folder.empty() ? "." : folder) + "/" + command;
    struct stat status {};
    if (stat(candidate.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
        access(candidate.c_str(), X_OK) == 0)
      return {candidate, {}};
  }
  return failed(command, command + ": command not found", 127);
}

/// The parts of an ELF file that tell who will run it.
class Elf {
 public:
  explicit Elf(std::ifstream& file) : file_(file) {
    valid_ = read(0, &header_, sizeof header_) && std::memcmp(header_.e_ident, ELFMAG, SELFMAG) == 0;
    if (!valid_ || !native() || header_.e_phentsize != sizeof(Elf64_Phdr)) return;
    segments_.resize(header_.e_phnum);
    if (!read(header_.e_phoff, segments_.data(), segments_.size() * sizeof(Elf64_Phdr))) segments_.clear();
  }
  [[nodiscard]] bool valid() const { return valid_; }
  [[nodiscard]] bool native() const {
    return header_.e_ident[EI_CLASS] == ELFCLASS64 && header_.e_machine == kMachine;
  }
  [[nodiscard]] bool has_interpreter() const {
    for (const Elf64_Phdr& segment : segments_) {
      if (segment.p_type == PT_INTERP) return true;
    }
    return false;
  }
  /// The Go linker leaves a note that is named "Go".
  [[nodiscard]] bool is_go() {
    for (const Elf64_Phdr& segment : segments_) {
      if (segment.p_type == PT_NOTE && has_go_note(segment)) return true;
    }
    return false;
  }

 private:
  bool read(std::uint64_t offset, void* out, std::size_t size) {
    file_.clear();
    file_.seekg(static_cast<std::streamoff>(offset));
    return static_cast<bool>(file_.read(static_cast<char*>(out), static_cast<std::streamsize>(size)));
  }
  bool has_go_note(const Elf64_Phdr& segment) {
    std::uint64_t at = segment.p_offset;
    const std::uint64_t end = at + segment.p_filesz;
    while (at + sizeof(Elf64_Nhdr) < end) {
      Elf64_Nhdr note{};
      char name[4]{};
      if (!read(at, &note, sizeof note)) return false;
      if (note.n_namesz == 4 && read(at + sizeof note, name, sizeof name) &&
          std::string_view(name, 2) == "Go" && name[2] == '\0')
        return true;
      const auto padded = [](std::uint64_t size) { return (size + 3) & ~std::uint64_t{3}; };
      at += sizeof note + padded(note.n_namesz) + padded(note.n_descsz);
    }
    return false;
  }

  std::ifstream& file_;
  Elf64_Ehdr header_{};
  std::vector<Elf64_Phdr> segments_;
  bool valid_ = false;
};

/// The dynamic linker ignores LD_PRELOAD for a program that gains privileges by being run.
bool gains_privileges(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return false;
  if ((status.st_mode & S_ISUID) != 0 && status.st_uid != getuid()) return true;
  if ((status.st_mode & S_ISGID) != 0 && status.st_gid != getgid()) return true;
  return getuid() != 0 && getxattr(path.c_str(), "security.capability", nullptr, 0) > 0;
}

Program inspect_file(const Program& program, int depth) {
  const std::string& path = program.path;
  std::ifstream file(path, std::ios::binary);
  if (!file) return program;  // may be run, but not read: nothing to say
  if (gains_privileges(path))
    return failed(path,
                  path + " runs with other privileges than yours, so that no library can be put before it");
  std::string first;
  if (file.peek() == '#' && std::getline(file, first) && first.starts_with("#!")) {
    std::stringstream words(first.substr(2));
    std::string interpreter;
    words >> interpreter;
    if (interpreter.empty() || depth > 3) return program;
    const Program inner = inspect_file({interpreter, {}}, depth + 1);
    return inner.problem.empty() ? program : failed(path, inner.problem, inner.status);
  }
  Elf elf(file);
  if (!elf.valid()) return program;  // a script without a first line: the shell's
  if (!elf.native()) return failed(path, path + " is for another machine than this one");
  if (!elf.has_interpreter()) {
    return failed(path, path + " is statically linked: it calls the kernel itself, past any library" +
                            (elf.is_go() ? " (it is a Go program)" : ""));
  }
  if (elf.is_go())
    return failed(path, path + " is a Go program: it calls the kernel itself, past any library");
  return program;
}

}  // namespace

Program inspect_program(const std::string& command) {
  const Program found = look_up(command);
  return found.problem.empty() ? inspect_file(found, 0) : found;
}

}  // namespace millrace::command
