"""Scans of BLISS >= 2: RedisJSON documents, raw data streams, protocol version 1.

Streams are read as they are, never through the plugins that their documents name:
those call detectors, or wait for the very file that is being written.
"""

from tango_saver.source.bliss2.document import decode_document

__all__ = ["decode_document"]
