"""The Geant4 library inside ``geant4-pybind``: loading it without data sets, and classes without Python bindings.

The bindings leave out most physics constructors, and those that they have need two gigabytes of data files. The
classes used here need none; they are constructed by the names that the C++ compiler gave them (Itanium C++ ABI), which
the wheel exports. Such objects live until the process ends.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from mlreco.errors import UserError

PACKAGE = "geant4-pybind"
VERSIONS = ("0.1.3",)
"""Versions whose memory layout (`layout`) was read and checked."""

_NO_DATA = Path(__file__).with_name("no_data")
_DATA_FOLDERS = ("GEANT4_DATA_DIR", "G4LEDATA", "G4PARTICLEXSDATA", "G4LEVELGAMMADATA", "G4ENSDFSTATEDATA")
"""Variables with the folders of data sets. The bindings fetch what is missing unless the first is set."""

_OBJECT_BYTES = 1 << 16
"""Room for an object whose size is not known; the largest class constructed here needs a few kilobytes."""

Pointer = ctypes.c_void_p


def require_geant4() -> str:
    """Return the version of the wheel.

    Raises:
        UserError: Geant4 is not installed, in a version that was not checked, or there is no wheel for this machine.
    """
    wanted = f"pip install {PACKAGE}=={VERSIONS[-1]}"
    try:
        version = importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(f"simulating needs Geant4, which is not installed in {sys.executable}: {wanted}") from None
    if version not in VERSIONS:
        raise UserError(f"simulating needs {PACKAGE} {' or '.join(VERSIONS)}, and {version} is installed: {wanted}")
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise UserError(f"simulating works on Linux x86_64 alone, and this is {sys.platform} {platform.machine()}")
    return version


def _load() -> ModuleType:
    """Import the bindings with a folder without content in place of the data sets."""
    os.environ.update(dict.fromkeys(_DATA_FOLDERS, str(_NO_DATA)))
    import geant4_pybind

    return geant4_pybind


class Library:
    """Geant4, loaded.

    Attributes:
        python: the Python bindings.
    """

    def __init__(self) -> None:
        require_geant4()
        self.python = _load()
        self._library = ctypes.CDLL(self.python.__file__)
        self._keep: list[Any] = []

    def address(self, symbol: str) -> int:
        """Return where a function or table is."""
        return ctypes.addressof(ctypes.c_char.in_dll(self._library, symbol))

    def call(self, symbol: str, *arguments: Any, returns: Any = Pointer, types: Sequence[Any] | None = None) -> Any:
        """Call a function or method (with the object as the first argument) by its exported name.

        Args:
            symbol: mangled name.
            arguments: addresses where ``types`` does not say otherwise.
            returns: ctypes type of the result, None for none.
            types: ctypes types of the arguments.
        """
        function = self._library[symbol]
        function.restype, function.argtypes = returns, list(types or [Pointer] * len(arguments))
        return function(*arguments)

    def construct(self, class_name: str, signature: str, *arguments: Any, types: Sequence[Any] | None = None) -> int:
        """Construct an object and return its address.

        Args:
            class_name: name of the class.
            signature: mangled parameters of its constructor.
            arguments: texts for ``const G4String&``, otherwise as in `call`.
            types: ctypes types of the arguments.
        """
        memory = self.memory(_OBJECT_BYTES)
        given = [self._string(argument) if isinstance(argument, str) else argument for argument in arguments]
        symbol = f"_ZN{len(class_name)}{class_name}C1E{signature}"
        self.call(symbol, memory, *given, returns=None, types=[Pointer, *(types or [Pointer] * len(given))])
        return memory

    def memory(self, size: int) -> int:
        """Return the address of zeroed memory that stays."""
        buffer = ctypes.create_string_buffer(size + 16)
        self._keep.append(buffer)
        return -(-ctypes.addressof(buffer) // 16) * 16

    def particle(self, class_name: str) -> int:
        """Return the address of the definition of a particle, such as that of ``G4Proton``."""
        name = class_name.removeprefix("G4")
        return self.call(f"_ZN{len(class_name)}{class_name}{len(name)}{name}Ev")

    def _string(self, text: str) -> int:
        """Return the address of a std::string (libstdc++: address of the text, length, room for 15 characters)."""
        encoded = text.encode() + b"\0"
        string = self.memory(32 + len(encoded))
        characters = string + (16 if len(encoded) <= 16 else 32)
        ctypes.memmove(characters, encoded, len(encoded))
        Pointer.from_address(string).value = characters
        ctypes.c_size_t.from_address(string + 8).value = len(encoded) - 1
        return string


def read_string(address: int) -> str:
    """Read a std::string (libstdc++)."""
    characters = Pointer.from_address(address).value
    if characters is None:
        raise ValueError(f"no std::string at {address:#x}")
    return ctypes.string_at(characters, ctypes.c_size_t.from_address(address + 8).value).decode()
