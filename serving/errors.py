"""What this server refuses.

ServingError
├── TableError      the model's table or classes are none that this server reads: it does not start
└── RequestError    a request that is answered HTTP 400
"""

from __future__ import annotations


class ServingError(Exception):
    """Base of this package's errors."""


class TableError(ServingError):
    """The MLmodel file tells of its table or classes what this server does not understand."""


class RequestError(ServingError):
    """The message names column, row and value where there are such, and what to send instead."""
