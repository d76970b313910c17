"""A MySQL-compatible server for tests: MariaDB from Debian's packages, with TLS and nothing else.

It is set as RDS for MySQL 8.4 would be where that can be set: mlflow.yml's parameter group, the
same sql_mode, utf8mb4, a binary log. Durability is off, and its files lie in memory where that is
possible.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pymysql
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pymysql.converters import escape_string

from mlops.platform.templates import read_template

INSTALLED = Path(__file__).parents[1] / ".venv-mariadb"
_USER_ID = 10002  # when the tests are root's: neither root nor the container's user
_SQL_MODE = (  # MySQL 8.4's default
    "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Mariadb]:
    """A running server. Shared: use a database of your own, and start it again if you stop it."""
    if not (INSTALLED / "usr/sbin/mariadbd").exists():
        reason = f"no MariaDB in {INSTALLED.name}: requirements/mariadb.sh tells why"
        if os.environ.get("REQUIRE_MARIADB") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    memory = Path("/dev/shm")
    in_memory = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30
    folder = Path(tempfile.mkdtemp(prefix="mariadb-", dir=memory if in_memory else None))
    server = Mariadb(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _parameter_group() -> list[str]:
    """mlflow.yml's settings of the database, as options."""
    group = read_template("platform/mlflow.yml").resources["DatabaseParameters"]["Properties"]
    return [f"--{name.replace('_', '-')}={value}" for name, value in group["Parameters"].items()]


@dataclass(frozen=True, kw_only=True)
class Database:
    """A database and the user that owns it."""

    host: str
    port: int
    name: str
    user: str
    password: str
    ca_path: Path


class Mariadb:
    """One server on 127.0.0.1, whose port, data and certificate outlast a stop."""

    host = "127.0.0.1"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._socket = folder / "socket"
        self._log = folder / "mariadb.log"
        self._process: subprocess.Popen[bytes] | None = None
        # No name needed: the server changes to it.
        self._user_id = _USER_ID if os.geteuid() == 0 and _may_all_enter(INSTALLED) else None
        with socket.socket() as free:
            free.bind((self.host, 0))
            self.port: int = free.getsockname()[1]
        folder.chmod(0o755)
        authority = Authority(folder, "authority")
        self.ca_path = authority.certificate_path
        authority.issue(folder / "server", self.host)
        self._install()

    def start(self) -> None:
        """Return when it takes connections. It ends with the thread that calls this."""
        assert self._process is None, "it runs"
        with self._log.open("ab") as log:
            # Killed tests must not leave it behind.
            bound = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
            self._process = subprocess.Popen(
                [*bound, *self._command()],
                stdout=log,
                stderr=log,
                env=_environment(),
                **self._as_user(),
            )
        deadline = time.monotonic() + 60
        while not self._listens():
            assert self._process.poll() is None, f"MariaDB ended: {self._log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"not ready: {self._log.read_text()[-2000:]}"
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, and with it all connections. Nothing if it doesn't run."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=30)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def create_database(self, name: str, *, password: str = "s3cr3t-of-the-database") -> Database:
        """An empty database, and a user with the same name who may do everything in it."""
        self.execute(
            f"CREATE DATABASE `{name}`",
            f"CREATE USER `{name}`@`%` IDENTIFIED BY '{escape_string(password)}'",
            f"GRANT ALL ON `{name}`.* TO `{name}`@`%`",
        )
        return Database(
            host=self.host,
            port=self.port,
            name=name,
            user=name,
            password=password,
            ca_path=self.ca_path,
        )

    def execute(self, *statements: str, database: str | None = None) -> list[tuple[object, ...]]:
        """As root; the rows of the last one."""
        with contextlib.closing(self._root(database)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def _listens(self) -> bool:
        # Not by PyMySQL: a connection that fails leaves its socket open.
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket))
            except OSError:
                return False
            return True

    def _root(self, database: str | None = None) -> pymysql.Connection:
        return pymysql.connect(
            unix_socket=str(self._socket),
            user="root",
            database=database,
            autocommit=True,
            charset="utf8mb4",
            ssl_disabled=True,
        )

    def _command(self, *more: str) -> list[str | Path]:
        share = INSTALLED / "usr/share/mysql"
        return [
            INSTALLED / "usr/sbin/mariadbd",
            "--no-defaults",
            *(("--user=root",) if os.geteuid() == 0 and self._user_id is None else ()),
            f"--basedir={INSTALLED / 'usr'}",
            f"--lc-messages-dir={share}",
            f"--character-sets-dir={share / 'charsets'}",
            f"--datadir={self._data}",
            f"--tmpdir={self._folder}",
            f"--socket={self._socket}",
            f"--pid-file={self._folder / 'pid'}",
            f"--bind-address={self.host}",
            f"--port={self.port}",
            "--skip-name-resolve",
            # As RDS for MySQL 8.4.
            *_parameter_group(),
            f"--ssl-ca={self.ca_path}",
            f"--ssl-cert={self._folder / 'server.pem'}",
            f"--ssl-key={self._folder / 'server.key'}",
            "--tls-version=TLSv1.2,TLSv1.3",
            f"--sql-mode={_SQL_MODE}",
            "--character-set-server=utf8mb4",
            "--max-connections=60",
            # Nothing here outlives a test.
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
            "--innodb-doublewrite=OFF",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=16M",
            # As with backups. Who is not SUPER, as RDS's master user, then makes no trigger.
            f"--log-bin={self._data / 'binlog'}",
            "--performance-schema=OFF",
            *more,
        ]

    def _install(self) -> None:
        """MariaDB's own tables, and root without a password at the socket."""
        self._data.mkdir()
        if self._user_id is not None:
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, self._user_id, self._user_id)
        share = INSTALLED / "usr/share/mysql"
        statements = [b"CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"]
        for name in ("mysql_system_tables.sql", "mysql_system_tables_data.sql"):
            statements.append((share / name).read_bytes())
        answer = subprocess.run(
            self._command("--bootstrap", "--skip-grant-tables", "--sql-mode="),
            input=b"".join(statements),
            capture_output=True,
            env=_environment(),
            timeout=60,
            **self._as_user(),
        )
        assert answer.returncode == 0, answer.stderr.decode(errors="replace")[-2000:]

    def _as_user(self) -> dict[str, object]:
        if self._user_id is None:
            return {}
        return {"user": self._user_id, "group": self._user_id, "extra_groups": []}


_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """A certificate authority of the tests' own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"tests' {name}")])
        certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_SIGNS_CERTIFICATES, critical=True)  # Python 3.13 insists on it
            .sign(self._key, hashes.SHA256())
        )
        self.certificate_path = folder / f"{name}.pem"
        self.certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, stem: Path, address: str) -> None:
        """Write stem.pem and stem.key: a server's certificate for that IP address."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        certificate = (
            self._builder(subject, key)
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        stem.with_suffix(".pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        stem.with_suffix(".key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )


def _environment() -> dict[str, str]:
    libraries = {str(path.parent) for path in INSTALLED.rglob("*.so*")}
    return {"LD_LIBRARY_PATH": ":".join(sorted(libraries)), "PATH": os.environ["PATH"]}


def _may_all_enter(folder: Path) -> bool:
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.resolve().parents))
