"""Late imports: modules that kinds of counter need for counting but not for reading rule files are imported at their
first use.

numpy and numba take longer to import than a rule file takes to be checked."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Late:
    """Stands for a module; the first name asked of it imports it."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(import_module(self._module), name)
        setattr(self, name, found)
        return found
