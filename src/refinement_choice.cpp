// SPDX-License-Identifier: Apache-2.0
#include "refinement_choice.hpp"

#include <algorithm>
#include <numeric>

namespace splitnet::detail {
namespace {

/// Of what may be lost: the choice is made among many, and the best looking one has had luck.
constexpr double caution = 0.5;
/// And of that what the second codec may lose by itself: nothing corrects it.
constexpr double caution_of_second = 0.2;

/// Answers that change: as seen, and as margins and errors would have it if they did not depend on each other.
struct Changes {
  double seen = 0;
  double expected = 0;

  Changes& operator+=(const Changes& other) {
    seen += other.seen;
    expected += other.expected;
    return *this;
  }
  friend Changes operator-(const Changes& a, const Changes& b) { return {a.seen - b.seen, a.expected - b.expected}; }
};

/// Of each answer.
std::vector<Changes> changes_of(const RefinementRung& rung) {
  std::vector<double> errors = rung.overstated_nat;
  std::sort(errors.begin(), errors.end());
  std::vector<Changes> changes;
  for (std::size_t i = 0; i < rung.margins_nat.size(); ++i) {
    const double margin = rung.margins_nat[i];
    const auto above = errors.end() - std::upper_bound(errors.begin(), errors.end(), margin);
    changes.push_back(
        {rung.overstated_nat[i] > margin ? 1.0 : 0.0, static_cast<double>(above) / static_cast<double>(errors.size())});
  }
  return changes;
}

Changes sum_of(const std::vector<Changes>& changes) {
  Changes sum;
  for (const Changes& one : changes) sum += one;
  return sum;
}

}  // namespace

std::optional<RefinementChoice> choose_refinement(const std::vector<RefinementRung>& rungs, double max_loss) {
  std::vector<std::vector<Changes>> changes;
  for (const RefinementRung& rung : rungs) changes.push_back(changes_of(rung));
  const auto share = [](const Changes& a, const Changes& b, std::size_t answers) {
    return std::max(a.seen + b.seen, a.expected + b.expected) / static_cast<double>(answers);
  };
  std::optional<RefinementChoice> best;
  double least = 1;
  for (std::size_t i = 0; i < rungs.size(); ++i) {
    if (share(sum_of(changes[i]), {}, changes[i].size()) <= caution * max_loss) least = std::min(least, rungs[i].ratio);
  }
  for (std::size_t first = 0; first < rungs.size(); ++first) {
    const auto& margins = rungs[first].margins_nat;
    std::vector<std::size_t> order(margins.size());  // By falling margin.
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](auto a, auto b) { return margins[a] > margins[b]; });
    for (std::size_t second = 0; second < rungs.size(); ++second) {
      if (rungs[second].ratio <= rungs[first].ratio) continue;
      const Changes of_second = sum_of(changes[second]);
      if (share(of_second, {}, order.size()) > caution_of_second * max_loss) continue;
      Changes first_kept;   // Of the clearest answers, which are not asked for again,
      Changes second_kept;  // and the same ones with the second codec.
      for (std::size_t kept = 0; kept + 1 < order.size(); ++kept) {
        first_kept += changes[first][order[kept]];
        second_kept += changes[second][order[kept]];
        if (share(first_kept, of_second - second_kept, order.size()) > caution * max_loss) continue;
        const double asked = static_cast<double>(order.size() - kept - 1) / static_cast<double>(order.size());
        const double bytes = rungs[first].ratio + asked * rungs[second].ratio;
        if (bytes >= least) continue;
        least = bytes;
        best = {first, second, margins[order[kept]]};
      }
    }
  }
  return best;
}

}  // namespace splitnet::detail
