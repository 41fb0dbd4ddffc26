"""`lastmile serve`: how it ends."""

import pytest

from lastmile.cli.serve import ServedModels
from lastmile.deploy.service import Served
from lastmile.errors import ExitCode


@pytest.mark.parametrize(
    ("codes", "ends"),
    [
        ((), ExitCode.DONE),
        ((ExitCode.TRANSIENT,), ExitCode.TRANSIENT),
        ((ExitCode.TRANSIENT, ExitCode.WRONG_INPUT), ExitCode.WRONG_INPUT),
        ((ExitCode.WRONG_INPUT, ExitCode.BUG, ExitCode.TRANSIENT), ExitCode.BUG),
        ((None,), ExitCode.TRANSIENT),
    ],
)
def test_the_worst_error_decides_the_exit_code(
    codes: tuple[ExitCode | None, ...], ends: ExitCode
) -> None:
    ill = [
        Served(pipeline="toy", state="down", problem="It broke.", exit_code=code) for code in codes
    ]
    well = Served(pipeline="toy", state="ready")
    assert ServedModels(models=(well, *ill)).exit_code == ends
