# SPDX-License-Identifier: Apache-2.0
"""Names that the tests share."""

BUCKET = "pictures"
MODEL = "mobilenet_v2"
