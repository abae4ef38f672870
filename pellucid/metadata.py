"""Metadata that goes with every call, by the names that the services and the client share."""

from typing import Final

REQUEST_ID: Final = "x-request-id"
"""1 to 64 letters, digits, `.`, `_` and `-`: names a request in every service's log."""
