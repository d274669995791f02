"""The names of the bindings that BLISS mentions when it is imported."""


class _Anything(type):
    """A class whose attributes are such classes again."""

    def __getattr__(cls, name: str) -> "_Anything":
        return _Anything(name, (), {})


class Hkl(metaclass=_Anything):
    """Never used: there is no diffractometer."""


class GLib(metaclass=_Anything):
    """Never used: there is no diffractometer."""
