"""Whatever BLISS asks of the plot window is done at once, with nothing as the answer."""

from collections.abc import Callable


def _nothing(*_arguments: object, **_options: object) -> None:
    return None


def __getattr__(name: str) -> Callable[..., None]:
    if name.startswith("__"):
        raise AttributeError(name)
    return _nothing
