"""The settings of a saver: what the Tango properties and the command line say."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SaverSettings:
    """Frozen while the saver runs; changed by ``Init`` or a restart.

    The defaults are those of the Tango properties of the same names.
    """

    session: str = ""
    """Name of the BLISS session; ``*`` for every session of that Redis."""
    redis_url: str = "redis://localhost:6379"
    bliss: str = "auto"
    """Generation of BLISS that publishes there: 1 for BLISS 1.x, 2 for BLISS >= 2, or auto: found
    out from what is in Redis."""
    layout: str = "auto"
    """nexus, h5map (the map of the file that BLISS >= 2.4 publishes), example (the form of the
    BLISS documentation's script), or auto: h5map for scans with SCAN_SAVING.writer ``mapping``,
    example for ``hdf5``, nexus for all others."""
    keepshape: bool = False
    """In the layout nexus, channels of mesh scans appear on their grid, slow axis first."""
    multivalue_positioners: bool = False
    """In the layout nexus, several channels of one scanned axis or timer share a group."""
    checksums: bool = False
    """Points are stored with a checksum (Fletcher32) for each chunk, which HDF5 verifies."""
    edf_pixels: bool = False
    """In the layout nexus, frames in uncompressed EDF files are shown as pixels, too, by the
    absolute names of the files."""
    data_writers: tuple[str, ...] = ("nexus", "external", "mapping", "hdf5")
    """Values of SCAN_SAVING.writer whose scans are saved; hdf5 is BLISS 1 alone, which then saves
    them itself too, into a file of another name."""
    allowed_roots: tuple[str, ...] = ()
    """Folders below which targets must lie; empty allows every absolute path."""
    fallback_roots: tuple[str, ...] = ()
    """Folders for scans whose own folder cannot be written: below each, the target's whole path."""
    workers: int = 4
    """Largest number of worker processes; targets share them beyond that."""
    publisher_timeout_s: float = 86400.0
    """A scan whose publisher sends nothing for so long is closed as PUBLISHER_LOST. 0 never.
    BLISS pauses scans for hours when the beam is lost, and gives them up itself after a day."""
    redis_timeout_s: float = 5.0
    """Longest wait for one answer of Redis."""
    flush_period_s: float = 0.25
    """Points are visible to readers at most about this long after they arrived."""
    file_idle_s: float = 0.0
    """How long a target stays open after its last scan."""
    trim_age_s: float = 180.0
    """Age below which BLISS's memory tracker drops no point from Redis, its --protected-history."""
    trim_memory_percent: float = 80.0
    """Part of Redis's maxmemory from which on the memory tracker drops points."""
    shared_session: bool = False
    """Other instances, perhaps on other hosts, save scans of the same session: each target is
    claimed in Redis before it is written."""
    disk_warning_gb: float = 10.0
    """Free space below which the state is ALARM."""
    disk_minimum_gb: float = 0.2
    """Free space below which a new scan is refused."""
    state_directory: str = field(default="")
    """Folder for what survives a restart (last file, position in the history); empty for
    ``$XDG_STATE_HOME/tango_saver``, or ``~/.local/state/tango_saver``."""

    def covers(self, session: str) -> bool:
        """Whether scans of this session are for this saver."""
        return self.session in ("*", session)
