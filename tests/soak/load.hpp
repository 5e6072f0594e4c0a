// SPDX-License-Identifier: Apache-2.0
// Clients that ask a session again and again.
#pragma once

#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "ledger.hpp"
#include "splitnet/session.hpp"

namespace splitnet::soak {

/// What is asked, one after the other, and the answers of the session's plan.
struct Questions {
  std::vector<Value> inputs;
  std::vector<Value> answers;
};

/// Asks for as long as the ledger lets it, with as many inferences in flight as the session allows.
class Load {
 public:
  /// `questions` and `ledger` outlive it.
  Load(std::unique_ptr<Session> session, const Questions& questions, Ledger& ledger)
      : session_(std::move(session)), questions_(questions), ledger_(ledger) {}

  /// On so many threads.
  void begin(std::size_t clients) {
    for (std::size_t i = 0; i < clients; ++i) clients_.emplace_back([this] { ask(); });
  }
  /// Once the ledger is closed. What is in flight goes on.
  void join() { clients_.clear(); }
  /// What is in flight ends; behind it nothing is told any more.
  void close() { session_->close(); }
  [[nodiscard]] const Session& session() const { return *session_; }

 private:
  void ask() {
    while (const auto request = ledger_.begin()) {
      const std::size_t question = *request % questions_.inputs.size();
      session_->submit({questions_.inputs[question]},
                       [this, request = *request, question](const std::variant<Answer, Error>& outcome) {
                         ledger_.note(request, outcome, questions_.answers[question]);
                       });
    }
  }

  const std::unique_ptr<Session> session_;
  const Questions& questions_;
  Ledger& ledger_;
  std::vector<std::jthread> clients_;
};

}  // namespace splitnet::soak
