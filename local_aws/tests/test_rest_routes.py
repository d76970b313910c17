from __future__ import annotations

import pytest

from local_aws.rest_routes import Route, find_route


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/schedules", Route("ListSchedules", {})),
        ("GET", "/schedules/night%20ly", Route("GetSchedule", {"Name": "night ly"})),
        ("PUT", "/schedules/nightly", Route("UpdateSchedule", {"Name": "nightly"})),
        ("GET", "/schedules/a/b", None),
        ("PATCH", "/schedules/nightly", None),
    ],
)
def test_method_and_path_name_the_operation(method, path, expected):
    assert find_route("scheduler", method, path) == expected
