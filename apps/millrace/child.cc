#include "child.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "common/system_error.h"

namespace millrace::command {

namespace {

/// Those that are sent to a program to tell it something. The rest keep their meaning for this process.
constexpr int kPassedOn[] = {SIGHUP,  SIGINT,  SIGQUIT,  SIGTERM, SIGUSR1, SIGUSR2,
                             SIGALRM, SIGCONT, SIGWINCH, SIGPIPE, SIGURG,  SIGIO};

sigset_t watched() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  for (const int signal : kPassedOn) sigaddset(&set, signal);
  return set;
}

[[noreturn]] void become(const std::string& path, const std::vector<std::string>& words,
                         const sigset_t& mask) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 2);
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  execv(path.c_str(), arguments.data());
  if (errno == ENOEXEC) {  // as a shell and execvp(3) do
    arguments.insert(arguments.begin(), const_cast<char*>("/bin/sh"));
    arguments[1] = const_cast<char*>(path.c_str());
    execv("/bin/sh", arguments.data());
  }
  const std::string line = "millrace: " + path + ": " + std::strerror(errno) + "\n";
  [[maybe_unused]] const ssize_t told = write(STDERR_FILENO, line.data(), line.size());
  _exit(126);
}

}  // namespace

Child::Child(const std::string& path, const std::vector<std::string>& words, const std::vector<int>& keep) {
  const sigset_t set = watched();
  sigset_t before;
  sigprocmask(SIG_BLOCK, &set, &before);
  pid_ = fork();
  if (pid_ < 0) apps::throw_errno("cannot fork");
  if (pid_ != 0) return;
  for (const int fd : keep) fcntl(fd, F_SETFD, 0);
  become(path, words, before);
}

void Child::on_signal(int signal, bool from_terminal) const {
  // The terminal sends its signals to the whole process group: the program has had it.
  if (!from_terminal) kill(pid_, signal);
}

void Child::wait() {
  const sigset_t set = watched();
  for (;;) {
    pid_t changed;
    while ((changed = waitpid(-1, &status_, WNOHANG | WUNTRACED)) > 0) {
      if (changed != pid_) continue;  // an orphan of the program's
      if (!WIFSTOPPED(status_)) return;
      raise(SIGSTOP);
    }
    siginfo_t info{};
    const int signal = sigwaitinfo(&set, &info);
    if (signal > 0 && signal != SIGCHLD) on_signal(signal, info.si_code == SI_KERNEL);
  }
}

void Child::end_likewise() const {
  if (!WIFSIGNALED(status_)) _exit(WEXITSTATUS(status_));
  const int number = WTERMSIG(status_);
  const rlimit no_core{0, 0};  // there is one already
  setrlimit(RLIMIT_CORE, &no_core);
  std::signal(number, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  raise(number);
  _exit(128 + number);
}

}  // namespace millrace::command
