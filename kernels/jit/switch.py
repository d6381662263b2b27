"""Whether kernels are made with what Numba has inside, or by its public means alone."""

import os
from typing import Final

#: Set LAZYNUMA_PUBLIC_NUMBA=1 when a new Numba breaks what is listed in this folder's
#: ``__init__``: kernels are then slow, are compiled anew in every process, and do the
#: same.
PUBLIC: Final = os.environ.get("LAZYNUMA_PUBLIC_NUMBA") == "1"
