# SPDX-License-Identifier: Apache-2.0
"""Faces in a video from a small device, found and named with the help of the cloud."""
