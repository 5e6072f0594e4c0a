// SPDX-License-Identifier: Apache-2.0
#include "torch_executor.hpp"

#include <ATen/Parallel.h>

#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace splitnet::detail {
namespace {

/// at::set_num_threads sets the calling thread's count and the default of threads that never asked for
/// one. Only the first is wanted, so the default is put back, from a thread that does nothing else.
void set_own_thread_count(int threads) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  // Asking also settles this thread's lazy initialisation, which would otherwise undo what follows.
  const int host_default = at::get_num_threads();
  at::set_num_threads(threads);
  std::thread([&] { at::set_num_threads(host_default); }).join();
}

/// One thread that runs one piece of work at a time.
class Runner {
 public:
  explicit Runner(int threads) : thread_([this, threads] { loop(threads); }) {}
  ~Runner() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  void run(const std::function<void()>& work) {
    std::unique_lock lock(mutex_);
    work_ = &work;
    error_ = nullptr;
    wake_.notify_all();
    done_.wait(lock, [&] { return work_ == nullptr; });
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void loop(int threads) {
    set_own_thread_count(threads);
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return stopping_ || work_ != nullptr; });
      if (stopping_) return;
      lock.unlock();
      std::exception_ptr error;
      try {
        (*work_)();
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      error_ = error;
      work_ = nullptr;
      done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  const std::function<void()>* work_ = nullptr;
  std::exception_ptr error_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace

struct TorchExecutor::Impl {
  int threads = 1;
  std::mutex mutex;
  std::vector<std::unique_ptr<Runner>> idle;
};

TorchExecutor::TorchExecutor(int threads) : impl_(std::make_unique<Impl>()) {
  impl_->threads = threads;
}
TorchExecutor::~TorchExecutor() = default;

std::shared_ptr<TorchExecutor> TorchExecutor::with_threads(int threads) {
  static std::mutex mutex;
  static std::map<int, std::weak_ptr<TorchExecutor>> executors;
  std::lock_guard lock(mutex);
  auto executor = executors[threads].lock();
  if (!executor) {
    executor.reset(new TorchExecutor(threads));
    executors[threads] = executor;
  }
  return executor;
}

void TorchExecutor::run(const std::function<void()>& work) {
  std::unique_ptr<Runner> runner;
  {
    std::lock_guard lock(impl_->mutex);
    if (!impl_->idle.empty()) {
      runner = std::move(impl_->idle.back());
      impl_->idle.pop_back();
    }
  }
  if (!runner) runner = std::make_unique<Runner>(impl_->threads);
  const auto give_back = [&](void*) {
    std::lock_guard lock(impl_->mutex);
    impl_->idle.push_back(std::move(runner));
  };
  const std::unique_ptr<void, decltype(give_back)> guard(impl_.get(), give_back);
  runner->run(work);
}

}  // namespace splitnet::detail
