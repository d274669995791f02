"""Scans of BLISS 1: a tree of nodes in plain Redis, values as pickles that are never unpickled.

``nodes`` has the interface that the BLISS documentation describes: ``get_session_node``,
``walk_on_new_events``, ``walk_events``. The saver itself uses ``Bliss1Source`` and
``Bliss1Reader``, which give the same records as those of BLISS >= 2.
"""

from tango_saver.source.bliss1.history import Bliss1Source
from tango_saver.source.bliss1.reader import Bliss1Reader

__all__ = ["Bliss1Reader", "Bliss1Source"]
