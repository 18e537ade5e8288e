"""What the bench looks like: where each device stands, how long it is, what to buy."""

from photonic_acdc.layout.sketch import Device, Layout, Station, design

__all__ = ["Device", "Layout", "Station", "design"]
