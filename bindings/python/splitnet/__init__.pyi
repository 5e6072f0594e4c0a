# SPDX-License-Identifier: Apache-2.0
from splitnet._api import *

__version__: str
