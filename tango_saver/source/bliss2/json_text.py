"""JSON as publishers write it: with NaN and Infinity, which the standard does not know."""

from __future__ import annotations

import json

import msgspec

from tango_saver.model.scan import Json


def decode_json(text: bytes) -> Json:
    """Decode one JSON value.

    Raises:
        ValueError: not JSON, not UTF-8, or nested too deep; the reason in few words.
    """
    try:
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            if b"NaN" not in text and b"Infinity" not in text:
                raise
        value = json.loads(text)
        # Python's decoder lets half characters pass, which no file can hold.
        msgspec.json.encode(value)
    except UnicodeError as error:
        raise ValueError("it is not UTF-8") from error
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise ValueError(f"it is not valid JSON, {str(error)[:200]}") from error
    return value
