"""The version of this package."""

from importlib import metadata


def version() -> str:
    """Version of the installed distribution, or ``unknown`` when the folder is used as it lies."""
    try:
        return metadata.version("sliceflow")
    except metadata.PackageNotFoundError:
        return "unknown"
