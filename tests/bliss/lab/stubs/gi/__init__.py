"""BLISS imports the bindings of the diffractometer library hkl; here is no diffractometer."""


def require_version(_namespace: str, _version: str) -> None:
    """Every version will do."""
