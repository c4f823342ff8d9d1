"""The tests' host is a fake: it takes the place of the bindings that componentize-py makes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "fakes"))
