"""The options with which kernels are compiled.

`_nrt` off: kernels allocate nothing, so numba need not count references to their arrays. It does so with locked
instructions at every call of a helper, which cost more than the work: the window count went from 122 to 27 ns an event
in cache together with `forceinline` (either alone gained almost nothing).

Only kernels call a helper. It is part of the machine code of each kernel that uses it, so it needs neither a cache of
its own nor the wrappers with which Python and C would call it: those took a third of the first start.
"""

_PLAIN = {"nogil": True, "_nrt": False}
COMPILED = {**_PLAIN, "cache": True}  # a kernel
INNER = {**_PLAIN, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # a helper
HOT = {**INNER, "forceinline": True}  # a step that a kernel's loop calls for every event
