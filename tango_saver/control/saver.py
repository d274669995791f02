"""What a device operates: one conductor, exchanged when ``Init`` brings other settings.

Devices of the server with the same settings operate the same one.

Nothing here knows Tango. All commands return at once; the time that things take is spent in
the threads of the conductor and in those started here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tango_saver.control.beacon import redis_url_from_beacon
from tango_saver.control.conductors import Conductors, Seat
from tango_saver.control.properties import DeviceConfiguration
from tango_saver.control.scans import SavedScan, find_scan, is_awaited
from tango_saver.control.shown import Snapshot
from tango_saver.control.side_work import with_troubles
from tango_saver.engine.conductor import Conductor
from tango_saver.engine.memory import last_file_of
from tango_saver.errors import ConfigurationError, SaverError
from tango_saver.model.settings import SaverSettings
from tango_saver.model.status import SaverState, SaverStatus

_log = logging.getLogger(__name__)
_ASK_BEACON_AGAIN_S = 5.0
_LOOK_AFTER_RETIRED_S = 0.5


@dataclass(eq=False)
class _Retired:
    """A conductor that finishes the scans it has, with the settings of before ``Init``."""

    conductor: Conductor
    hurry: threading.Event
    thread: threading.Thread


class Saver:
    """Outlives ``Init`` and the restart of its device, so that neither costs a running scan.

    Args:
        publish: takes every new snapshot, in order; called from one thread at a time.
        refresh: told that the snapshot changed otherwise and is to be asked for.
        conductors: of the server.
        own_writers: values of SCAN_SAVING.writer that the class of the device is made for.
        troubles: what beside the saving does not work, one sentence each; never waits.
    """

    def __init__(
        self,
        publish: Callable[[Snapshot], None],
        refresh: Callable[[], None],
        conductors: Conductors,
        own_writers: frozenset[str] = frozenset(),
        troubles: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        self._publish = publish
        self._refresh = refresh
        self._conductors = conductors
        self._own_writers = own_writers
        self._troubles = troubles
        self._seat: Seat | None = None
        self._purged_at = 0.0
        self._changing = threading.Lock()
        self._configuration: DeviceConfiguration | None = None
        self._settings = SaverSettings()
        self._conductor: Conductor | None = None
        self._without_conductor = SaverStatus(SaverState.INIT, "Reading the properties.")
        self._finish_timeout_s = 0.0
        """Of the newest properties that could be used."""
        self._last_file = ""
        """Of the conductors of before."""
        self._listens = False
        self._epoch = threading.Event()
        self._retired: list[_Retired] = []

    def configure(self, configuration: DeviceConfiguration) -> None:
        """Work with these settings from now on.

        The same settings as before: everything goes on, errors are acknowledged. Others: the
        conductor of before takes no new scan and finishes those it has in the background; a
        new one takes over at once.

        Raises:
            ConfigurationError: the settings cannot be used; there is no conductor then.
        """
        with self._changing:
            if self._conductor is not None and _same(configuration, self._configuration):
                self._configuration = configuration
                self._finish_timeout_s = configuration.finish_timeout_s
                self._conductor.reset()
                if configuration.auto_start:
                    self._conductor.start()
                return
            if configuration.beacon_host:
                self._end_epoch()
                self._ask_beacon(configuration)
            else:
                self._exchange(configuration.settings)
            self._configuration = configuration
            self._finish_timeout_s = configuration.finish_timeout_s
            self._listens = configuration.auto_start
            if self._listens and self._conductor is not None:
                self._conductor.start()

    def refuse(self, fault: str, remembered_file: str) -> None:
        """No work can be done with the configuration.

        Args:
            fault: why, in words.
            remembered_file: the last file, if it is not known from the work so far.
        """
        with self._changing:
            self._end_epoch()
            self._configuration = None
            self._without_conductor = SaverStatus(
                SaverState.FAULT,
                fault,
                last_file=self._last_file or remembered_file,
                last_error=fault,
            )
        self._refresh()

    def snapshot(self) -> Snapshot:
        """From memory; never waits."""
        conductor = self._conductor
        status = conductor.status() if conductor is not None else self._without_conductor
        return self._snapshot_of(status)

    def start(self) -> None:
        """Listen for scans; while Beacon is still asked, as soon as it answered.

        Raises:
            ConfigurationError: the properties cannot be used.
        """
        with self._changing:
            self._listens = True
            if self._conductor is not None:
                self._conductor.start()
            elif self._configuration is None:
                raise ConfigurationError(self._without_conductor.status)

    def stop(self) -> None:
        """Listen no more, finish running scans."""
        with self._changing:
            self._listens = False
            if self._conductor is not None:
                self._conductor.stop()

    def save_scan(self, key: str) -> None:
        """Save a scan on demand, see ``Conductor.save_scan``.

        Raises:
            SaverError: it cannot be saved.
        """
        self._working().save_scan(key)

    def stop_scan(self, key: str) -> None:
        """End the saving of one scan, see ``Conductor.stop_scan``.

        Raises:
            UnknownScanError: it is not being saved.
        """
        self._working().stop_scan(key)

    def reset(self) -> None:
        """Acknowledge errors and warnings; without usable properties there is nothing to do."""
        if self._conductor is not None:
            self._conductor.reset()

    def purge(self) -> None:
        """Show no scan any more that is saved by now."""
        self._purged_at = time.time()
        self._refresh()

    def scan(self, name: str, patience_s: float = 0.0) -> SavedScan | None:
        """The newest scan of that name or key.

        Args:
            name: ``12_ascan``, or the key of the scan in Redis.
            patience_s: how long to wait for a new scan to be heard of and its target looked at.
                One that is finished already is returned after that time.
        """
        conductor = self._conductor
        if conductor is None:
            return None
        if patience_s:
            before = find_scan(conductor.status(), name)
            conductor.wait_for(
                lambda status: is_awaited(find_scan(status, name), before), patience_s
            )
        return find_scan(conductor.status(), name)

    def is_asked(self, key: str) -> bool:
        """Whether a scan that is to be saved on demand is still looked up."""
        return self._conductor is not None and self._conductor.is_asked(key)

    def close(self) -> bool:
        """Take no new scan, finish those running within the configured time, end all processes.

        Returns:
            whether all were finished; the others go on when the server is started again.
        """
        with self._changing:
            timeout_s = self._finish_timeout_s
            conductor = self._conductor
            self._epoch.set()
            retired = tuple(self._retired)
            is_last = self._seat is not None and self._seat.leave()
        deadline = time.monotonic() + timeout_s
        finished = not is_last or conductor is None or conductor.shutdown(timeout_s)
        if not finished:
            _log.warning("not all scans were finished within %g s", timeout_s)
        for old in retired:
            old.thread.join(max(0.0, deadline - time.monotonic()))
            finished = finished and not old.thread.is_alive()
            old.hurry.set()
            old.thread.join()
        return finished

    def _working(self) -> Conductor:
        conductor = self._conductor
        if conductor is None:
            raise ConfigurationError(self._without_conductor.status)
        return conductor

    def _exchange(self, settings: SaverSettings) -> None:
        """A new conductor, made before the old one stops: no scan comes between. Lock held."""
        epoch = threading.Event()

        def publish(status: SaverStatus) -> None:
            if not epoch.is_set():
                self._publish(self._snapshot_of(status))

        seat = self._conductors.join(settings, publish, self._own_writers)
        self._end_epoch(epoch)
        self._settings = settings
        self._seat = seat
        self._conductor = seat.conductor

    def _end_epoch(self, following: threading.Event | None = None) -> None:
        """Part from the conductor and the questions of before; the lock is held."""
        self._epoch.set()
        self._epoch = following or threading.Event()
        conductor, self._conductor = self._conductor, None
        seat, self._seat = self._seat, None
        if conductor is not None:
            self._last_file = conductor.status().last_file
        if conductor is None or seat is None or not seat.leave():
            return
        conductor.stop()
        hurry = threading.Event()
        thread = threading.Thread(
            target=self._finish, args=(conductor, hurry), name="finishing scans", daemon=True
        )
        self._retired.append(_Retired(conductor, hurry, thread))
        thread.start()

    def _finish(self, conductor: Conductor, hurry: threading.Event) -> None:
        while conductor.status().running and not hurry.wait(_LOOK_AFTER_RETIRED_S):
            pass
        conductor.shutdown(_LOOK_AFTER_RETIRED_S)
        with self._changing:
            self._retired = [old for old in self._retired if old.conductor is not conductor]
            self._last_file = conductor.status().last_file or self._last_file
            if self._conductor is None:
                self._without_conductor = replace(
                    self._without_conductor, last_file=self._last_file
                )
        self._refresh()

    def _snapshot_of(self, status: SaverStatus) -> Snapshot:
        n_scans = sum(len(old.conductor.status().running) for old in self._retired)
        if n_scans:
            scans = "1 scan" if n_scans == 1 else f"{n_scans} scans"
            sentence = f"{scans} from before Init being finished with the settings of then."
            status = replace(status, status=f"{status.status}\n{sentence}")
        shown = with_troubles(status, self._troubles())
        return Snapshot(self._settings, shown, self._purged_at)

    def _ask_beacon(self, configuration: DeviceConfiguration) -> None:
        """Go on without waiting; the conductor is there once Beacon answered. Lock held."""
        settings = self._settings = configuration.settings
        self._without_conductor = SaverStatus(
            SaverState.INIT,
            f"Asking Beacon at {configuration.beacon_host} for the address of Redis.",
            last_file=self._last_file or last_file_of(settings.session, settings.state_directory),
        )
        threading.Thread(
            target=self._find_redis, args=(configuration, self._epoch), name="beacon", daemon=True
        ).start()

    def _find_redis(self, configuration: DeviceConfiguration, epoch: threading.Event) -> None:
        while not epoch.is_set():
            try:
                url = redis_url_from_beacon(
                    configuration.beacon_host, configuration.settings.redis_timeout_s
                )
                with self._changing:
                    if not epoch.is_set():
                        self._exchange(replace(configuration.settings, redis_url=url))
                        if self._listens and self._conductor is not None:
                            self._conductor.start()
            except SaverError as error:
                _log.warning("%s", error)
                with self._changing:
                    if not epoch.is_set():
                        self._without_conductor = replace(
                            self._without_conductor,
                            state=SaverState.FAULT,
                            status=f"{error}. Asked again every {_ASK_BEACON_AGAIN_S:g} s.",
                            last_error=str(error),
                        )
            else:
                self._refresh()
                return
            self._refresh()
            epoch.wait(_ASK_BEACON_AGAIN_S)


def _same(one: DeviceConfiguration, other: DeviceConfiguration | None) -> bool:
    return (
        other is not None
        and one.settings == other.settings
        and one.beacon_host == other.beacon_host
    )
