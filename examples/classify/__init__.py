# SPDX-License-Identifier: Apache-2.0
"""What is at this URL? Import it with `examples` and `examples/lambda` on the path."""
