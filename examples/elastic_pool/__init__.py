# SPDX-License-Identifier: Apache-2.0
"""Workers that come and go with a queue. Import it with `examples` and `examples/lambda` on the path."""
