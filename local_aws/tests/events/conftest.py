"""The account of events and schedules, with the services that they call."""

from events_account import account, elsewhere

__all__ = ["account", "elsewhere"]
