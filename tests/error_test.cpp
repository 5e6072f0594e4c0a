// SPDX-License-Identifier: Apache-2.0
#include "splitnet/error.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string_view>

namespace splitnet {
namespace {

TEST(Error, EveryCodeHasANameOfItsOwn) {
  std::set<std::string_view> names;
  unsigned codes = 0;
  for (unsigned number = 0; number < 256; ++number) {
    const auto name = to_string(static_cast<ErrorCode>(number));
    EXPECT_EQ(is_error_code(number), name != "unknown") << number;
    if (is_error_code(number)) ++codes;
    names.insert(name);
  }
  EXPECT_EQ(codes, 11U);
  EXPECT_EQ(names.size(), codes + 1);
}

TEST(Error, NumbersOnTheWireStay) {
  EXPECT_EQ(static_cast<unsigned>(ErrorCode::invalid_argument), 1U);
  EXPECT_EQ(static_cast<unsigned>(ErrorCode::too_large), 5U);
  EXPECT_EQ(static_cast<unsigned>(ErrorCode::cancelled), 11U);
}

TEST(Error, CarriesCodeAndText) {
  const Error error(ErrorCode::corrupt, "a text");
  EXPECT_EQ(error.code(), ErrorCode::corrupt);
  EXPECT_STREQ(error.what(), "a text");
  EXPECT_FALSE(is_error_code(1000));
}

}  // namespace
}  // namespace splitnet
