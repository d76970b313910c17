"""Pages of lists."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.errors import AwsError
from local_aws.pagination import page_of

ITEMS = [{"Name": name} for name in "abcde"]


def page(items: list[dict[str, str]], **params: Any) -> tuple[str, dict[str, str]]:
    found, more = page_of(items, lambda item: str(item["Name"]), params)
    return "".join(item["Name"] for item in found), more


def test_pages_follow_each_other_to_the_end() -> None:
    first, token = page(ITEMS, MaxResults=2)
    second, more = page(ITEMS, MaxResults=2, **token)
    assert (first, second) == ("ab", "cd")
    assert page(ITEMS, MaxResults=2, **more) == ("e", {})


def test_list_that_fits_has_no_token() -> None:
    assert page(ITEMS) == ("abcde", {})
    assert page(ITEMS, MaxResults=5) == ("abcde", {})
    assert page([]) == ("", {})


def test_new_items_in_front_do_not_shift_the_next_page() -> None:
    _, token = page(ITEMS, MaxResults=2)
    assert page([{"Name": "new"}, *ITEMS], **token) == ("cde", {})


@pytest.mark.parametrize("token", ["x", "eA==", "Zg=="])
def test_token_that_was_never_given_is_refused(token: str) -> None:
    with pytest.raises(AwsError) as caught:
        page(ITEMS, NextToken=token)
    assert str(caught.value) == f"Invalid NextToken {token!r}"
