"""Finds and loads the compiled core, if it was built: one shared library of plain C functions.

`RLGAN_NATIVE=0` switches it off, `RLGAN_NATIVE=portable`, `avx2` or `avx512` insists on one instruction set, and 1, as
without the variable, takes the best there is, or torch where the core was not built. It is read whenever the core is
asked for, so that a test can run on both paths.
"""

import ctypes
import importlib.util
import os
from functools import lru_cache

from rlgan.errors import ConfigError

INSTRUCTION_SETS = ("portable", "avx2", "avx512")
_POINTER, _INT, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_LAYER = [_POINTER, _INT, _INT, _POINTER]  # weight, its two steps, bias
_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "rlgan_instruction_set": (ctypes.c_char_p, []),
    "rlgan_choose_instruction_set": (ctypes.c_int, [ctypes.c_char_p]),
    "rlgan_sample": (_INT, [_INT, _POINTER, *_LAYER, _POINTER, *[_INT] * 4, _FLOAT, _POINTER]),
    "rlgan_softmax_forward": (None, [_INT, _POINTER, *_LAYER, _POINTER, *[_INT] * 3, _FLOAT, *[_POINTER] * 3]),
    "rlgan_softmax_backward": (None, [_INT, *[_POINTER] * 8, *[_INT] * 3, *[_POINTER] * 3]),
    "rlgan_lstm_step": (_INT, [_INT, *[_POINTER] * 7, *[_INT] * 4, *[_POINTER] * 2]),
    "rlgan_features": (
        _INT,
        [_INT, _POINTER, *[_INT] * 3, *[_POINTER] * 4, _INT, *[_POINTER] * 2, *[_INT] * 3, _POINTER],
    ),
    "rlgan_highway_size": (_INT, [_INT]),
    "rlgan_pack_highway": (None, [_INT, _INT, *[_POINTER] * 6]),
    "rlgan_highway": (None, [_INT, _POINTER, *[_INT] * 2, *[_POINTER] * 4, _FLOAT, _POINTER]),
    "rlgan_width": (_INT, []),
    "rlgan_height": (_INT, []),
    "rlgan_max_features": (_INT, [_INT, _POINTER, *[_INT] * 3, *[_POINTER] * 5, *[_INT] * 2, *[_POINTER] * 2]),
    "rlgan_max_features_gradient": (
        None,
        [_INT, _POINTER, *[_INT] * 3, *[_POINTER] * 4, *[_INT] * 2, *[_POINTER] * 6],
    ),
    "rlgan_highway_forward": (None, [_INT, *[_POINTER] * 5, *[_INT] * 2, *[_POINTER] * 3]),
    "rlgan_highway_backward": (None, [_INT, *[_POINTER] * 6, *[_INT] * 2, *[_POINTER] * 5]),
}


@lru_cache(maxsize=1)
def _built() -> ctypes.CDLL | None:
    """The library, or None where the package was installed without a compiler."""
    found = importlib.util.find_spec("rlgan.native._core")
    if found is None or found.origin is None:
        return None
    try:
        library = ctypes.CDLL(found.origin)
    except OSError:  # built for another kind of machine
        return None
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


@lru_cache(maxsize=1)  # the last setting: another one chooses again
def _chosen(setting: str) -> ctypes.CDLL | None:
    """The library with the instruction set that the setting asks for; ConfigError where it cannot be had."""
    values = f"use 0 (off), 1 (the best) or one of {', '.join(INSTRUCTION_SETS)}"
    if setting not in {"0", "1", *INSTRUCTION_SETS}:
        raise ConfigError(f"RLGAN_NATIVE={setting}: not an instruction set; {values}.")
    if setting == "0":
        return None
    library, name = _built(), "" if setting == "1" else setting
    if library is None and name:
        raise ConfigError(
            f"RLGAN_NATIVE={setting}: the native core was not built, or for another machine; install rlgan with a C++ "
            "compiler, or use 0 or 1."
        )
    if library is not None and not library.rlgan_choose_instruction_set(name.encode()):
        raise ConfigError(f"RLGAN_NATIVE={setting}: not an instruction set of this machine; {values}.")
    return library


def native_library() -> ctypes.CDLL | None:
    """The compiled core.

    Returns:
        The library, or None where it was not built or is switched off.
    """
    return _chosen(os.environ.get("RLGAN_NATIVE") or "1")


def instruction_set() -> str | None:
    """What the core's kernels are compiled for.

    Returns:
        "avx512", "avx2" or "portable"; None where the core is not in use.
    """
    library = native_library()
    return None if library is None else str(library.rlgan_instruction_set().decode())
