# SPDX-License-Identifier: Apache-2.0
"""What programs do when they are called wrongly."""

from __future__ import annotations

from collections.abc import Callable

import pytest


def expect_wrong_usage(
    main: Callable[[list[str]], int], arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends with 2 and says so in these words, before anything is started."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert words in said and "starting" not in said
