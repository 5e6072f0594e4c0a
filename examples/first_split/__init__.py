# SPDX-License-Identifier: Apache-2.0
"""A classifier cut at many layers: a program in C++, and what it needs."""
