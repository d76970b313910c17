"""The one error of this step."""


class DataError(Exception):
    """The data can't be used: which data, why, and what to do about it."""


def enumerate_names(names: "list[str] | tuple[str, ...] | set[str]", limit: int = 20) -> str:
    """The names in quotes, sorted; past `limit` only how many more."""
    listed = sorted(str(name) for name in names)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(repr(name) for name in listed[:limit]) + more
