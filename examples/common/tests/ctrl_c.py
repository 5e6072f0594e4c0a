# SPDX-License-Identifier: Apache-2.0
"""Programs that tests end with Ctrl-C."""

from __future__ import annotations

import signal


def hears_ctrl_c() -> None:
    """For Popen's `preexec_fn`: who is started in the background by a shell ignores SIGINT, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
