# SPDX-License-Identifier: Apache-2.0
"""Hybrid emotion recognition: the first layers run here, the rest where it pays, and the photo stays on the device."""
