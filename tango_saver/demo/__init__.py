"""An embedded beamline: a Redis server, a Tango database, recorded scans, one run."""
