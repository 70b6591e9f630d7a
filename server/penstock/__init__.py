"""penstock: a file server that shares one uplink fairly among its clients."""

__version__ = "0.1.0"
