"""Makes ``played.py`` and ``stage_bench.py`` importable from the tests beside it, and from processes they start."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
