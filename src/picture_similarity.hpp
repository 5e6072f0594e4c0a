// SPDX-License-Identifier: Apache-2.0
// How alike two tensors of f32 are, as pictures and otherwise; formulas in leakage.hpp. Private.
#pragma once

#include <optional>

#include "splitnet/tensor.hpp"

namespace splitnet::detail {

/// Whether these sizes are those of pictures [n, channels, height, width] that SSIM's window fits into.
bool is_picture(const Tensor& tensor);

/// Σ ((a − b) / range)² over the elements, which are as many in both.
double square_error(const Tensor& a, const Tensor& b, double range);

/// Of a mean square error in parts of the range; infinite for 0.
double psnr_db(double mean_square_error);

/// A mean over pictures, channels and places of the window inside of the picture. Both have the sizes of a picture.
double ssim(const Tensor& a, const Tensor& b, double range);

}  // namespace splitnet::detail
