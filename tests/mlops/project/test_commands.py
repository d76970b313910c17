"""What `mlops invoke` says of a request that the endpoint refused."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from mlops.project.commands import _refusal


@pytest.mark.parametrize(
    ("original", "told"),
    [
        (
            json.dumps({"error_code": "BAD_REQUEST", "message": "column 'age': 'x' is no number"}),
            "e-prod answers 400: column 'age': 'x' is no number  (`mlops logs e-prod`)",
        ),
        ("no JSON", "e-prod answers 400: no JSON  (`mlops logs e-prod`)"),
        ("", "e-prod answers: Received client error (400) from primary"),
    ],
)
def test_a_refusal_is_the_model_server_s_own_sentence(original: str, told: str) -> None:
    answer = {
        "Error": {"Code": "ModelError", "Message": "Received client error (400) from primary"},
        "OriginalStatusCode": 400,
        "OriginalMessage": original,
    }

    assert _refusal("e-prod", ClientError(answer, "InvokeEndpoint")) == told
