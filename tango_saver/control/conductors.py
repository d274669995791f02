"""The conductors of the server: devices with the same settings share one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from tango_saver.engine.choice import Choice
from tango_saver.engine.conductor import Conductor
from tango_saver.model.settings import SaverSettings
from tango_saver.model.status import SaverStatus

_ALL_WRITERS = SaverSettings().data_writers


@dataclass(eq=False)
class Seat:
    """The part of one device in a conductor.

    What the device asks of the conductor it asks for all that share it: they show the same.
    """

    settings: SaverSettings
    publish: Callable[[SaverStatus], None]
    own_writers: frozenset[str]
    conductor: Conductor
    _leave: Callable[[Seat], bool]

    def leave(self) -> bool:
        """Give the seat up; whether it was the last one, whose owner ends the conductor."""
        return self._leave(self)


class Conductors:
    """Hands out seats, and keeps two conductors from saving the same scan.

    The settings of devices that share a conductor differ in ``data_writers`` at most; it saves
    the scans of all of them. Between conductors, a writer goes to the device that is made for
    it (``own_writers``), whoever else names it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seats: dict[Conductor, list[Seat]] = {}

    def join(
        self,
        settings: SaverSettings,
        publish: Callable[[SaverStatus], None],
        own_writers: frozenset[str],
    ) -> Seat:
        """A seat in the conductor with these settings, which is made if there is none.

        Args:
            settings: of the device.
            publish: told every change, see ``Conductor``.
            own_writers: values of SCAN_SAVING.writer that the class of the device is made for.

        Raises:
            ConfigurationError: a setting cannot be used; the message names it.
        """
        with self._lock:
            conductor = self._find(settings) or self._make(settings)
            seat = Seat(settings, publish, own_writers, conductor, self._part)
            self._seats[conductor].append(seat)
            self._share_out()
            return seat

    def _find(self, settings: SaverSettings) -> Conductor | None:
        wanted = _shared_part(settings)
        return next(
            (
                conductor
                for conductor, seats in self._seats.items()
                if _shared_part(seats[0].settings) == wanted
            ),
            None,
        )

    def _make(self, settings: SaverSettings) -> Conductor:
        writers = tuple(dict.fromkeys((*settings.data_writers, *_ALL_WRITERS)))
        known = replace(settings, data_writers=writers) if settings.data_writers else settings
        seats: list[Seat] = []

        def publish(status: SaverStatus) -> None:
            for seat in tuple(seats):
                seat.publish(status)

        conductor = Conductor(known, publish)
        self._seats[conductor] = seats
        return conductor

    def _part(self, seat: Seat) -> bool:
        with self._lock:
            seats = self._seats.get(seat.conductor, [])
            if seat not in seats:
                return False
            seats.remove(seat)
            if not seats:
                del self._seats[seat.conductor]
            self._share_out()
            return not seats

    def _share_out(self) -> None:
        """Tell every conductor which scans are its own; the lock is held."""
        for conductor, seats in self._seats.items():
            here = {pair for seat in seats for pair in _owned(seat)}
            redis_url = seats[0].settings.redis_url
            elsewhere = {
                pair
                for other in self._all_seats()
                if other.conductor is not conductor and other.settings.redis_url == redis_url
                for pair in _owned(other)
            }
            writers = {writer for seat in seats for writer in seat.settings.data_writers}
            conductor.choose(Choice(frozenset(writers), frozenset(elsewhere - here)))

    def _all_seats(self) -> Iterable[Seat]:
        return (seat for seats in self._seats.values() for seat in seats)


def _shared_part(settings: SaverSettings) -> SaverSettings:
    return replace(settings, data_writers=())


def _owned(seat: Seat) -> set[tuple[str, str]]:
    return {
        (seat.settings.session, writer)
        for writer in seat.own_writers.intersection(seat.settings.data_writers)
    }
