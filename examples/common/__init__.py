# SPDX-License-Identifier: Apache-2.0
"""What the examples share. Import it with `examples` on the path: `from common.pictures import open_picture`."""
