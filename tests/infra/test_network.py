"""network.yml: which routes, gateways and endpoints each choice makes, and what it publishes."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from local_aws.cloudformation.rules import check_rules
from local_aws.errors import AwsError

_EXISTING = {
    "ExistingVpcId": "vpc-0123456789abcdef0",
    "ExistingPrivateSubnetIds": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "ExistingPublicSubnetIds": "subnet-0123456789abcdef2,subnet-0123456789abcdef3",
}
_PREFIX = "/sagemaker-mlflow/network/"
_ENDPOINTS = {
    "ecr.api",
    "ecr.dkr",
    "logs",
    "sagemaker.api",
    "sagemaker.runtime",
    "secretsmanager",
    "ssm",
}


def _published(stack: Any) -> dict[str, tuple[str, str]]:
    """Type and value of each parameter below the network's path, by the rest of its name."""
    return {
        properties["Name"].removeprefix(_PREFIX): (properties["Type"], properties["Value"])
        for properties in stack.of_type("AWS::SSM::Parameter").values()
    }


def _default_route(stack: Any, subnet: str) -> dict[str, Any] | None:
    """The route to the internet that a subnet's own table has."""
    (table,) = [
        association["RouteTableId"]
        for association in stack.of_type("AWS::EC2::SubnetRouteTableAssociation").values()
        if association["SubnetId"] == subnet
    ]
    routes = [
        dict(route)
        for route in stack.of_type("AWS::EC2::Route").values()
        if route["RouteTableId"] == table and route["DestinationCidrBlock"] == "0.0.0.0/0"
    ]
    assert len(routes) <= 1
    return routes[0] if routes else None


def _interface_endpoints(stack: Any) -> list[Any]:
    return [
        properties
        for properties in stack.of_type("AWS::EC2::VPCEndpoint").values()
        if properties["VpcEndpointType"] == "Interface"
    ]


def _check(stack: Any, given: dict[str, str]) -> None:
    parameters = stack.template.parameters
    unknown = set(given) - set(parameters)
    assert not unknown, unknown
    defaults = {name: str(declared["Default"]) for name, declared in parameters.items()}
    check_rules(stack.template, {**defaults, **given}, {})


def test_nothing_has_to_be_chosen(render: Callable[..., Any]) -> None:
    stack = render("network.yml")
    assert all("Default" in declared for declared in stack.template.parameters.values())
    _check(stack, {})


def test_other_stacks_find_vpc_and_subnets_by_parameters(render: Callable[..., Any]) -> None:
    assert _published(render("network.yml")) == {
        "vpc-id": ("String", "Vpc"),
        "private-subnet-ids": ("StringList", "PrivateSubnetA,PrivateSubnetB"),
        "public-subnet-ids": ("StringList", "PublicSubnetA,PublicSubnetB"),
    }


def test_an_existing_vpc_is_published_and_nothing_is_made(render: Callable[..., Any]) -> None:
    stack = render("network.yml", **_EXISTING)
    kinds = {stack.template.resources[name].type for name in stack.resources}
    assert kinds == {"AWS::SSM::Parameter"}
    assert _published(stack) == {
        "vpc-id": ("String", _EXISTING["ExistingVpcId"]),
        "private-subnet-ids": ("StringList", _EXISTING["ExistingPrivateSubnetIds"]),
        "public-subnet-ids": ("StringList", _EXISTING["ExistingPublicSubnetIds"]),
    }
    assert stack.outputs == {
        "VpcId": _EXISTING["ExistingVpcId"],
        "PrivateSubnetIds": _EXISTING["ExistingPrivateSubnetIds"],
        "PublicSubnetIds": _EXISTING["ExistingPublicSubnetIds"],
    }
    _check(stack, _EXISTING)


def test_an_existing_vpc_needs_no_public_subnets(render: Callable[..., Any]) -> None:
    given = {**_EXISTING, "ExistingPublicSubnetIds": ""}
    stack = render("network.yml", **given)
    # mlflow.yml names the parameter whether it wants public subnets or not.
    assert _published(stack)["public-subnet-ids"] == ("StringList", "none")
    _check(stack, given)


@pytest.mark.parametrize("cidr", ["10.42.0.0/20", "10.0.0.0/16", "192.168.16.0/20"])
def test_four_subnets_over_two_zones_share_the_range_without_overlap(
    render: Callable[..., Any], cidr: str
) -> None:
    stack = render("network.yml", Cidr=cidr)
    subnets = stack.of_type("AWS::EC2::Subnet")
    ranges = [ipaddress.IPv4Network(subnet["CidrBlock"]) for subnet in subnets.values()]
    assert len(ranges) == 4
    assert all(part.subnet_of(ipaddress.IPv4Network(cidr)) for part in ranges)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(ranges, 2))
    zones = {name: subnet["AvailabilityZone"] for name, subnet in subnets.items()}
    assert zones["PublicSubnetA"] == zones["PrivateSubnetA"] == "eu-west-1a"
    assert zones["PublicSubnetB"] == zones["PrivateSubnetB"] == "eu-west-1b"
    assert {subnet["MapPublicIpOnLaunch"] for subnet in subnets.values()} == {False}


def test_zones_can_be_chosen(render: Callable[..., Any]) -> None:
    given = {"ZoneA": "us-east-1b", "ZoneB": "us-east-1f"}
    stack = render("network.yml", **given)
    _check(stack, given)
    zones = {
        name: subnet["AvailabilityZone"]
        for name, subnet in stack.of_type("AWS::EC2::Subnet").items()
    }
    assert {zone for name, zone in zones.items() if name.endswith("A")} == {"us-east-1b"}
    assert {zone for name, zone in zones.items() if name.endswith("B")} == {"us-east-1f"}


# Nat: the gateway of each private subnet.
@pytest.mark.parametrize(
    ("nat", "gateways"),
    [
        ("one", {"PrivateSubnetA": "NatA", "PrivateSubnetB": "NatA"}),
        ("per-zone", {"PrivateSubnetA": "NatA", "PrivateSubnetB": "NatB"}),
        ("none", {}),
    ],
)
@pytest.mark.parametrize("endpoints", ["true", "false"])
def test_private_subnets_leave_through_the_gateways_that_nat_says(
    render: Callable[..., Any], nat: str, gateways: dict[str, str], endpoints: str
) -> None:
    stack = render("network.yml", Nat=nat, InterfaceEndpoints=endpoints)
    routes = {
        subnet: _default_route(stack, subnet) for subnet in ("PrivateSubnetA", "PrivateSubnetB")
    }
    assert {s: route["NatGatewayId"] for s, route in routes.items() if route} == gateways
    made = stack.of_type("AWS::EC2::NatGateway")
    assert set(made) == set(gateways.values())
    assert len(stack.of_type("AWS::EC2::EIP")) == len(made)
    # A gateway's own subnet is the public one of its zone, whose table leads to the internet.
    for name, gateway in made.items():
        assert gateway["SubnetId"] == f"PublicSubnet{name[-1]}"
        route = _default_route(stack, gateway["SubnetId"])
        assert route is not None
        assert route["GatewayId"] == "InternetGateway"
    addresses = stack.outputs.get("NatAddresses", "")
    assert addresses == ",".join(sorted(f"NatAddress{name[-1]}" for name in made))


@pytest.mark.parametrize("nat", ["one", "per-zone", "none"])
def test_s3_never_passes_a_gateway_that_is_paid(render: Callable[..., Any], nat: str) -> None:
    s3 = render("network.yml", Nat=nat).resources["S3Endpoint"]
    assert s3["VpcEndpointType"] == "Gateway"
    assert s3["ServiceName"] == "com.amazonaws.eu-west-1.s3"
    assert s3["RouteTableIds"] == ["PrivateRoutesA", "PrivateRoutesB"]


def test_interface_endpoints_are_in_both_zones_and_for_the_vpc_only(
    render: Callable[..., Any],
) -> None:
    stack = render("network.yml", Nat="none", InterfaceEndpoints="true")
    endpoints = _interface_endpoints(stack)
    services = [endpoint["ServiceName"] for endpoint in endpoints]
    assert sorted(services) == sorted(f"com.amazonaws.eu-west-1.{name}" for name in _ENDPOINTS)
    for endpoint in endpoints:
        assert endpoint["PrivateDnsEnabled"] is True, endpoint
        assert endpoint["SubnetIds"] == ["PrivateSubnetA", "PrivateSubnetB"], endpoint
        assert endpoint["SecurityGroupIds"] == ["EndpointSecurityGroup"], endpoint
    group = stack.resources["EndpointSecurityGroup"]
    (ingress,) = group["SecurityGroupIngress"]
    assert (ingress["IpProtocol"], ingress["FromPort"], ingress["ToPort"]) == ("tcp", 443, 443)
    assert ingress["CidrIp"] == "Vpc.CidrBlock"
    (egress,) = group["SecurityGroupEgress"]
    assert egress["CidrIp"] == "127.0.0.1/32"


def test_interface_endpoints_are_not_the_default(render: Callable[..., Any]) -> None:
    stack = render("network.yml")
    assert _interface_endpoints(stack) == []
    assert stack.of_type("AWS::EC2::SecurityGroup") == {}


def test_names_of_endpoints_resolve_inside_the_vpc(render: Callable[..., Any]) -> None:
    vpc = render("network.yml").resources["Vpc"]
    assert vpc["EnableDnsSupport"] is True
    assert vpc["EnableDnsHostnames"] is True


def test_rejected_connections_are_logged_for_a_while(render: Callable[..., Any]) -> None:
    stack = render("network.yml", LogRetentionDays="7")
    log = stack.resources["FlowLog"]
    assert (log["ResourceType"], log["ResourceId"]) == ("VPC", "Vpc")
    assert log["TrafficType"] == "REJECT"
    group = stack.resources["FlowLogs"]
    assert log["LogGroupName"] == group["LogGroupName"]
    assert str(group["RetentionInDays"]) == "7"


def test_role_of_the_flow_logs_can_be_bounded(render: Callable[..., Any]) -> None:
    boundary = "arn:aws:iam::123456789012:policy/boundary"
    bounded = render("network.yml", PermissionsBoundaryArn=boundary).resources["FlowLogsRole"]
    assert bounded["PermissionsBoundary"] == boundary
    assert bounded["Path"] == "/sagemaker-mlflow/"
    assert "PermissionsBoundary" not in render("network.yml").resources["FlowLogsRole"]


def test_other_templates_name_parameters_that_are_always_made(render: Callable[..., Any]) -> None:
    wanted = {
        declared["Default"]
        for template in ("mlflow.yml", "mlflow-managed.yml", "project.yml")
        for declared in render(template).template.parameters.values()
        if str(declared.get("Default", "")).startswith(_PREFIX)
    }
    assert len(wanted) == 3
    for given in ({}, {**_EXISTING, "ExistingPublicSubnetIds": ""}):
        stack = render("network.yml", **given)
        assert {f"{_PREFIX}{name}" for name in _published(stack)} == wanted


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"ExistingVpcId": _EXISTING["ExistingVpcId"]}, "ExistingVpcId needs ExistingPrivateSub"),
        ({**_EXISTING, "Cidr": "10.0.0.0/16"}, "Cidr, ZoneA and ZoneB are of a new VPC"),
        ({**_EXISTING, "ZoneB": "eu-west-1c"}, "Cidr, ZoneA and ZoneB are of a new VPC"),
        ({**_EXISTING, "Nat": "per-zone"}, "Nat and InterfaceEndpoints are of a new VPC"),
        ({**_EXISTING, "InterfaceEndpoints": "true"}, "Nat and InterfaceEndpoints are of a new"),
        ({**_EXISTING, "ExistingVpcId": ""}, "need ExistingVpcId"),
        (
            {"ExistingPublicSubnetIds": _EXISTING["ExistingPublicSubnetIds"]},
            "need ExistingVpcId",
        ),
        ({"Nat": "none"}, "Nat=none needs InterfaceEndpoints=true"),
        ({"ZoneA": "eu-west-1a", "ZoneB": "eu-west-1a"}, "the same zone"),
        ({"ZoneA": "eu-west-1a"}, "ZoneA needs ZoneB"),
        ({"ZoneB": "eu-west-1b"}, "ZoneB needs ZoneA"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(
    render: Callable[..., Any], given: dict[str, str], problem: str
) -> None:
    with pytest.raises(AwsError, match=problem):
        _check(render("network.yml"), given)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        # A /21 holds two subnets of the four.
        ({"Cidr": "10.42.0.0/21"}, "between /16 and /20"),
        ({"Cidr": "10.42.0.0/8"}, "Cidr"),
        ({"Cidr": "10.42.0.256/20"}, "Cidr"),
        ({"ExistingPrivateSubnetIds": "subnet-0123456789abcdef0"}, "at least two subnets"),
        ({"ExistingPrivateSubnetIds": "subnet-0123abcd, subnet-0123abce"}, "without blanks"),
        ({"ExistingVpcId": "default"}, "ExistingVpcId"),
        ({"ZoneA": "euw1-az1"}, "ZoneA"),
        ({"Nat": "two"}, "Nat"),
        ({"InterfaceEndpoints": "yes"}, "InterfaceEndpoints"),
    ],
)
def test_values_that_would_fail_later_are_refused_at_once(
    render: Callable[..., Any], given: dict[str, str], problem: str
) -> None:
    with pytest.raises(AwsError, match=problem):
        render("network.yml", **given)
