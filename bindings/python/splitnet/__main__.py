# SPDX-License-Identifier: Apache-2.0
"""`python -m splitnet` is the program `splitnet`."""

import sys

from splitnet.cli import main

if __name__ == "__main__":
    sys.exit(main())
