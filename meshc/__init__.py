"""meshc: a service mesh for VMs and bare metal, compiled instead of controlled."""

__version__ = "0.1.0"
