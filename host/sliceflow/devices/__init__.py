"""One protocol, several devices: each executes a program's descriptors on its own activation memory."""

from sliceflow.devices.base import Device, LaunchReport, open_device

__all__ = ["Device", "LaunchReport", "open_device"]
