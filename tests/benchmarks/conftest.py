"""What pytest is to find of `calibrated`."""

from calibrated import (  # noqa: F401
    _libraries_out_of_the_way,
    calibration,
    pytest_collection_modifyitems,
    pytest_terminal_summary,
    timed,
    turn,
)
