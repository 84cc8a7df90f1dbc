"""Tells failures of a model hub or of its network from defects of tltk and of the libraries below it."""

_CLIENTS = ("kagglehub", "kagglesdk", "huggingface_hub", "requests", "urllib3", "httpx", "httpx2", "httpcore")


def is_hub_failure(error: Exception) -> bool:
    """Tell whether an error means that a hub cannot be reached, refuses access, or does not have what was asked for.

    Other exceptions, such as `TypeError` and `KeyError`, are defects, whose traceback the user must see.

    Args:
        error: Raised by Keras, KerasHub or the client of a hub.

    Examples:
        >>> is_hub_failure(ConnectionError("no route to host")), is_hub_failure(TypeError("no such argument"))
        (True, False)
    """
    if isinstance(error, OSError | ValueError):  # KerasHub raises a ValueError for unknown presets and refused access
        return True
    # Keras raises a bare Exception when a download fails; the clients of hubs have classes of their own.
    return type(error) is Exception or type(error).__module__.partition(".")[0] in _CLIENTS


def first_line(error: Exception) -> str:
    """Return the first line of the message of an error, or the name of its class if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
