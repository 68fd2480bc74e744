"""The tests of fastws: of the one that is installed, not of the sources beside this folder."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
IN_PLACE = "FASTWS_IN_PLACE" in os.environ

if not IN_PLACE:
    # pytest puts the folder of the tests in front, where a checkout has its uncompiled sources.
    sys.path[:] = [*(path for path in sys.path if Path(path).resolve() != ROOT), str(ROOT)]
