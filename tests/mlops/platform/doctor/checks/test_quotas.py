from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.stub import Stubber

from mlops.platform.doctor.checks import quotas
from mlops.platform.doctor.checks.quotas import Need, Quota, find_needs, judge

_NEED = Need(quota="ml.m5.large for endpoint usage", instances=3, purpose="staging and prod")


def test_both_stages_and_the_one_that_is_replaced_run_at_once():
    assert [(need.quota, need.instances) for need in find_needs([{}, {}])] == [
        ("ml.m5.xlarge for processing job usage", 1),
        ("ml.m5.xlarge for training job usage", 1),
        ("ml.m5.large for endpoint usage", 3),
    ]


def test_a_stage_counts_with_its_own_type_and_number():
    prod = {"EndpointInstanceType": "ml.c5.xlarge", "EndpointInstanceCount": "2"}
    needs = {need.quota: need.instances for need in find_needs([{}, prod])}
    assert needs["ml.m5.large for endpoint usage"] == 2
    assert needs["ml.c5.xlarge for endpoint usage"] == 4


def test_a_serverless_stage_needs_no_instance():
    needs = find_needs([{"ServerlessMemoryInMB": "2048"}, {"ServerlessMemoryInMB": 2048}])
    assert not [need for need in needs if "endpoint" in need.quota]


def test_the_stages_files_of_this_tree_can_be_read():
    parameters = quotas._stage_parameters(Path(__file__).parents[5] / "model_deploy")
    assert [stage["StageName"] for stage in parameters] == ["staging", "prod"]


@pytest.mark.parametrize(("value", "status"), [(0.0, "failed"), (2.0, "warning")])
def test_too_small_a_quota_names_the_command_that_asks_for_more(value, status):
    [finding] = judge([_NEED], {_NEED.quota: Quota(code="L-1", value=value)})
    assert finding.status == status
    assert finding.message == (
        f"ml.m5.large for endpoint usage: {value:g}; 3 needed (staging and prod)"
    )
    assert finding.remedy == (
        "aws service-quotas request-service-quota-increase --service-code sagemaker "
        "--quota-code L-1 --desired-value 3"
    )


def test_an_unknown_quota_is_no_failure():
    [finding] = judge([_NEED], {})
    assert finding.status == "warning"
    assert "list-aws-default-service-quotas" in finding.remedy


def test_it_pages_until_it_has_found_all(patient, account):
    names = [need.quota for need in find_needs(quotas._stage_parameters(quotas._STAGE_CONFIGS))]
    told = []
    pages = [names[:1], names[1:], ["never asked for"]]
    with Stubber(account.client("service-quotas")) as stub:
        for number, page in enumerate(pages[:2], start=1):
            request = {"ServiceCode": "sagemaker"}
            stub.add_response(
                "list_service_quotas",
                {
                    "Quotas": [
                        {"QuotaName": name, "QuotaCode": f"L-{name[:4]}", "Value": 9.0}
                        for name in page
                    ],
                    "NextToken": f"page{number}",
                },
                request if number == 1 else {**request, "NextToken": f"page{number - 1}"},
            )
        whole = patient()
        findings = list(quotas.check(type(whole)(**{**vars(whole), "say": told.append})))
        stub.assert_no_pending_responses()
    assert [(finding.status, finding.message) for finding in findings] == [
        ("ok", f"{len(names)} of {len(names)} quotas for instances suffice")
    ]
    assert told == ["page 1 of SageMaker's quotas", "page 2 of SageMaker's quotas"]


def test_the_names_are_spelled_as_service_quotas_spells_them():
    # As in SageMaker's own refusals: "The account-level service limit '...' is 0 Instances".
    for need in find_needs([{}]):
        kind, _, usage = need.quota.partition(" for ")
        assert kind.startswith("ml.")
        assert usage in ("processing job usage", "training job usage", "endpoint usage")
    assert json.dumps([need.quota for need in find_needs([{}])]).isascii()
