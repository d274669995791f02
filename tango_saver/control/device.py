"""The device class ``TangoSaver``: a thin Tango face on the saver."""

from __future__ import annotations

import logging

import tango
from tango import GreenMode
from tango.server import command, device_property

from tango_saver import __version__
from tango_saver.control.attributes import ShowingDevice
from tango_saver.control.events import EventPublisher
from tango_saver.control.logs import DeviceLogHandler
from tango_saver.control.properties import configuration_from, side_configuration_from
from tango_saver.control.refusals import refusals
from tango_saver.control.register import SERVER_NAME
from tango_saver.control.savers import Savers
from tango_saver.control.shown import Snapshot
from tango_saver.control.side_work import SideWork
from tango_saver.engine.memory import last_file_of
from tango_saver.errors import SaverError
from tango_saver.model.settings import SaverSettings

_log = logging.getLogger(__name__)
_DEFAULTS = SaverSettings()

events = EventPublisher()
side_work = SideWork()
savers = Savers(events.put, events.refresh, side_work.troubles)
logs = DeviceLogHandler()


def _doc(text: str) -> str:
    return f"{text} Takes effect at Init."


class TangoSaver(ShowingDevice):
    """Saves the scans of a BLISS session from Redis into NeXus/HDF5 files, live."""

    green_mode = GreenMode.Synchronous
    own_writers: frozenset[str] = frozenset()
    """Values of SCAN_SAVING.writer that the class is made for; no other device takes them."""

    session = device_property(
        dtype=str,
        default_value=_DEFAULTS.session,
        doc=_doc('Name of the BLISS session whose scans are saved, "*" for every session.'),
    )
    redis_url = device_property(
        dtype=str,
        default_value=_DEFAULTS.redis_url,
        doc=_doc(
            "URL of the Redis that BLISS publishes scans into, such as redis://host:port."
            " Not used if beacon_host is set."
        ),
    )
    beacon_host = device_property(
        dtype=str,
        default_value="",
        doc=_doc("Beacon as host:port; it is asked for the URL of Redis. Empty: it is not asked."),
    )
    bliss = device_property(
        dtype=str,
        default_value=_DEFAULTS.bliss,
        doc=_doc(
            "Generation of BLISS that publishes into that Redis: 1 for BLISS 1.x, 2 for BLISS >= 2,"
            " or auto: found out from what is in Redis."
        ),
    )
    layout = device_property(
        dtype=str,
        default_value=_DEFAULTS.layout,
        doc=_doc(
            "Layout of the files: nexus, h5map (the map of the file that BLISS >= 2.4 publishes),"
            " example (what the BLISS documentation's script for external saving writes),"
            " or auto: h5map for SCAN_SAVING.writer mapping, example for hdf5, else nexus."
        ),
    )
    keepshape = device_property(
        dtype=bool,
        default_value=_DEFAULTS.keepshape,
        doc=_doc(
            "Whether channels of mesh scans appear on their grid, slow axis first, instead of"
            " flat. For the layout nexus."
        ),
    )
    multivalue_positioners = device_property(
        dtype=bool,
        default_value=_DEFAULTS.multivalue_positioners,
        doc=_doc(
            "Whether several channels of one scanned axis or timer share an NXpositioner."
            " For the layout nexus."
        ),
    )
    edf_pixels = device_property(
        dtype=bool,
        default_value=_DEFAULTS.edf_pixels,
        doc=_doc(
            "Whether frames in uncompressed EDF files are shown as pixels, too. HDF5 finds them by"
            " absolute file names only: not any more once the files are moved. For the layout"
            " nexus."
        ),
    )
    checksums = device_property(
        dtype=bool,
        default_value=_DEFAULTS.checksums,
        doc=_doc(
            "Whether points are stored with a checksum (Fletcher32) for each chunk, which HDF5"
            " verifies whenever they are read."
        ),
    )
    data_writers = device_property(
        dtype=(str,),
        default_value=list(_DEFAULTS.data_writers),
        doc=_doc("Values of SCAN_SAVING.writer whose scans are saved, one per line."),
    )
    allowed_roots = device_property(
        dtype=(str,),
        default_value=list(_DEFAULTS.allowed_roots),
        doc=_doc(
            "Folders below which files may be written, one per line. Empty: every absolute path."
        ),
    )
    fallback_roots = device_property(
        dtype=(str,),
        default_value=list(_DEFAULTS.fallback_roots),
        doc=_doc(
            "Folders for scans whose own folder cannot be written, one per line: below the first"
            " that can be, the file gets the same path."
        ),
    )
    shared_session = device_property(
        dtype=bool,
        default_value=_DEFAULTS.shared_session,
        doc=_doc(
            "Whether several servers, on as many hosts, save the scans of this session together:"
            " each file has one of them at a time, and if that one is gone another goes on."
            " The same for all of them, like the session."
        ),
    )
    workers = device_property(
        dtype=int,
        default_value=_DEFAULTS.workers,
        doc=_doc("Largest number of worker processes; files share them beyond that."),
    )
    publisher_timeout = device_property(
        dtype=float,
        default_value=_DEFAULTS.publisher_timeout_s,
        doc=_doc(
            "Seconds of silence after which a scan is closed as PUBLISHER_LOST. 0: never."
            " BLISS pauses scans for hours when the beam is lost."
        ),
    )
    redis_timeout = device_property(
        dtype=float,
        default_value=_DEFAULTS.redis_timeout_s,
        doc=_doc("Longest wait for one answer of Redis, in seconds."),
    )
    flush_period = device_property(
        dtype=float,
        default_value=_DEFAULTS.flush_period_s,
        doc=_doc("Seconds after which points are visible to readers of the file at the latest."),
    )
    trim_age = device_property(
        dtype=float,
        default_value=_DEFAULTS.trim_age_s,
        doc=_doc(
            "Age in seconds below which BLISS's memory tracker drops no point from Redis:"
            " its protected history. For SecondsToDataLoss."
        ),
    )
    trim_memory = device_property(
        dtype=float,
        default_value=_DEFAULTS.trim_memory_percent,
        doc=_doc(
            "Percentage of Redis's maxmemory from which on the memory tracker drops points."
            " For SecondsToDataLoss."
        ),
    )
    disk_warning = device_property(
        dtype=float,
        default_value=_DEFAULTS.disk_warning_gb,
        doc=_doc("Free disk space in GB below which the state is ALARM."),
    )
    disk_minimum = device_property(
        dtype=float,
        default_value=_DEFAULTS.disk_minimum_gb,
        doc=_doc(
            "Free disk space in GB below which a new scan is refused, or goes to a fallback root."
            " A refused scan is saved when there is room again."
        ),
    )
    state_directory = device_property(
        dtype=str,
        default_value=_DEFAULTS.state_directory,
        doc=_doc(
            "Folder for what survives a restart. Empty: $XDG_STATE_HOME/tango_saver,"
            " or ~/.local/state/tango_saver."
        ),
    )
    auto_start = device_property(
        dtype=bool,
        default_value=True,
        doc=_doc("Whether the device listens as soon as it is there, without Start."),
    )
    finish_timeout = device_property(
        dtype=float,
        default_value=60.0,
        doc=_doc(
            "Seconds that running scans get to finish when the server is ended; keep it below"
            " the time after which systemd or Starter kills the server."
        ),
    )
    metrics_port = device_property(
        dtype=int,
        default_value=0,
        doc=_doc(
            "TCP port that Prometheus reads metrics from, http://host:port/metrics. 0: none."
            " Devices of the server may share one."
        ),
    )
    log_directory = device_property(
        dtype=str,
        default_value="",
        doc=_doc(
            "Folder for the log of the server, TangoSaver_<instance>.log, beside the log streams"
            " of Tango. Empty: no file."
        ),
    )
    log_file_size = device_property(
        dtype=float,
        default_value=10.0,
        doc=_doc("Size in MB at which a new log file is begun."),
    )
    log_files = device_property(
        dtype=int,
        default_value=10,
        doc=_doc("Largest number of log files; the oldest is removed."),
    )

    def init_device(self) -> None:
        """Read the properties and work with them; a wrong one is a FAULT, never an exception."""
        self._saver = savers.take(self.get_name(), self.own_writers)
        logs.attach(self)
        events.attach(self)
        try:
            super().init_device()
            self.add_version_info(SERVER_NAME, __version__)
            instance = tango.Util.instance().get_ds_inst_name()
            side_work.configure(
                self.get_name(),
                side_configuration_from(self, f"{SERVER_NAME}_{instance}.log"),
                self._saver.snapshot,
            )
            self._saver.configure(configuration_from(self))
        except Exception as error:  # noqa: BLE001 - what escaped would end the whole server
            self._saver.refuse(_fault(error), _remembered_file(self.get_name()))

    def delete_device(self) -> None:
        """Called by Init and at restarts, where scans go on; and when the server ends."""
        events.detach(self)
        logs.detach(self)
        if tango.Util.instance().is_svr_shutting_down():
            savers.end_all()
        else:
            savers.leave(self.get_name())
        super().delete_device()

    def snapshot(self) -> Snapshot:
        """What the device shows now."""
        return self._saver.snapshot()

    @command(doc_in="Listen for scans. Ignored if it does already.")
    def Start(self) -> None:
        """Listen for scans."""
        with refusals("Start"):
            self._saver.start()

    @command(
        doc_in="Take no new scan from now on and finish the running ones: MOVING, then OFF."
        " Returns at once."
    )
    def Stop(self) -> None:
        """Take no new scan and finish the running ones."""
        with refusals("Stop"):
            self._saver.stop()

    @command(doc_in="Key of a scan in Redis, to be saved also if the device does not listen.")
    def SaveScan(self, key: str) -> None:
        """Save one scan on demand."""
        with refusals("SaveScan"):
            self._saver.save_scan(key)

    @command(doc_in="Key or number_name of a running scan. What is there is kept and closed.")
    def StopScan(self, key: str) -> None:
        """End the saving of one scan."""
        with refusals("StopScan"):
            self._saver.stop_scan(key)

    @command(doc_in="Acknowledge errors and warnings: ALARM ends if the cause is gone.")
    def Reset(self) -> None:
        """Acknowledge errors and warnings."""
        with refusals("Reset"):
            self._saver.reset()


def _remembered_file(device_name: str) -> str:
    """``LastFile`` by the state folder.

    The folder is asked from the database: PyTango converts no property if one has a wrong type.
    """
    names = ["session", "state_directory"]
    database = tango.Util.instance().get_database()
    if database is None:
        return ""
    try:
        found = database.get_device_property(device_name, names)
    except tango.DevFailed:
        return ""
    session, folder = (" ".join(found[name]).strip() for name in names)
    return last_file_of(session, folder)


def _fault(error: Exception) -> str:
    """The Status for what kept the device from working."""
    if isinstance(error, SaverError):
        fault = f"{error}."
    elif isinstance(error, tango.DevFailed):
        fault = f"{error.args[0].desc}. Run Init when that is corrected."
    elif isinstance(error, ValueError):
        fault = f"{error}. Correct the property and run Init."  # PyTango's words, with its name
    else:
        _log.error("The device cannot be initialised", exc_info=error)
        return f"{type(error).__name__}: {error}. See the log, then run Init."
    _log.error("%s", fault)
    return fault
