"""Payloads of recorded BLISS 1 scans, and what an attacker or a broken network makes of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from tango_saver.demo.publisher_bliss1 import commands_of

RECORDINGS = Path(__file__).parent.parent / "resources" / "recordings" / "bliss1"
_OPERATIONS = bytes(range(0x80, 0x98)) + b"(.0125BCFGIJKLMNPQRSTUVX]abcdeghijloqrstu}"


def recorded_payloads(*names: str) -> list[bytes]:
    """All distinct pickles of these recordings, by default of all."""
    found: dict[bytes, None] = {}
    for path in sorted(RECORDINGS.iterdir()):
        if not names or path.name.removesuffix(".jsonl.gz") in names:
            for command in commands_of(path):
                found.update(
                    (argument, None)
                    for argument in command[2:]
                    if argument[:1] == b"\x80" and argument[-1:] == b"."
                )
    return list(found)


def mutated(payloads: list[bytes], n_payloads: int, seed: int) -> Iterator[bytes]:
    """Payloads with bytes changed, cut, doubled, exchanged, or with operations put in."""
    chance = random.Random(seed)  # noqa: S311 - to be repeatable
    for _ in range(n_payloads):
        raw = bytearray(chance.choice(payloads))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(raw)) if raw else 0
            match chance.randrange(6):
                case 0:
                    raw[at : at + 1] = bytes([chance.randrange(256)])
                case 1:
                    del raw[at : at + chance.randint(1, 16)]
                case 2:
                    raw[at:at] = raw[at : at + chance.randint(1, 32)] * chance.randint(1, 4)
                case 3:
                    raw[at:at] = bytes([chance.choice(_OPERATIONS)])
                case 4:
                    other = chance.choice(payloads)
                    cut = chance.randrange(len(other))
                    raw[at:at] = other[cut : cut + chance.randint(1, 64)]
                case _:
                    raw[at : at + 4] = chance.randbytes(4)
        yield bytes(raw)
