# SPDX-License-Identifier: Apache-2.0
"""The whole zoo, in one list."""

import models_real
import models_small
import models_torchvision

ENTRIES = [*models_small.ENTRIES, *models_real.ENTRIES, *models_torchvision.ENTRIES]

assert len({e.name for e in ENTRIES}) == len(ENTRIES), "two entries of one name"
