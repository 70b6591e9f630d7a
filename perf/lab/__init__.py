"""A network of two hosts on one machine: delay, rate, queue, loss and marks as wanted.

Two network namespaces, ``server`` and ``client``, are joined by a process of their own
that carries every packet (``relay``) over a modelled link in each direction (``link``).
What it may do to packets can be changed while they flow, and it counts what it did.
The kernel's netem is not used: few kernels of containers and CI have it.
"""
