"""What the MLflow server's container takes from its environment, checked as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

# What a container definition must give, in `environment` or in `secrets`.
ENVIRONMENT = (
    "DATABASE_HOST",
    "DATABASE_USER",
    "MLFLOW_DEFAULT_ARTIFACT_ROOT",
    "MLFLOW_SERVER_ALLOWED_HOSTS",
    "BASIC_AUTH",
)
SECRETS = ("DATABASE_PASSWORD",)
# With BASIC_AUTH=true, and only then.
LOGIN_ENVIRONMENT = ("CLIENT_USERNAME",)
LOGIN_SECRETS = ("ADMIN_PASSWORD", "CLIENT_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY")
# What it may give, with the value that holds otherwise.
DEFAULTS: Mapping[str, str] = {
    "DATABASE_PORT": "3306",
    "DATABASE_NAME": "mlflow",
    "MLFLOW_MYSQL_SSL_CA": "/opt/mlflow-server/rds-ca.pem",
    "DEFAULT_PERMISSION": "READ",
    "WORKERS": "2",
    "PORT": "5000",
    # Each worker has three pools (experiments, models, users), and RDS's smallest MySQL takes
    # some sixty connections: this is at most 30 for a task with two workers.
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "3",
    "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "2",
}

ADMIN_USERNAME = "admin"
PERMISSIONS = ("NO_PERMISSIONS", "READ", "USE", "EDIT", "MANAGE")
SHORTEST_PASSWORD = 12  # MLflow refuses shorter ones
CONNECT_SECONDS = 10
# MLflow's queries take milliseconds; one on a lost connection must not hold its thread for good.
QUERY_SECONDS = 60


class ServerError(Exception):
    """The command failed."""

    exit_code = 1


class SettingsError(ServerError):
    """The environment is incomplete or contradicts itself; a line for each problem."""

    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("wrong environment:\n  " + "\n  ".join(problems))


@dataclass(frozen=True, kw_only=True)
class Database:
    host: str
    port: int
    name: str
    user: str
    password: str
    ca_path: Path

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.name}"

    def uri(self, *, query_seconds: int | None = QUERY_SECONDS) -> str:
        """For SQLAlchemy, with the server's certificate and its host name verified.

        MLflow's own MLFLOW_MYSQL_SSL_CA would hand PyMySQL `ssl_ca` alone, and then PyMySQL 1.2
        encrypts, but verifies nothing.
        """
        query = {
            "ssl_ca": str(self.ca_path),
            "ssl_check_hostname": "true",
            "charset": "utf8mb4",
            "connect_timeout": str(CONNECT_SECONDS),
        }
        if query_seconds is not None:
            query |= {"read_timeout": str(query_seconds), "write_timeout": str(query_seconds)}
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"mysql+pymysql://{login}@{self.host}:{self.port}/{self.name}?{urlencode(query)}"


@dataclass(frozen=True, kw_only=True)
class Login:
    """Basic authentication: the administrator, and the one user of all jobs and builds."""

    admin_password: str
    client_username: str
    client_password: str
    default_permission: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    database: Database
    artifact_root: str
    allowed_hosts: tuple[str, ...]
    workers: int
    port: int
    login: Login | None
    pools: Mapping[str, str]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Raise SettingsError with all that is missing, malformed or contradictory."""
        # An empty secret is a missing one.
        values = {**DEFAULTS, **{name: value for name, value in environ.items() if value}}
        problems = list(_problems(values))
        if problems:
            raise SettingsError(problems)
        return cls(
            database=Database(
                host=values["DATABASE_HOST"],
                port=int(values["DATABASE_PORT"]),
                name=values["DATABASE_NAME"],
                user=values["DATABASE_USER"],
                password=values["DATABASE_PASSWORD"],
                ca_path=Path(values["MLFLOW_MYSQL_SSL_CA"]),
            ),
            artifact_root=values["MLFLOW_DEFAULT_ARTIFACT_ROOT"],
            allowed_hosts=_hosts(values["MLFLOW_SERVER_ALLOWED_HOSTS"]),
            workers=int(values["WORKERS"]),
            port=int(values["PORT"]),
            login=_login(values) if values["BASIC_AUTH"] == "true" else None,
            pools={
                name: values[name] for name in DEFAULTS if name.startswith("MLFLOW_SQLALCHEMYSTORE")
            },
        )


def _login(values: Mapping[str, str]) -> Login:
    return Login(
        admin_password=values["ADMIN_PASSWORD"],
        client_username=values["CLIENT_USERNAME"],
        client_password=values["CLIENT_PASSWORD"],
        default_permission=values["DEFAULT_PERMISSION"],
    )


def _hosts(text: str) -> tuple[str, ...]:
    """The names as given and in lower case.

    MLflow compares the Host header letter by letter. A load balancer's name has capitals; browsers
    and most clients send it without.
    """
    given = [host.strip() for host in text.split(",") if host.strip()]
    return tuple(dict.fromkeys([*given, *(host.lower() for host in given)]))


def _problems(values: Mapping[str, str]) -> Iterator[str]:
    login = values.get("BASIC_AUTH")
    only_with_login = (*LOGIN_ENVIRONMENT, *LOGIN_SECRETS)
    for name in (*ENVIRONMENT, *SECRETS, *(only_with_login if login == "true" else ())):
        if name not in values:
            yield f"{name} is missing"
    if login not in (None, "true", "false"):
        yield f"BASIC_AUTH is {login!r}; it is true or false"
    if login == "false":
        for name in only_with_login:
            if name in values:
                yield f"{name} is given, but BASIC_AUTH is false: nobody would have to log in"
    for name, most in (("DATABASE_PORT", 65535), ("PORT", 65535), ("WORKERS", 64)):
        text = values[name]
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
            yield f"{name} is {text!r}; it is a number from 1 to {most}"
    root = values.get("MLFLOW_DEFAULT_ARTIFACT_ROOT", "s3://")
    if not root.startswith("s3://"):
        yield (
            f"MLFLOW_DEFAULT_ARTIFACT_ROOT is {root!r}; clients store artifacts themselves, so it "
            "is s3://<bucket>/<prefix>"
        )
    if "*" in _hosts(values.get("MLFLOW_SERVER_ALLOWED_HOSTS", "")):
        yield (
            "MLFLOW_SERVER_ALLOWED_HOSTS has *, which turns MLflow's protection off; name the "
            "hosts by which clients reach the load balancer"
        )
    ca_path = values["MLFLOW_MYSQL_SSL_CA"]
    if not Path(ca_path).is_file():
        yield f"MLFLOW_MYSQL_SSL_CA is {ca_path}, which is no file here"
    if login == "true":
        yield from _login_problems(values)


def _login_problems(values: Mapping[str, str]) -> Iterator[str]:
    permission = values["DEFAULT_PERMISSION"]
    if permission not in PERMISSIONS:
        yield f"DEFAULT_PERMISSION is {permission!r}; it is one of {', '.join(PERMISSIONS)}"
    if values.get("CLIENT_USERNAME") == ADMIN_USERNAME:
        yield (
            f"CLIENT_USERNAME is {ADMIN_USERNAME}, the administrator's; jobs and builds need "
            "a user of their own"
        )
    for name in ("ADMIN_PASSWORD", "CLIENT_PASSWORD"):
        if name in values and len(values[name]) < SHORTEST_PASSWORD:
            yield f"{name} has fewer than {SHORTEST_PASSWORD} characters, which MLflow refuses"
    if "ADMIN_PASSWORD" in values and values["ADMIN_PASSWORD"] == values.get("CLIENT_PASSWORD"):
        yield "ADMIN_PASSWORD and CLIENT_PASSWORD are the same: each job could be administrator"
