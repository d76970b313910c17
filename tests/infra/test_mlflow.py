"""mlflow.yml: what each mode of server, database, way in and login gives, and who may do what."""

from __future__ import annotations

import ast
import fnmatch
import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_aws.cloudformation.rules import check_rules
from local_aws.errors import AwsError

_ROOT = Path(__file__).parents[2]
_IMAGE = _ROOT / "infra" / "images" / "server"
_ACCOUNT, _REGION = "123456789012", "eu-west-1"
_CERTIFICATE = f"arn:aws:acm:{_REGION}:{_ACCOUNT}:certificate/0a"
_OLD_KEY = f"arn:aws:kms:{_REGION}:{_ACCOUNT}:key/99999999-2222-3333-4444-555555555555"
_TLS = {"CertificateArn": _CERTIFICATE, "DomainName": "mlflow.example.com"}
_PUBLIC = {
    **_TLS,
    "Scheme": "internet-facing",
    "BasicAuth": "true",
    "AllowedCidr": "198.51.100.0/24",
}
_RETURNING = {"ExistingKeyArn": _OLD_KEY, "ExistingBucket": "kept"}
_TEAM = {
    **_TLS,
    "HostedZoneId": "Z0A",
    "BasicAuth": "true",
    "TaskSize": "medium",
    "MinTasks": "2",
    "MaxTasks": "4",
    "DatabaseClass": "db.t4g.medium",
    "DatabaseMultiAz": "true",
}


@pytest.fixture(scope="module")
def smallest(render: Callable[..., Any]) -> Any:
    """Every parameter as it is by default."""
    return render("mlflow.yml")


@pytest.fixture(scope="module")
def team(render: Callable[..., Any]) -> Any:
    """TLS under a name of its own, a login, two tasks, a standby of the database."""
    return render("mlflow.yml", **_TEAM)


@pytest.fixture(
    scope="module",
    params=[{}, _TLS, {"BasicAuth": "true"}, _TEAM, _PUBLIC, _RETURNING],
    ids=["smallest", "tls", "login", "team", "public", "returning"],
)
def stack(request: pytest.FixtureRequest, render: Callable[..., Any]) -> Any:
    """Each mode, for what holds in all of them."""
    return render("mlflow.yml", **request.param)


def _container(stack: Any) -> dict[str, Any]:
    (container,) = stack.resources["Task"]["ContainerDefinitions"]
    return dict(container)


def _environment(stack: Any) -> dict[str, str]:
    return {entry["Name"]: entry["Value"] for entry in _container(stack)["Environment"]}


def _secrets(stack: Any) -> dict[str, str]:
    return {entry["Name"]: entry["ValueFrom"] for entry in _container(stack)["Secrets"]}


def _published(stack: Any) -> dict[str, str]:
    return {
        properties["Name"].removeprefix("/sagemaker-mlflow/"): properties["Value"]
        for properties in stack.of_type("AWS::SSM::Parameter").values()
    }


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _allowed(document: Any) -> set[tuple[str, str]]:
    """Pairs of action and resource."""
    return {
        (action, resource)
        for statement in document["Statement"]
        for action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
    }


def _role(stack: Any, name: str) -> set[tuple[str, str]]:
    return {
        pair
        for policy in stack.resources[name]["Policies"]
        for pair in _allowed(policy["PolicyDocument"])
    }


def _constants(module: str) -> dict[str, Any]:
    """The constants of a module of the image, which can be imported only in the image."""
    found = {}
    for node in ast.parse((_IMAGE / module).read_text()).body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                try:
                    found[name] = ast.literal_eval(value)
                except ValueError:
                    continue
    return found


# ---- parameters ----


def test_nothing_has_to_be_given(smallest: Any) -> None:
    assert all("Default" in declared for declared in smallest.template.parameters.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AllowedCidr", "10.0.0.0"),
        ("AllowedCidr", "10.0.0.0/33"),
        ("AllowedPrefixListId", "sg-0a"),
        ("DomainName", "MLflow.example.com"),
        ("DomainName", "localhost"),
        ("DomainName", "*.example.com"),
        ("CertificateArn", "0a"),
        ("HostedZoneId", "example.com"),
        ("DatabaseClass", "db.t3.micro"),
        ("DatabaseStorage", "5"),
        ("DatabasePasswordVersion", "0"),
        ("BackupRetentionDays", "0"),
        ("BackupRetentionDays", "36"),
        ("MaintenanceWindow", "Sunday"),
        ("MaxTasks", "0"),
        ("ExistingKeyArn", "alias/sagemaker-mlflow"),
    ],
)
def test_values_that_would_fail_later_are_refused_at_once(
    render: Callable[..., Any], name: str, value: str
) -> None:
    with pytest.raises(AwsError, match=name):
        render("mlflow.yml", **{name: value})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({**_PUBLIC, "CertificateArn": "", "DomainName": ""}, "needs CertificateArn"),
        ({**_PUBLIC, "BasicAuth": "false"}, "needs BasicAuth"),
        ({**_PUBLIC, "AllowedCidr": ""}, "needs AllowedCidr or AllowedPrefixListId"),
        ({**_PUBLIC, "AllowedCidr": "0.0.0.0/0"}, "can't be everybody"),
        ({"CertificateArn": _CERTIFICATE}, "CertificateArn needs DomainName"),
        ({"HostedZoneId": "Z0A"}, "HostedZoneId needs DomainName"),
        ({"MinTasks": "2", "MaxTasks": "1"}, "MaxTasks must not be less"),
        ({"ExistingBucket": "kept"}, "go together"),
        ({"ExistingKeyArn": _OLD_KEY}, "go together"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(
    smallest: Any, given: dict[str, str], problem: str
) -> None:
    defaults = {
        name: str(declared["Default"]) for name, declared in smallest.template.parameters.items()
    }
    with pytest.raises(AwsError, match=problem):
        check_rules(smallest.template, {**defaults, **given}, {})


@pytest.mark.parametrize(
    "given",
    [
        {},
        _TLS,
        _TEAM,
        _PUBLIC,
        {**_PUBLIC, "AllowedCidr": "", "AllowedPrefixListId": "pl-0a"},
        {"DomainName": "mlflow.internal"},
        _RETURNING,
    ],
)
def test_modes_that_go_together_pass_the_rules(smallest: Any, given: dict[str, str]) -> None:
    defaults = {
        name: str(declared["Default"]) for name, declared in smallest.template.parameters.items()
    }
    check_rules(smallest.template, {**defaults, **given}, {})


def test_an_existing_network_is_only_another_value_in_the_parameter_store(smallest: Any) -> None:
    assert {
        name: declared["Default"]
        for name, declared in smallest.template.parameters.items()
        if declared["Type"].startswith("AWS::SSM::")
    } == {
        "VpcId": "/sagemaker-mlflow/network/vpc-id",
        "PrivateSubnetIds": "/sagemaker-mlflow/network/private-subnet-ids",
        "PublicSubnetIds": "/sagemaker-mlflow/network/public-subnet-ids",
        "Image": "/sagemaker-mlflow/images/server",
    }
    assert not smallest.of_type("AWS::EC2::VPC")


@pytest.mark.parametrize("size", ["single-user.json", "team.json"])
def test_the_two_sizes_give_parameters_that_exist_and_agree(
    render: Callable[..., Any], size: str
) -> None:
    settings = json.loads((_ROOT / "infra/platform/settings" / size).read_text())
    given = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in settings["stacks"]["mlflow"].items()
    }
    template = render("mlflow.yml", **given).template
    defaults = {name: str(declared["Default"]) for name, declared in template.parameters.items()}
    check_rules(template, {**defaults, **given}, {})


# ---- way in ----


def test_without_a_certificate_it_is_http_within_the_vpc(smallest: Any) -> None:
    listener = smallest.resources["Listener"]
    assert (listener["Port"], listener["Protocol"]) == (80, "HTTP")
    assert not {"Certificates", "SslPolicy"} & set(listener)
    assert smallest.resources["LoadBalancer"]["Scheme"] == "internal"
    assert smallest.resources["LoadBalancer"]["Subnets"] == ["subnet-0a", "subnet-0b"]
    assert "Record" not in smallest.resources
    assert _published(smallest)["tracking-uri"] == "http://LoadBalancer.DNSName"


def test_with_a_certificate_it_is_tls_and_nothing_else(team: Any) -> None:
    (listener,) = team.of_type("AWS::ElasticLoadBalancingV2::Listener").values()
    assert (listener["Port"], listener["Protocol"]) == (443, "HTTPS")
    assert listener["Certificates"] == [{"CertificateArn": _CERTIFICATE}]
    assert "TLS13-1-2" in listener["SslPolicy"]
    rules = team.resources["LoadBalancerSecurityGroup"]["SecurityGroupIngress"]
    assert {(rule["FromPort"], rule["ToPort"]) for rule in rules} == {(443, 443)}
    assert _published(team)["tracking-uri"] == "https://mlflow.example.com"


def test_the_record_is_an_alias_of_the_load_balancer(team: Any, render: Callable[..., Any]) -> None:
    record = team.resources["Record"]
    assert (record["Name"], record["Type"]) == ("mlflow.example.com", "A")
    assert record["AliasTarget"] == {
        "DNSName": "LoadBalancer.DNSName",
        "HostedZoneId": "LoadBalancer.CanonicalHostedZoneID",
    }
    assert "Record" not in render("mlflow.yml", **_TLS).resources


def test_a_name_without_a_certificate_is_http(render: Callable[..., Any]) -> None:
    stack = render("mlflow.yml", DomainName="mlflow.internal")
    assert _published(stack)["tracking-uri"] == "http://mlflow.internal"
    assert _environment(stack)["MLFLOW_SERVER_ALLOWED_HOSTS"] == "mlflow.internal,localhost:*"


def test_an_internet_facing_load_balancer_is_in_the_public_subnets(
    render: Callable[..., Any],
) -> None:
    stack = render("mlflow.yml", **_PUBLIC)
    assert stack.resources["LoadBalancer"]["Scheme"] == "internet-facing"
    assert stack.resources["LoadBalancer"]["Subnets"] == ["subnet-0c", "subnet-0d"]
    network = stack.resources["Service"]["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert network["Subnets"] == ["subnet-0a", "subnet-0b"]
    assert network["AssignPublicIp"] == "DISABLED"


def test_another_scheme_gives_other_names_so_that_both_can_stand_side_by_side(
    smallest: Any, render: Callable[..., Any]
) -> None:
    public = render("mlflow.yml", **_PUBLIC)
    for kind in ("LoadBalancer", "TargetGroup"):
        names = {stack.resources[kind]["Name"] for stack in (smallest, public)}
        assert len(names) == 2
        # AWS makes the DNS name of it, and MLflow compares that letter by letter.
        assert all(name == name.lower() and len(name) <= 32 for name in names)
        assert not any(name.startswith("internal-") for name in names)


def test_mlflow_answers_to_its_name_and_through_a_tunnel_only(smallest: Any, team: Any) -> None:
    def answers(allowed: list[str], host: str) -> bool:
        """As mlflow.server.security_utils does it; importing MLflow takes seconds."""
        return any(fnmatch.fnmatchcase(host, pattern) for pattern in allowed)

    for stack, host in ((smallest, "LoadBalancer.DNSName"), (team, "mlflow.example.com")):
        allowed = _environment(stack)["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
        assert answers(allowed, host)
        assert answers(allowed, "localhost:8080")
        for other in ("evil.example.com", f"{host}.evil.com", "localhost.evil.com", "10.0.0.1"):
            assert not answers(allowed, other), other
        assert _published(stack)["tracking-uri"].endswith(f"://{host}")


def test_each_rule_of_a_security_group_is_described(stack: Any) -> None:
    for properties in stack.of_type("AWS::EC2::SecurityGroup").values():
        # Without a rule of its own, CloudFormation lets everything out.
        assert properties["SecurityGroupEgress"]
        for rule in (
            *properties["SecurityGroupEgress"],
            *properties.get("SecurityGroupIngress", []),
        ):
            assert rule["Description"]
    for properties in stack.of_type("AWS::EC2::SecurityGroupIngress").values():
        assert properties["Description"]


def test_the_only_way_is_from_clients_over_load_balancer_and_server_to_the_database(
    stack: Any,
) -> None:
    group = "{}.GroupId"
    groups = stack.of_type("AWS::EC2::SecurityGroup")
    into = {name: properties.get("SecurityGroupIngress", []) for name, properties in groups.items()}
    for rule in stack.of_type("AWS::EC2::SecurityGroupIngress").values():
        into[rule["GroupId"].partition(".")[0]].append(rule)
    assert {
        (name, rule.get("SourceSecurityGroupId", "addresses").partition(".")[0], rule["FromPort"])
        for name, rules in into.items()
        for rule in rules
    } - {("LoadBalancerSecurityGroup", "addresses", 443)} == {
        ("LoadBalancerSecurityGroup", "ClientSecurityGroup", stack.resources["Listener"]["Port"]),
        ("ServerSecurityGroup", "LoadBalancerSecurityGroup", 5000),
        ("DatabaseSecurityGroup", "ServerSecurityGroup", 3306),
    }
    (nowhere,) = groups["DatabaseSecurityGroup"]["SecurityGroupEgress"]
    assert nowhere["CidrIp"] == "127.0.0.1/32"
    (server,) = groups["LoadBalancerSecurityGroup"]["SecurityGroupEgress"]
    assert server["DestinationSecurityGroupId"] in ("ServerSecurityGroup", group)
    ports = {rule["FromPort"] for rule in groups["ServerSecurityGroup"]["SecurityGroupEgress"]}
    assert ports == {443, 3306}


def test_addresses_are_let_in_only_when_they_are_given(
    smallest: Any, render: Callable[..., Any]
) -> None:
    def sources(stack: Any) -> list[str]:
        rules = stack.resources["LoadBalancerSecurityGroup"]["SecurityGroupIngress"]
        return [rule.get("CidrIp") or rule.get("SourcePrefixListId") for rule in rules[1:]]

    assert sources(smallest) == []
    assert sources(render("mlflow.yml", AllowedCidr="10.8.0.0/16")) == ["10.8.0.0/16"]
    assert sources(
        render("mlflow.yml", AllowedCidr="10.8.0.0/16", AllowedPrefixListId="pl-0a")
    ) == ["10.8.0.0/16", "pl-0a"]


def test_the_server_never_closes_a_connection_that_the_load_balancer_keeps(smallest: Any) -> None:
    (idle,) = [
        int(attribute["Value"])
        for attribute in smallest.resources["LoadBalancer"]["LoadBalancerAttributes"]
        if attribute["Key"] == "idle_timeout.timeout_seconds"
    ]
    server = _constants("tracking_server.py")
    assert idle < server["KEEP_ALIVE_SECONDS"]
    # ECS kills a task after 30 s, unless told otherwise.
    assert server["SHUTDOWN_SECONDS"] < _container(smallest).get("StopTimeout", 30)


def test_access_logs_are_optional(smallest: Any, render: Callable[..., Any]) -> None:
    def attributes(stack: Any) -> dict[str, str]:
        return {
            attribute["Key"]: attribute["Value"]
            for attribute in stack.resources["LoadBalancer"]["LoadBalancerAttributes"]
        }

    assert attributes(smallest)["access_logs.s3.enabled"] == "false"
    assert "access_logs.s3.bucket" not in attributes(smallest)
    logged = attributes(render("mlflow.yml", AccessLogBucket="logs"))
    assert logged["access_logs.s3.enabled"] == "true"
    assert logged["access_logs.s3.bucket"] == "logs"
    assert logged["routing.http.drop_invalid_header_fields.enabled"] == "true"


# ---- server ----


def test_the_container_gets_what_the_image_asks_for(stack: Any) -> None:
    settings = _constants("server_settings.py")
    login = _environment(stack)["BASIC_AUTH"] == "true"
    environment = {*settings["ENVIRONMENT"], *(settings["LOGIN_ENVIRONMENT"] if login else ())}
    secrets = {*settings["SECRETS"], *(settings["LOGIN_SECRETS"] if login else ())}

    assert environment <= set(_environment(stack))
    assert set(_secrets(stack)) == secrets
    # Nothing is given that the image does not read.
    assert set(_environment(stack)) - environment <= set(settings["DEFAULTS"])


def test_the_image_accepts_the_container_s_environment(
    stack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(_IMAGE))
    settings = importlib.import_module("server_settings").Settings
    authorities = tmp_path / "rds-ca.pem"
    authorities.touch()
    environment = _environment(stack)
    # As ECS and RDS fill them in.
    environment |= {name: f"generated-{name}" for name in _secrets(stack)}
    environment |= {"DATABASE_PORT": "3306", "MLFLOW_MYSQL_SSL_CA": str(authorities)}

    read = settings.from_environment(environment)

    assert (read.login is not None) == (environment["BASIC_AUTH"] == "true")
    assert _published(stack)["tracking-uri"].partition("://")[2] in read.allowed_hosts


def test_values_are_such_as_the_image_takes(team: Any) -> None:
    settings = _constants("server_settings.py")
    environment = _environment(team)
    assert set(team.template.parameters["DefaultPermission"]["AllowedValues"]) == set(
        settings["PERMISSIONS"]
    )
    assert environment["MLFLOW_DEFAULT_ARTIFACT_ROOT"].startswith("s3://")
    assert environment["DATABASE_USER"] == team.resources["Database"]["MasterUsername"]
    assert environment["DATABASE_NAME"] == team.resources["Database"]["DBName"]
    generated = team.resources["ClientSecret"]["GenerateSecretString"]
    template = json.loads(generated["SecretStringTemplate"])
    assert template == {"username": environment["CLIENT_USERNAME"]}
    assert environment["CLIENT_USERNAME"] != settings["ADMIN_USERNAME"]
    admin = team.resources["AdminSecret"]["GenerateSecretString"]["SecretStringTemplate"]
    assert json.loads(admin) == {"username": settings["ADMIN_USERNAME"]}
    for secret in ("AdminSecret", "ClientSecret"):
        length = team.resources[secret]["GenerateSecretString"]["PasswordLength"]
        assert length >= settings["SHORTEST_PASSWORD"]


def test_passwords_are_secrets_and_never_environment(stack: Any) -> None:
    assert not [name for name in _environment(stack) if "PASSWORD" in name or "SECRET" in name]
    for name, value in _secrets(stack).items():
        assert value.startswith(f"arn:aws:secretsmanager:{_REGION}:{_ACCOUNT}:secret:"), name
    # Only what is JSON has a key to choose.
    assert {
        name for name, value in _secrets(stack).items() if not value.endswith(":password::")
    } <= {"MLFLOW_FLASK_SERVER_SECRET_KEY"}


def test_the_container_can_do_little(stack: Any) -> None:
    container = _container(stack)
    assert container["User"] == "10001"
    assert container["ReadonlyRootFilesystem"] is True
    assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
    assert container["MountPoints"] == [{"SourceVolume": "tmp", "ContainerPath": "/tmp"}]
    assert stack.resources["Task"]["Volumes"] == [{"Name": "tmp"}]
    assert stack.resources["Service"]["EnableExecuteCommand"] is False


def test_the_image_lets_its_user_write_into_the_volume() -> None:
    dockerfile = (_IMAGE / "Dockerfile").read_text()
    # Otherwise ECS gives the mounted folder to root.
    assert re.search(r'^VOLUME \["/tmp"\]$', dockerfile, re.MULTILINE)
    assert re.search(r"^USER 10001\b", dockerfile, re.MULTILINE)


def test_the_container_runs_the_image_s_commands(smallest: Any) -> None:
    container = _container(smallest)
    dockerfile = (_IMAGE / "Dockerfile").read_text()
    entrypoint = json.loads(re.findall(r"^ENTRYPOINT (\[.*\])$", dockerfile, re.MULTILINE)[0])
    assert "EntryPoint" not in container
    assert container["Command"] == ["serve"]
    assert container["HealthCheck"]["Command"] == ["CMD", *entrypoint, "check"]
    assert container["PortMappings"] == [{"ContainerPort": 5000, "Protocol": "tcp"}]


def test_a_failover_passes_and_a_broken_database_does_not(smallest: Any) -> None:
    check = _container(smallest)["HealthCheck"]
    tolerated = check["Interval"] * check["Retries"]
    assert 240 <= tolerated <= 360
    # Both questions with all their timeouts: killed earlier, it would not tell what failed.
    assert check["Timeout"] >= 2 * _constants("tracking_server.py")["CHECK_SECONDS"] + 20
    group = smallest.resources["TargetGroup"]
    assert group["HealthCheckPath"] == "/health"


def test_a_deployment_that_does_not_start_is_undone(stack: Any) -> None:
    deployment = stack.resources["Service"]["DeploymentConfiguration"]
    assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert deployment["MinimumHealthyPercent"] == 100
    # The ways must be open before the first task starts, or it counts as failed.
    assert set(stack.template.resources["Service"].depends_on) == {
        "Listener",
        "ServerIngress",
        "DatabaseIngress",
    }


@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_sizes_are_pairs_that_fargate_has(render: Callable[..., Any], size: str) -> None:
    task = render("mlflow.yml", TaskSize=size).resources["Task"]
    cpu, memory = int(task["Cpu"]), int(task["Memory"])
    # "Task CPU and memory" (Amazon ECS developer guide): GiB for each size of CPU.
    least, most = {512: (1, 4), 1024: (2, 8), 2048: (4, 16)}[cpu]
    assert least <= memory / 1024 <= most


def test_tasks_scale_between_the_limits(team: Any) -> None:
    assert str(team.resources["Service"]["DesiredCount"]) == "2"
    target = team.resources["Scaling"]
    assert (str(target["MinCapacity"]), str(target["MaxCapacity"])) == ("2", "4")
    assert set(target["SuspendedState"].values()) == {False}


def test_maintenance_stops_server_and_alarms_and_nothing_else(
    smallest: Any, render: Callable[..., Any]
) -> None:
    stopped = render("mlflow.yml", Maintenance="true")
    assert stopped.resources["Service"]["DesiredCount"] == 0
    # A registered target lifts the service to its minimum, whatever is suspended.
    assert stopped.resources["Scaling"]["MinCapacity"] == 0
    assert set(stopped.resources["Scaling"]["SuspendedState"].values()) == {True}
    changed = {
        name
        for name, properties in stopped.resources.items()
        if properties != smallest.resources[name]
    }
    assert changed == {
        *("Service", "Scaling", "DatabaseUnreachable", "NoHealthyTask", "ServerErrors")
    }
    for alarm in ("DatabaseUnreachable", "NoHealthyTask", "ServerErrors"):
        assert stopped.resources[alarm]["ActionsEnabled"] is False


# ---- login ----


def test_without_a_login_there_is_nothing_of_it(smallest: Any) -> None:
    assert set(smallest.of_type("AWS::SecretsManager::Secret")) == {"DatabaseSecret"}
    assert set(_secrets(smallest)) == {"DATABASE_PASSWORD"}
    assert not {"CLIENT_USERNAME", "DEFAULT_PERMISSION"} & set(_environment(smallest))
    assert _published(smallest)["credentials-secret"] == "none"
    assert not {"AdminSecretArn", "ClientSecretArn", "FormSecretArn"} & set(smallest.outputs)
    for policy in ("ReaderPolicy", "WriterPolicy"):
        document = smallest.resources[policy]["PolicyDocument"]
        assert not [action for action, _ in _allowed(document) if "secretsmanager" in action]


def test_with_a_login_clients_may_read_their_own_secret_only(team: Any) -> None:
    client = _published(team)["credentials-secret"]
    assert client == team.outputs["ClientSecretArn"]
    for policy in ("ReaderPolicy", "WriterPolicy"):
        allowed = _allowed(team.resources[policy]["PolicyDocument"])
        secrets = {resource for action, resource in allowed if "secretsmanager" in action}
        assert secrets == {client}
    generated = team.resources["ClientSecret"]["GenerateSecretString"]
    assert generated["GenerateStringKey"] == "password"


# ---- roles ----


def test_the_server_reads_artifacts_and_the_starter_reads_its_secrets(
    team: Any, render: Callable[..., Any]
) -> None:
    bucket = f"arn:aws:s3:::sagemaker-mlflow-{_ACCOUNT}-{_REGION}"
    key = f"arn:aws:kms:{_REGION}:{_ACCOUNT}:key/Key"
    assert _role(team, "ServerRole") == {
        ("s3:ListBucket", bucket),
        ("s3:GetObject", f"{bucket}/*"),
        ("kms:Decrypt", key),
    }
    starter = _role(team, "StartRole")
    read = {resource for action, resource in starter if action == "secretsmanager:GetSecretValue"}
    assert read == {re.sub(r":password::$", "", value) for value in _secrets(team).values()}
    repositories = {resource for action, resource in starter if action == "ecr:BatchGetImage"}
    made = render("images.yml").of_type("AWS::ECR::Repository").values()
    (name,) = [
        each["RepositoryName"] for each in made if each["RepositoryName"].endswith("/server")
    ]
    assert repositories == {f"arn:aws:ecr:{_REGION}:{_ACCOUNT}:repository/{name}"}


def test_writers_write_and_nobody_deletes_artifacts(stack: Any) -> None:
    bucket = stack.outputs["ArtifactBucketName"]
    reader = _allowed(stack.resources["ReaderPolicy"]["PolicyDocument"])
    writer = _allowed(stack.resources["WriterPolicy"]["PolicyDocument"])
    assert reader < writer
    assert {action for action, _ in writer - reader} == {
        "s3:AbortMultipartUpload",
        "s3:PutObject",
        "kms:GenerateDataKey",
    }
    assert ("s3:PutObject", f"arn:aws:s3:::{bucket}/*") in writer


def test_keys_are_used_through_the_services_that_need_them(stack: Any) -> None:
    documents = [
        policy["PolicyDocument"]
        for role in stack.of_type("AWS::IAM::Role").values()
        for policy in role["Policies"]
    ]
    documents += [
        policy["PolicyDocument"] for policy in stack.of_type("AWS::IAM::ManagedPolicy").values()
    ]
    used = [
        statement
        for document in documents
        for statement in document["Statement"]
        if any(action.startswith("kms:") for action in _listed(statement["Action"]))
    ]
    assert len(used) == 5
    for statement in used:
        (services,) = statement["Condition"]["StringEquals"].values()
        assert set(_listed(services)) <= {
            f"s3.{_REGION}.amazonaws.com",
            f"secretsmanager.{_REGION}.amazonaws.com",
        }


def test_every_role_is_bounded_when_a_boundary_is_given(
    smallest: Any, render: Callable[..., Any]
) -> None:
    boundary = f"arn:aws:iam::{_ACCOUNT}:policy/boundary"
    bounded = render("mlflow.yml", PermissionsBoundaryArn=boundary)
    for name, role in bounded.of_type("AWS::IAM::Role").items():
        assert role["PermissionsBoundary"] == boundary
        assert "PermissionsBoundary" not in smallest.resources[name]
    for kind in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy"):
        assert {p["Path"] for p in smallest.of_type(kind).values()} == {"/sagemaker-mlflow/"}


# ---- key ----


def test_the_key_lets_in_what_docs_aws_demands(smallest: Any) -> None:
    """The policy printed in docs/aws.md is what a project needs of any key."""
    text = (_ROOT / "docs" / "aws.md").read_text()
    (block,) = [b for b in re.findall(r"^```json\n(.*?)^```", text, re.M | re.S) if "kms:" in b]
    demanded = json.loads(block.replace("111122223333", _ACCOUNT))
    statements = smallest.resources["Key"]["KeyPolicy"]["Statement"]
    for wanted in demanded:
        (given,) = [s for s in statements if s["Principal"] == wanted["Principal"]]
        assert set(wanted["Action"]) <= set(given["Action"])
        if "Condition" not in wanted:
            assert "Condition" not in given
            continue
        for operator, wanted_keys in wanted["Condition"].items():
            for name, values in wanted_keys.items():
                assert set(_listed(values)) <= set(_listed(given["Condition"][operator][name]))


def test_each_encrypted_log_group_is_one_that_the_key_lets_in(smallest: Any) -> None:
    (logs,) = [s for s in smallest.resources["Key"]["KeyPolicy"]["Statement"] if s["Sid"] == "Logs"]
    patterns = logs["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
    for group in smallest.of_type("AWS::Logs::LogGroup").values():
        arn = f"arn:aws:logs:{_REGION}:{_ACCOUNT}:log-group:{group['LogGroupName']}"
        assert any(arn.startswith(pattern.removesuffix("*")) for pattern in patterns), arn
        assert group["KmsKeyId"] == smallest.outputs["KeyArn"]


# ---- database ----


def test_the_database_is_private_encrypted_and_asks_for_tls(stack: Any) -> None:
    database = stack.resources["Database"]
    assert database["Engine"] == "mysql"
    assert database["EngineVersion"] == "8.4"
    assert stack.resources["DatabaseParameters"]["Family"] == "mysql8.4"
    assert stack.resources["DatabaseParameters"]["Parameters"]["require_secure_transport"] == "1"
    assert database["PubliclyAccessible"] is False
    assert database["StorageEncrypted"] is True
    assert database["KmsKeyId"] == stack.outputs["KeyArn"]
    assert database["StorageType"] == "gp3"


def test_rds_finds_the_log_groups_ready(stack: Any) -> None:
    name = stack.resources["Database"]["DBInstanceIdentifier"]
    for kind in stack.resources["Database"]["EnableCloudwatchLogsExports"]:
        (logical_id,) = [
            logical_id
            for logical_id, group in stack.of_type("AWS::Logs::LogGroup").items()
            if group["LogGroupName"] == f"/aws/rds/instance/{name}/{kind}"
        ]
        assert logical_id in stack.template.resources["Database"].depends_on


def test_a_new_password_version_replaces_secret_password_and_task_at_once(
    smallest: Any, render: Callable[..., Any]
) -> None:
    rotated = render("mlflow.yml", DatabasePasswordVersion="2")
    for stack, version in ((smallest, 1), (rotated, 2)):
        assert (
            stack.resources["DatabaseSecret"]["Name"] == f"sagemaker-mlflow/0a/database-{version}"
        )
    password = rotated.resources["Database"]["MasterUserPassword"]
    assert password != smallest.resources["Database"]["MasterUserPassword"]
    arn = rotated.outputs["DatabaseSecretArn"]
    assert password == f"{{{{resolve:secretsmanager:{arn}:SecretString:password}}}}"
    assert _secrets(rotated)["DATABASE_PASSWORD"] == f"{arn}:password::"
    changed = {
        name
        for name, properties in rotated.resources.items()
        if properties != smallest.resources[name]
    }
    # The role first of all: the new tasks read the new secret under it.
    assert changed == {"DatabaseSecret", "Database", "Task", "StartRole"}


def test_rds_takes_the_generated_password(smallest: Any) -> None:
    generated = smallest.resources["DatabaseSecret"]["GenerateSecretString"]
    assert generated["PasswordLength"] <= 41
    assert generated["ExcludePunctuation"] is True


def test_a_snapshot_brings_name_user_and_encryption_along(render: Callable[..., Any]) -> None:
    given = {"DatabaseSnapshot": "before-upgrade", "DatabaseGeneration": "2"}
    restoring = render("mlflow.yml", Maintenance="true", **given).resources["Database"]
    assert restoring["DBSnapshotIdentifier"] == "before-upgrade"
    assert restoring["DBInstanceIdentifier"] == "sagemaker-mlflow-2"
    # "AWS::RDS::DBInstance" (CloudFormation reference): what not to say when restoring.
    never = {"DBName", "MasterUsername", "StorageEncrypted", "KmsKeyId"}
    assert not {*never, "MasterUserPassword"} & set(restoring)
    restored = render("mlflow.yml", **given).resources["Database"]
    assert not never & set(restored)
    assert "MasterUserPassword" in restored


def test_nothing_but_another_generation_renames_the_database(
    smallest: Any, render: Callable[..., Any]
) -> None:
    name = smallest.resources["Database"]["DBInstanceIdentifier"]
    for given in ({"DatabaseSnapshot": "old"}, _TEAM, {"DatabasePasswordVersion": "2"}):
        assert render("mlflow.yml", **given).resources["Database"]["DBInstanceIdentifier"] == name


@pytest.mark.parametrize(
    ("size", "insights"),
    [("db.t4g.micro", False), ("db.t4g.small", False), ("db.t4g.medium", True)],
)
def test_performance_insights_where_the_class_has_it(
    render: Callable[..., Any], size: str, insights: bool
) -> None:
    database = render("mlflow.yml", DatabaseClass=size).resources["Database"]
    assert database["EnablePerformanceInsights"] is insights
    # It can't be taken back: CloudFormation would replace the database.
    assert "PerformanceInsightsKMSKeyId" not in database


def test_each_class_has_an_alarm_for_its_connections(render: Callable[..., Any]) -> None:
    classes = render("mlflow.yml").template.parameters["DatabaseClass"]["AllowedValues"]
    thresholds = [
        render("mlflow.yml", DatabaseClass=name).resources["DatabaseConnections"]["Threshold"]
        for name in classes
    ]
    assert thresholds == sorted(thresholds)


# ---- what stays ----


def test_what_holds_data_stays_and_what_can_be_made_anew_goes(smallest: Any) -> None:
    text = (_ROOT / "infra/platform/mlflow.yml").read_text().partition("\nResources:\n")[2]
    policies = {}
    for name in smallest.template.resources:
        block = re.search(rf"^  {name}:\n(?:    .*\n|\n(?=    ))+", text, re.MULTILINE)
        assert block is not None, name
        policies[name] = re.findall(
            r"^    (?:Deletion|UpdateReplace)Policy: (\w+)$", block[0], re.M
        )
    said = {name: policy for name, policy in policies.items() if policy}
    kept = ["RetainExceptOnCreate", "Retain"]
    assert {name for name, policy in said.items() if policy == kept} == {
        *("Key", "Artifacts", "ArtifactsPolicy")
    }
    assert said["Database"] == ["Snapshot", "Snapshot"]
    for kind in ("AWS::Logs::LogGroup", "AWS::SecretsManager::Secret"):
        for name, declared in smallest.template.resources.items():
            if declared.type == kind:
                # The database before a restore stays, and writes on.
                replaced = "Retain" if name.startswith("Database") and "Logs" in name else "Delete"
                assert said[name] == ["Delete", replaced], name


def test_deletion_protection_is_on_unless_told_otherwise(
    smallest: Any, render: Callable[..., Any]
) -> None:
    for stack, value in (
        (smallest, "true"),
        (render("mlflow.yml", DeletionProtection="false"), "false"),
    ):
        assert stack.resources["Database"]["DeletionProtection"] == value
        attributes = stack.resources["LoadBalancer"]["LoadBalancerAttributes"]
        assert {"Key": "deletion_protection.enabled", "Value": value} in attributes


def test_a_new_stack_takes_over_key_and_bucket_of_an_earlier_one(
    render: Callable[..., Any],
) -> None:
    stack = render("mlflow.yml", **_RETURNING)
    assert not {"Key", "KeyAlias", "Artifacts", "ArtifactsPolicy"} & set(stack.resources)
    assert _published(stack)["key-arn"] == _OLD_KEY
    assert _published(stack)["artifact-bucket"] == "kept"
    assert _environment(stack)["MLFLOW_DEFAULT_ARTIFACT_ROOT"] == "s3://kept"
    assert ("s3:GetObject", "arn:aws:s3:::kept/*") in _role(stack, "ServerRole")
    assert ("kms:Decrypt", _OLD_KEY) in _role(stack, "StartRole")


def test_bucket_is_private_encrypted_versioned_and_answers_tls_only(smallest: Any) -> None:
    bucket = smallest.resources["Artifacts"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": smallest.outputs["KeyArn"],
    }
    (lifecycle,) = bucket["LifecycleConfiguration"]["Rules"]
    assert not {"ExpirationInDays", "ExpirationDate", "Transitions"} & set(lifecycle)
    (deny,) = smallest.resources["ArtifactsPolicy"]["PolicyDocument"]["Statement"]
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", "s3:*")
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


# ---- alarms ----


def test_the_alarm_looks_for_what_the_check_prints(smallest: Any) -> None:
    words = _constants("tracking_server.py")["DATABASE_CHECK_FAILED"]
    found = smallest.resources["DatabaseChecks"]
    assert found["FilterPattern"] == f'"{words}"'
    assert found["LogGroupName"] == smallest.outputs["LogGroupName"]
    (metric,) = found["MetricTransformations"]
    alarm = smallest.resources["DatabaseUnreachable"]
    assert (alarm["Namespace"], alarm["MetricName"]) == (
        metric["MetricNamespace"],
        metric["MetricName"],
    )
    # It tells people before ECS gives the task up.
    check = _container(smallest)["HealthCheck"]
    assert alarm["Period"] * alarm["EvaluationPeriods"] < check["Interval"] * check["Retries"]
    # In each of its periods there is at least one check.
    assert alarm["Period"] >= check["Interval"] + check["Timeout"]


def test_each_alarm_says_what_it_means_and_tells_the_topic(stack: Any) -> None:
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    assert set(alarms) == {
        *("DatabaseUnreachable", "NoHealthyTask", "ServerErrors"),
        *("DatabaseStorageLow", "DatabaseBusy", "DatabaseConnections"),
    }
    topic = stack.outputs["AlarmTopicArn"]
    for name, alarm in alarms.items():
        assert len(alarm["AlarmDescription"]) > 30, name
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic]


def test_the_topic_is_encrypted_and_takes_alarms_of_this_account(smallest: Any) -> None:
    assert smallest.resources["Alarms"]["KmsMasterKeyId"] == smallest.outputs["KeyArn"]
    (allow,) = smallest.resources["AlarmsPolicy"]["PolicyDocument"]["Statement"]
    assert allow["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allow["Condition"] == {"StringEquals": {"aws:SourceAccount": _ACCOUNT}}
    (key,) = [
        s
        for s in smallest.resources["Key"]["KeyPolicy"]["Statement"]
        if s["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    ]
    assert key["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]


def test_mail_is_optional(smallest: Any, render: Callable[..., Any]) -> None:
    assert "Subscription" not in smallest.resources["Alarms"]
    mailed = render("mlflow.yml", NotificationEmail="team@example.com")
    assert mailed.resources["Alarms"]["Subscription"] == [
        {"Protocol": "email", "Endpoint": "team@example.com"}
    ]


def test_logs_end_when_told(render: Callable[..., Any]) -> None:
    groups = render("mlflow.yml", LogRetentionDays="30").of_type("AWS::Logs::LogGroup").values()
    assert {str(group["RetentionInDays"]) for group in groups} == {"30"}
    assert len(groups) == 3


# ---- what others read ----


def test_projects_find_everything_in_the_parameter_store(stack: Any) -> None:
    published = _published(stack)
    assert set(published) == {
        *("tracking-uri", "reader-policy-arn", "writer-policy-arn", "key-arn"),
        *("client-security-group-id", "credentials-secret", "artifact-bucket"),
    }
    assert published["tracking-uri"] == published["tracking-uri"].lower() or (
        published["tracking-uri"] == "http://LoadBalancer.DNSName"
    )
    assert published["reader-policy-arn"].startswith(f"arn:aws:iam::{_ACCOUNT}:policy/")
    assert {p["Type"] for p in stack.of_type("AWS::SSM::Parameter").values()} == {"String"}
