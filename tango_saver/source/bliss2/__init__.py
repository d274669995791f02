"""Scans of BLISS >= 2: RedisJSON documents, raw data streams, protocol version 1.

Streams are read as they are, never through the plugins that their documents name:
those call detectors, or wait for the very file that is being written.
"""

from tango_saver.source.bliss2.document import decode_document
from tango_saver.source.bliss2.history import Bliss2Source
from tango_saver.source.bliss2.reader import Bliss2Reader

__all__ = ["Bliss2Reader", "Bliss2Source", "decode_document"]
