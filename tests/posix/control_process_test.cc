// The control socket among other processes: its file, its descriptors, and fork.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <chrono>
#include <fstream>
#include <set>
#include <thread>

#include "control_fixture.h"
#include "posix/run_directory.h"

namespace millrace::posix::test {

namespace {

std::set<int> open_descriptors() {
  std::set<int> fds;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    if (fcntl(fd, F_GETFD) >= 0) fds.insert(fd);
  }
  return fds;
}

/// Those that are open when the context that was just made has all of its own: its thread opens one when
/// nobody has used it for a while.
std::set<int> open_descriptors_beside_a_context() {
  const std::size_t first = open_descriptors().size();
  for (int waited = 0; waited < 100 && open_descriptors().size() == first; ++waited)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return open_descriptors();
}

TEST_F(ControlSocket, ADirectoryThatCannotBeUsedDoesNotStopTheProgram) {
  std::ofstream(directory_ + "/file") << "x";
  for (const std::string& bad : {std::string("/proc/nowhere"), directory_ + "/file", directory_ + "/no/such",
                                 directory_ + "/" + std::string(120, 'x')}) {
    mr_finish();
    setenv("MILLRACE_RUN_DIR", bad.c_str(), 1);
    start();
    EXPECT_FALSE(Library::instance().control().running()) << bad;
    EXPECT_EQ(path(), "");
    EXPECT_GE(stream(), 0);
  }
}

TEST_F(ControlSocket, MakesItsDirectory) {
  mr_finish();
  setenv("MILLRACE_RUN_DIR", (directory_ + "/run").c_str(), 1);
  start();
  struct stat status {};
  ASSERT_EQ(stat((directory_ + "/run").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, geteuid() == 0 ? 01777u : 0700u);
  EXPECT_EQ(ask("stats 1\n").back(), "end");
}

/// A socket's file; listening is whoever holds the descriptor.
int bind_file(const std::string& path, bool listening) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << strerror(errno);
  if (listening) {
    EXPECT_EQ(listen(fd, 1), 0);
  }
  return fd;
}

pid_t dead_pid() {
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  waitpid(pid, nullptr, 0);
  return pid;
}

TEST_F(ControlSocket, AStartRemovesWhatTheDeadLeftBehind) {
  mr_finish();
  const std::string dead = control_path(directory_, dead_pid()), own = control_path(directory_, getpid());
  const std::string other = directory_ + "/notes.txt", living = control_path(directory_, getppid());
  close(bind_file(dead, true));
  close(bind_file(own, true));
  std::ofstream(other) << "x";
  const int held = bind_file(living, true);
  start();
  EXPECT_FALSE(std::filesystem::exists(dead));
  EXPECT_EQ(ask("stats 1\n").back(), "end") << "its own number was used by one that died";
  EXPECT_TRUE(std::filesystem::exists(other));
  EXPECT_TRUE(std::filesystem::exists(living));
  EXPECT_FALSE(remove_stale(living)) << "somebody listens there";
  close(held);
  EXPECT_FALSE(remove_stale(other));
  EXPECT_TRUE(std::filesystem::exists(other)) << "no socket";
  EXPECT_TRUE(remove_stale(living));
  EXPECT_FALSE(std::filesystem::exists(living));
}

TEST_F(ControlSocket, IsNotTakenFromALivingProcessOfTheSameNumber) {
  mr_finish();
  const std::string own = control_path(directory_, getpid());
  const int other = bind_file(own, true);  // of another PID namespace, say
  start();
  EXPECT_FALSE(Library::instance().control().running());
  mr_finish();
  EXPECT_TRUE(std::filesystem::exists(own));
  close(other);
}

TEST_F(ControlSocket, FinishLeavesAFileThatIsNotItsOwn) {
  const std::string own = path();
  ASSERT_EQ(unlink(own.c_str()), 0);
  const int other = bind_file(own, false);
  mr_finish();
  EXPECT_TRUE(std::filesystem::exists(own));
  close(other);
}

// --- descriptors and processes

TEST_F(ControlSocket, ItsDescriptorsDoNotOutliveExecOrAFork) {
  mr_finish();
  static Context& context = *new Context(ContextConfig{}, nullptr);
  FdTable table(16);
  const std::set<int> before = open_descriptors_beside_a_context();
  Control control;
  ASSERT_EQ(control.start(context, table), "");
  std::vector<int> own;
  for (const int fd : open_descriptors()) {
    if (!before.contains(fd)) own.push_back(fd);
  }
  ASSERT_GE(own.size(), 2u);
  for (const int fd : own) EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);

  const pid_t child = fork();
  if (child == 0) {
    control.after_fork_in_child();
    if (control.running()) _exit(1);
    for (const int fd : own) {
      if (fcntl(fd, F_GETFD) >= 0) _exit(2);
    }
    control.stop();  // nothing is left to stop
    _exit(0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  // A child that does not know of it, and ends: the parent's goes on.
  const pid_t ignorant = fork();
  if (ignorant == 0) {
    control.stop();
    _exit(control.running() ? 1 : 0);
  }
  ASSERT_EQ(waitpid(ignorant, &status, 0), ignorant);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Client(control.path()).say("stats 1\n").hear().back(), "end");
  control.stop();
  // Not all that is open: the context's own thread may have opened one meanwhile.
  for (const int fd : own) EXPECT_LT(fcntl(fd, F_GETFD), 0) << fd;
  delete &context;
}

/// Children that begin threads.
class Forked : public ControlSocket {};

TEST_F(Forked, AChildWithACleanEnvironmentIsFoundWhereItsParentWas) {
  mr_finish();
  static Context& context = *new Context(ContextConfig{}, nullptr);
  FdTable table(16);
  Control control;
  ASSERT_EQ(control.start(context, table), "");
  const pid_t child = fork();
  if (child == 0) {
    control.after_fork_in_child();
    clearenv();
    if (!control.start(context, table).empty()) _exit(1);
    const bool there = control.path() == control_path(directory_, getpid());
    control.stop();
    _exit(there ? 0 : 2);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  control.stop();
  delete &context;
}

TEST_F(ControlSocket, AProgramMayCloseDescriptorsItDoesNotKnow) {
  mr_finish();
  static Context& context = *new Context(ContextConfig{}, nullptr);
  FdTable table(16);
  const std::set<int> before = open_descriptors_beside_a_context();
  auto control = std::make_unique<Control>();
  ASSERT_EQ(control->start(context, table), "");
  std::vector<int> own;
  for (const int fd : open_descriptors()) {
    if (!before.contains(fd)) own.push_back(fd);
  }
  // As a daemon does; and then its own descriptors get these numbers.
  for (const int fd : own) close(fd);
  std::vector<int> reused;
  while (reused.size() < own.size()) {
    reused.push_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
    ASSERT_GE(reused.back(), 0);
  }
  control.reset();  // does not wait for a thread that cannot be told
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
  for (const int fd : reused) {
    EXPECT_GE(fcntl(fd, F_GETFD), 0) << "the program's own stay open";
    close(fd);
  }
  // The context stays as well: the thread that was let go knows it.
}

}  // namespace

}  // namespace millrace::posix::test
