"""What several scripts use. They are run by path, so this folder is found beside them.

`tests.checkpoints` makes the checkpoints and `tests.reference` has the goldens: the repository's
root is put on the path for both.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
