"""A worker writes only while it is certain that no other instance does."""

from __future__ import annotations

import math

import gevent
import msgspec

from tango_saver.engine.lease import Lease, boot_time, this_machine
from tango_saver.engine.messages import RenewLease, SaveScan, decode_order, encode


def test_of_an_instance_that_shares_nothing_the_lease_holds_for_ever() -> None:
    assert Lease(shared=False).holds


def test_a_shared_one_holds_once_it_was_renewed_and_until_then() -> None:
    lease = Lease(shared=True)
    assert not lease.holds
    assert not lease.trouble
    lease.renew(boot_time() + 3600)
    assert lease.holds
    assert not lease.trouble


def test_a_renewal_that_is_read_too_late_says_nothing() -> None:
    lease = Lease(shared=True)
    lease.renew(boot_time() - 1)
    assert not lease.holds
    assert "could not be renewed" in lease.trouble


def test_an_older_renewal_does_not_shorten_a_newer_one() -> None:
    lease = Lease(shared=True)
    lease.renew(boot_time() + 3600)
    lease.renew(boot_time() - 3600)
    assert lease.holds


def test_who_waits_goes_on_when_it_is_renewed_or_has_nothing_to_wait_for() -> None:
    lease = Lease(shared=True)
    lease.wait(lambda: True)
    waiting = gevent.spawn(lease.wait, lambda: False)
    gevent.sleep(0)
    assert not waiting.ready()
    lease.renew(math.inf)
    waiting.join(20)
    assert waiting.successful()


def test_all_processes_of_a_machine_have_the_same_name_for_it() -> None:
    assert this_machine()
    assert this_machine() == this_machine.__wrapped__()


def test_a_claim_survives_the_way_to_the_worker() -> None:
    order = SaveScan("key", "session", "name", 1, "/data/µ.h5", fence=7, displaced="host")
    assert decode_order(encode(order)) == order
    assert decode_order(encode(RenewLease(12.5))) == RenewLease(12.5)
    assert msgspec.json.decode(msgspec.json.encode(order), type=SaveScan) == order
