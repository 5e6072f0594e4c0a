# SPDX-License-Identifier: Apache-2.0
"""How the program ends; docs/command_line.md and the epilogue of its help tell it too."""

DONE = 0
FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130  #: By Ctrl-C: 128 and the number of the signal, as shells have it.
