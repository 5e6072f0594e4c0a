# SPDX-License-Identifier: Apache-2.0
"""Tests of the image, and of what runs in it."""
