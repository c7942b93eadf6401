"""How kernels are compiled.

`_nrt` off: kernels allocate nothing, so numba need not count references to their arrays. It does so with locked
instructions at every call of a helper, which cost more than the work: the window count went from 122 to 27 ns an event
in cache together with `forceinline` (either alone gained almost nothing).
"""

COMPILED = {"cache": True, "nogil": True, "_nrt": False}  # a kernel
HOT = {**COMPILED, "forceinline": True}  # a step that a kernel's loop calls for every event
