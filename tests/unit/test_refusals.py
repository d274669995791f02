from __future__ import annotations

import pytest
import tango

from tango_saver.control.refusals import reason_of, refusals
from tango_saver.errors import (
    ConfigurationError,
    EngineError,
    RedisUnreachableError,
    SaverError,
    ScanNotFoundError,
    StreamError,
    TargetLockedError,
    UnknownScanError,
)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (ConfigurationError, "CONFIGURATION_ERROR"),
        (RedisUnreachableError, "COMMUNICATION_BROKEN"),
        (ScanNotFoundError, "UNKNOWN_SCAN"),
        (UnknownScanError, "UNKNOWN_SCAN"),
        (StreamError, "SCAN_UNUSABLE"),
        (TargetLockedError, "FILE_UNUSABLE"),
        (EngineError, "OPERATION_FAILED"),
    ],
)
def test_each_error_has_a_reason_of_the_short_list(kind: type[SaverError], reason: str) -> None:
    assert reason_of(kind("fact")) == reason


def test_client_gets_reason_one_line_and_origin() -> None:
    with pytest.raises(tango.DevFailed) as caught, refusals("StopScan"):
        raise UnknownScanError("is\nnot saved", scan="k", advice="Look at RunningScans")

    error = caught.value.args[0]
    assert error.reason == "UNKNOWN_SCAN"
    assert error.desc == "scan k: is not saved. Look at RunningScans"
    assert error.origin == "TangoSaver.StopScan"
