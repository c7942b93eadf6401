"""A real Apache Kafka for tests, benchmarks and demonstrations: one KRaft node as a local process.

    with Broker() as broker:
        print(broker.bootstrap)

The jars come once from Maven Central into `.cache/kafka/<version>` of the checkout, or into the folder that
GRAYLINE_KAFKA_HOME names. The version is OLDEST, the oldest that is supported, unless GRAYLINE_TEST_KAFKA or a test
says another (NEWEST). `python -m tests.kafka_broker` runs a broker in the foreground until Ctrl-C.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

POM = Path(__file__).with_name("kafka") / "pom.xml"
OLDEST = "3.9.1"
NEWEST = "4.4.0"
LOG_TAIL_LINES = 40
# Tools that have moved since 3.9, each with its places, the newest first.
MOVED = {
    "AclCommand": ("org.apache.kafka.tools.AclCommand", "kafka.admin.AclCommand"),
    "ConsoleProducer": ("org.apache.kafka.tools.ConsoleProducer", "kafka.tools.ConsoleProducer"),
}


class KafkaUnavailable(Exception):
    """This machine cannot run a Kafka: Java, Maven or the jars are missing."""


class BrokerFailed(Exception):
    """The broker did not start, or one of its tools failed; the message ends with the tail of the log."""


class Broker:
    """One broker that is also its controller, on loopback; a context manager.

    `heap` is the JVM's maximum heap, `settings` are lines of server.properties that override ours, `directory` keeps
    logs and data (a temporary one otherwise, removed at the end), `version` is Kafka's. `proxy_port`: a second
    listener, at `behind_proxy`, sends its clients to that port of loopback, where a proxy is expected to hand them on.
    `users`, names and passwords: a further listener, at `secured`, takes them by SCRAM-SHA-512 over TLS, with a
    certificate of the authority in `ca_file`, made on the spot; and nobody has a right that was not granted, but for
    the user called `admin` and for whoever comes by `bootstrap`. After `stop()` or `kill()`, `start()` brings the same
    broker back, with its data, at the same address. `ports`: of the broker and the controller, and `cluster_id`, the
    cluster's: for nodes that know of each other.
    """

    def __init__(
        self,
        *,
        heap: str = "512m",
        settings: Mapping[str, str] | None = None,
        directory: Path | None = None,
        version: str | None = None,
        proxy_port: int | None = None,
        users: Mapping[str, str] | None = None,
        ports: Sequence[int] = (),
        cluster_id: str = "",
    ) -> None:
        self.version = version or kafka_version()
        self._jars = kafka_jars(self.version)
        self._heap = heap
        self._settings = dict(settings or {})
        self._is_temporary = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="grayline-kafka-"))
        self.log_file = self.directory / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._is_formatted = False
        self.bootstrap = ""
        self._proxy_port = proxy_port
        self.behind_proxy = ""
        self._users = dict(users or {})
        self._ports = tuple(ports)
        self._cluster_id = cluster_id or new_cluster_id()
        self.secured = ""
        self.ca_file = self.directory / "tls" / "ca.pem"

    def __enter__(self) -> Broker:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        if self._process is None:
            raise BrokerFailed("the broker is not running; call start() first")
        return self._process.pid

    def start(self, timeout_s: float = 90.0) -> None:
        """Starts the broker and returns once it answers metadata requests. Raises BrokerFailed."""
        if self._process is not None:
            raise BrokerFailed(f"the broker is running already, at {self.bootstrap}")
        for attempts_left in (2, 1, 0):
            if not self._is_formatted:
                self._format()
            with self.log_file.open("ab") as log:
                self._process = subprocess.Popen(
                    [*self._java(f"-Xmx{self._heap}"), "kafka.Kafka", str(self._properties_file)],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            try:
                return self._wait_until_ready(timeout_s)
            except BrokerFailed:
                # Between our choosing a free port and the broker's binding it, somebody else may have taken it.
                self.kill()
                if not attempts_left or "Address already in use" not in self.log_tail() or self._has_run:
                    raise
                self._is_formatted = False

    def stop(self, timeout_s: float = 30.0) -> None:
        """Asks for a clean shut-down, and kills the broker when it takes longer than `timeout_s`."""
        process = self._process
        if process is None:
            return
        process.terminate()
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None

    def kill(self) -> None:
        """SIGKILL: the broker has no chance to write anything more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def move(self, proxy_port: int) -> None:
        """A broker that is stopped says from its next start on that its clients behind a proxy find it at this port."""
        before, self._proxy_port = f"PROXIED://127.0.0.1:{self._proxy_port}", proxy_port
        lines = self._properties_file.read_text().splitlines()
        moved = [
            line.replace(before, f"PROXIED://127.0.0.1:{proxy_port}") if line.startswith("advertised.") else line
            for line in lines
        ]
        self._properties_file.write_text("".join(f"{line}\n" for line in moved))

    def suspend(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, until `resume()`."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Ends the broker and removes its temporary directory."""
        if self._is_temporary:
            self.kill()
            shutil.rmtree(self.directory, ignore_errors=True)
        else:
            self.stop()

    def console_producer(
        self,
        topic: str,
        lines: Iterable[str],
        *,
        key_separator: str | None = None,
        null_marker: str | None = None,
        headers_delimiter: str | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        """Produces `lines` with Kafka's own console producer, through its Java client and partitioner.

        With `key_separator` each line is `key<separator>value`; a value equal to `null_marker` becomes a tombstone;
        with `headers_delimiter` each line starts `name:value,...<delimiter>`.
        """
        properties = {}
        if key_separator is not None:
            properties |= {"parse.key": "true", "key.separator": key_separator}
        if null_marker is not None:
            properties["null.marker"] = null_marker
        if headers_delimiter is not None:
            properties |= {"parse.headers": "true", "headers.delimiter": headers_delimiter}
        self.tool(
            moved("ConsoleProducer", self.version), "--bootstrap-server", self.bootstrap, "--topic", topic,
            "--reader-config", self._config_file(properties), stdin="".join(f"{line}\n" for line in lines),
            timeout_s=timeout_s,
        )  # fmt: skip

    def console_consumer(
        self,
        topic: str,
        *,
        messages: int,
        print_key: bool = True,
        key_separator: str = "\t",
        isolation_level: str = "read_committed",
        properties: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> list[str]:
        """Reads the first `messages` records of the topic with Kafka's own console consumer, one line each.

        Raises BrokerFailed when fewer than `messages` arrive before `timeout_s`.
        """
        shown = {"print.key": str(print_key).lower(), "key.separator": key_separator, **(properties or {})}
        output = self.tool(
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            "--bootstrap-server", self.bootstrap, "--topic", topic, "--from-beginning",
            "--isolation-level", isolation_level, "--max-messages", str(messages),
            "--timeout-ms", str(int(timeout_s * 1000)), "--formatter-config", self._config_file(shown),
            timeout_s=timeout_s + 30,
        )  # fmt: skip
        lines = output.split("\n")[:-1]
        if len(lines) < messages:
            raise BrokerFailed(f"{topic}: {len(lines)} of {messages} messages arrived within {timeout_s:g} s")
        return lines

    def tool(self, main_class: str, *arguments: str, stdin: str = "", timeout_s: float = 60.0) -> str:
        """Runs one of Kafka's Java tools and returns its standard output. Raises BrokerFailed."""
        # A tool lives for a second: the first-tier compiler is enough and spares the second core.
        command = [*self._java("-Xmx128m", "-XX:TieredStopAtLevel=1"), main_class, *arguments]
        try:
            done = subprocess.run(
                command, input=stdin.encode(), capture_output=True, timeout=timeout_s, check=False, cwd=self.directory
            )
        except subprocess.TimeoutExpired as error:
            raise BrokerFailed(f"{main_class} did not end within {timeout_s:g} s\n{self.log_tail()}") from error
        if done.returncode != 0:
            tail = "\n".join((done.stdout + done.stderr).decode(errors="replace").splitlines()[-LOG_TAIL_LINES:])
            raise BrokerFailed(f"{main_class} ended with code {done.returncode}\n{tail}")
        return done.stdout.decode(errors="replace")

    def _config_file(self, properties: Mapping[str, str]) -> str:
        """`--property` has other names from 4.2 on; files are read by all versions."""
        file = self.directory / f"tool-{uuid.uuid4().hex}.properties"
        # Java would skip the blank at the beginning of a value.
        file.write_text("".join(f"{name}={escaped(value)}\n" for name, value in properties.items()))
        return str(file)

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        if not self.log_file.exists():
            return "(the broker wrote no log)"
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    @property
    def _properties_file(self) -> Path:
        return self.directory / "server.properties"

    @property
    def _has_run(self) -> bool:
        return (self.directory / "has-run").exists()

    def _format(self) -> None:
        broker_port, controller_port, second_port, secured_port = (*self._ports, *free_ports(4 - len(self._ports)))
        self.bootstrap = f"127.0.0.1:{broker_port}"
        shutil.rmtree(self.directory / "data", ignore_errors=True)
        properties = server_properties(self.directory / "data", broker_port, controller_port)
        if self._proxy_port is not None:
            self.behind_proxy = f"127.0.0.1:{second_port}"
            properties["listeners"] += f",PROXIED://{self.behind_proxy}"
            properties["advertised.listeners"] += f",PROXIED://127.0.0.1:{self._proxy_port}"
            properties["listener.security.protocol.map"] += ",PROXIED:PLAINTEXT"
        scram = []
        if self._users:
            self.secured = f"127.0.0.1:{secured_port}"
            properties["listeners"] += f",SASL_SSL://{self.secured}"
            properties["advertised.listeners"] += f",SASL_SSL://{self.secured}"
            properties["listener.security.protocol.map"] += ",SASL_SSL:SASL_SSL"
            properties |= SECURED | {"listener.name.sasl_ssl.ssl.keystore.location": str(self._certificates())}
            scram = [f"--add-scram=SCRAM-SHA-512=[name={n},password={word}]" for n, word in self._users.items()]
        properties |= self._settings
        self._properties_file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        # In one word: one id in 64 starts with a hyphen and would be taken for an option.
        id = f"--cluster-id={self._cluster_id}"
        self.tool("kafka.tools.StorageTool", "format", id, "-c", str(self._properties_file), *scram)
        self._is_formatted = True

    def _certificates(self) -> Path:
        """The broker's key and certificate in one file, made by a new authority in `ca_file`."""
        folder = self.ca_file.parent
        folder.mkdir(exist_ok=True)
        new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        for command in (
            ("req", "-x509", *new_key, "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"),
            ("req", *new_key, "-subj", "/CN=broker", "-keyout", "broker.key", "-out", "broker.csr"),
            ("x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
             "-extfile", "names", "-out", "broker.crt"),
        ):  # fmt: skip
            done = subprocess.run(["openssl", *command], cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise BrokerFailed(f"openssl {command[0]} ended with code {done.returncode}\n{done.stderr}")
        both = folder / "broker.pem"
        both.write_text((folder / "broker.key").read_text() + (folder / "broker.crt").read_text())
        return both

    def _java(self, *flags: str) -> list[str]:
        name, option, text = LOG4J if is_before_4(self.version) else LOG4J2
        file = self.directory / name
        if not file.exists():
            file.write_text(text)
        return ["java", *flags, "-Djava.awt.headless=true", f"-D{option}=file:{file}", "-cp", f"{self._jars}/*"]

    def _wait_until_ready(self, timeout_s: float) -> None:
        deadline = monotonic() + timeout_s
        # Refused connections are what we expect until the broker listens, so they are neither logged nor waited out.
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 100})
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                code = self._process.returncode
                raise BrokerFailed(f"the broker ended with code {code} before it was ready\n{self.log_tail()}")
            try:
                if admin.list_topics(timeout=0.5).brokers:
                    (self.directory / "has-run").touch()
                    return
            except KafkaException:
                pass
            if monotonic() > deadline:
                raise BrokerFailed(f"the broker was not ready within {timeout_s:g} s\n{self.log_tail()}")


def server_properties(data: Path, broker_port: int, controller_port: int) -> dict[str, str]:
    """server.properties of a single node for tests: no replication, no waiting for further group members."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{broker_port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker_port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data),
        "num.network.threads": "2",
        "num.io.threads": "4",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        # After SIGKILL a broker may register again only once its old session has run out (9 s by default).
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # A topic that appears by itself hides a wrong name and has the wrong number of partitions.
        "auto.create.topics.enable": "false",
    }


# Of the listener with passwords, and what then holds for all: only what is granted is allowed.
SECURED = {
    "sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
        "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    ),
    "listener.name.sasl_ssl.ssl.keystore.type": "PEM",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:admin;User:ANONYMOUS",
}
# Of 3.x and of 4.x: the file's name, the option of Java that takes it, and the file.
LOG4J = (
    "log4j.properties",
    "log4j.configuration",
    """\
log4j.rootLogger=WARN, err
log4j.appender.err=org.apache.log4j.ConsoleAppender
log4j.appender.err.target=System.err
log4j.appender.err.layout=org.apache.log4j.PatternLayout
log4j.appender.err.layout.ConversionPattern=%d %p %m (%c)%n
log4j.logger.kafka.server.KafkaRaftServer=INFO
""",
)
LOG4J2 = (
    "log4j2.properties",
    "log4j2.configurationFile",
    """\
rootLogger.level=WARN
rootLogger.appenderRef.err.ref=err
appender.err.type=Console
appender.err.name=err
appender.err.target=SYSTEM_ERR
appender.err.layout.type=PatternLayout
appender.err.layout.pattern=%d %p %m (%c)%n
logger.raft.name=kafka.server.KafkaRaftServer
logger.raft.level=INFO
""",
)


def is_before_4(version: str) -> bool:
    return int(version.partition(".")[0]) < 4


def moved(tool: str, version: str) -> str:
    """The class of a tool that has moved, in this version."""
    newest, before = MOVED[tool]
    return before if is_before_4(version) else newest


def escaped(value: str) -> str:
    """A value of a .properties file; Java drops blanks before it, and reads a backslash as an escape."""
    return "".join(f"\\u{ord(each):04x}" if not each.isalnum() else each for each in value)


def new_cluster_id() -> str:
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on at the moment; all held at once, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def kafka_version() -> str:
    """Kafka's version for tests that name none."""
    return os.environ.get("GRAYLINE_TEST_KAFKA") or OLDEST


def kafka_jars(version: str) -> Path:
    """The folder with the jars of a version, filled by Maven the first time. Raises KafkaUnavailable.

    Concurrent callers wait for one download. The folder appears under its name only when it is whole.
    """
    if shutil.which("java") is None:
        raise KafkaUnavailable("no `java` on the PATH: install a Java 17 run-time")
    home = Path(os.environ.get("GRAYLINE_KAFKA_HOME") or POM.parents[2] / ".cache" / "kafka")
    jars = home / version
    if jars.is_dir():
        return jars
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if jars.is_dir():
            return jars
        if shutil.which("mvn") is None:
            raise KafkaUnavailable("no `mvn` on the PATH: install Maven, which fetches Apache Kafka")
        partial = home / f"{jars.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        logging = [] if is_before_4(version) else ["-Plog4j2"]
        _run_maven(
            [f"-Dkafka.version={version}", *logging, "dependency:copy-dependencies", f"-DoutputDirectory={partial}"]
        )
        partial.rename(jars)
    return jars


def _run_maven(goals: Sequence[str]) -> None:
    command = ["mvn", "-q", "-B", "-f", str(POM), *goals]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-LOG_TAIL_LINES:])
        raise KafkaUnavailable(f"Maven could not fetch Apache Kafka ({' '.join(goals)}):\n{tail}")


def main() -> None:
    with Broker() as broker:
        print(f"Apache Kafka {broker.version} at {broker.bootstrap} (data in {broker.directory}); Ctrl-C ends it")
        try:
            signal.pause()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
