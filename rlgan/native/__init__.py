"""The compiled core of the hot loops on a CPU. It is optional: without it all runs on torch, with the same results.

A module here is a thin layer over C functions; who calls it asks `supports` first, and has a torch path besides.
"""

from rlgan.native.library import instruction_set, native_library
from rlgan.native.softmax_layer import supports

__all__ = ["instruction_set", "native_library", "supports"]
