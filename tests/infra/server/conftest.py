"""The MLflow server's image: its modules can be imported as in the image, its database is here."""

from __future__ import annotations

import sys

from tests.mariadb import mariadb  # noqa: F401 # a fixture
from tests.tracking_server import SOURCES

sys.path.insert(0, str(SOURCES))
