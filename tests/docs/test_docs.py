"""The documents are true: their commands run, their examples hold, and nothing is left out."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from rules import catalog, kinds
from rules.diagnostics import render
from rules.feeds_file import load_feeds
from rules.load import check_texts, load, load_protected, packs
from rules.registry_file import load_registry
from rules.sharing_file import load_sharing
from schemas import decoding
from schemas.export import schema
from schemas.feeds import FEEDS, counted
from streams.captures.convert.map_file import load_text
from streams.holds.number_order import REFUSALS
from streams.holds.steps import RULE, STEPS, TIME, Step
from streams.kafka.settings import read_properties
from streams.runtime.metrics import Metrics
from tests.docs.pages import OUR_BROKER, PAGES, ROOT, UPDATE, Block, Terminal, blocks, matches, rule_file, update
from tests.kafka_broker import Broker, kafka_jars, kafka_version, moved

EVERY_PAGE = (*PAGES, *sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs" / "decisions").glob("*.md")))
BLOCKS = [block for page in PAGES for block in blocks(page)]
DRY = [
    page for page in PAGES if any(b.runnable for b in blocks(page)) and not any(b.needs_broker for b in blocks(page))
]
READING_ORDER = (
    "README.md",
    "getting-started.md",
    "blockers.md",
    "operations.md",
    "emergency.md",
    "conversion.md",
    "registry.md",
    "sharing.md",
    "feeds.md",
)
LIVE = sorted(
    (page for page in PAGES if any(b.needs_broker for b in blocks(page))), key=lambda p: READING_ORDER.index(p.name)
)
CATCH_UP_LIMIT_S = 500
# The scripts of Kafka's distribution and the classes that they start.
KAFKA_TOOLS = {
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer.sh": moved("ConsoleProducer", kafka_version()),
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
}


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


# ------------------------------------------------------------------------------------------------------- commands


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", DRY, ids=named)
def test_the_commands_of_a_page_do_what_it_says(page: Path, tmp_path: Path) -> None:
    with Terminal(tmp_path) as terminal:
        go_through(page, terminal)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_commands_of_the_pages_with_a_broker_do_what_they_say(tmp_path: Path, kafka: Broker, tools: Path) -> None:
    """One session in the order of reading: what a page leaves on the broker is there for the next."""
    with Terminal(tmp_path, kafka.bootstrap, tools) as terminal:
        for page in LIVE:
            go_through(page, terminal, kafka.bootstrap)


@pytest.fixture
def kafka() -> Iterator[Broker]:
    """A broker of these pages' own: they make Grayline's topics under their own names."""
    with Broker(settings={"num.partitions": "1"}) as broker:
        yield broker


@pytest.fixture
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like `bin/` of Kafka's distribution."""
    folder = tmp_path_factory.mktemp("kafka") / "bin"
    folder.mkdir()
    quiet = folder / "log4j.properties"
    quiet.write_text("log4j.rootLogger=OFF\nrootLogger.level=OFF\n")  # of 3.x, and of 4.x
    logging = f"-Dlog4j.configuration=file:{quiet} -Dlog4j2.configurationFile=file:{quiet}"
    version = kafka_version()
    for script, main_class in KAFKA_TOOLS.items():
        java = f'exec java -Xmx128m {logging} -cp "{kafka_jars(version)}/*" {main_class} "$@"'
        (folder / script).write_text(f"#!/bin/sh\n{java}\n")
        (folder / script).chmod(0o755)
    return folder


def go_through(page: Path, terminal: Terminal, broker: str = "") -> None:
    printed = {}
    for block in blocks(page):
        if block.is_after_interrupt:
            terminal.interrupt()
        if block.language == "yaml":
            terminal.write(block)
        elif block.runnable and block.mark.startswith("stays"):
            wait_for_output(terminal.stay(block), block, broker)
        elif block.runnable:
            printed[block] = terminal.run(block)
    if UPDATE:
        update({block: outputs for block, outputs in printed.items() if outputs})


def wait_for_output(process: subprocess.Popen[str], block: Block, broker: str) -> None:
    """`run` has its partitions and has committed all that there is to read; anything else has printed its first line,
    as the page shows it if it does."""
    assert process.stdout is not None
    if "grayline run" not in block.text:
        ((command, shown),) = block.commands()
        said = process.stdout.readline()
        assert said.strip(), f"{block.place} printed nothing"
        assert not shown or matches(shown, said), f"{block.place}: `{command}` printed\n{said}"
        return
    said = ""
    while " live: partition=" not in said:
        line = process.stdout.readline()
        assert line, f"{block.place} ended: {said}"
        said += line
    group = re.search(r"--group (\S+)", block.text)
    give_up = time.monotonic() + CATCH_UP_LIMIT_S
    while not caught_up(broker, group[1] if group else "grayline"):
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
        assert process.returncode is None, f"{block.place} ended: {process.communicate()[0]}"
        assert time.monotonic() < give_up, f"{block.place} did not catch up"


def caught_up(broker: str, group: str) -> bool:
    """True if the group has committed the end of every partition with records, of those topics that it reads."""
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    consumer = Consumer({"bootstrap.servers": broker, "group.id": group})
    try:
        found = consumer.list_topics(timeout=10).topics
        places = [TopicPartition(name, p) for name in FEEDS if name in found for p in found[name].partitions]
        done = {(place.topic, place.partition): place.offset for place in consumer.committed(places, timeout=10)}
        ends = {(p.topic, p.partition): consumer.get_watermark_offsets(p, timeout=10)[1] for p in places}
    except KafkaException as problem:
        if problem.args[0].retriable() or problem.args[0].name() in ("NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE"):
            return False  # the broker has just begun to keep offsets
        raise
    finally:
        consumer.close()
    read = {topic for (topic, _), offset in done.items() if offset >= 0}
    return bool(read) and all(done[place] >= end for place, end in ends.items() if end and place[0] in read)


def test_what_is_not_run_says_why() -> None:
    for block in BLOCKS:
        if block.mark.startswith("not run"):
            assert re.fullmatch(r"not run: .{10,}", block.mark), f"{block.place}: say why"


def test_every_make_target_that_a_page_names_exists() -> None:
    spoken = {
        target
        for page in EVERY_PAGE
        for target in re.findall(r"(?:`|^|\$ )make ([a-z-]+)", page.read_text(encoding="utf-8"), re.M)
    }
    assert {"demo", "test"} <= spoken
    for target in spoken:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"make {target}: {done.stderr}"


def test_every_option_that_a_page_gives_to_a_command_exists() -> None:
    from streams.cli import command as root

    context = root.make_context("grayline", [], resilient_parsing=True)
    for page in EVERY_PAGE:
        for words in re.findall(r"\bgrayline ([a-z][^`\n|#]*)", page.read_text(encoding="utf-8")):
            first, *rest = words.split()
            if first not in root.list_commands(context):
                continue
            command = root.get_command(context, first)
            if rest and rest[0] in getattr(command, "commands", {}):
                command = command.commands[rest[0]]
            known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            given = {word.partition("=")[0] for word in rest if word.startswith("--")}
            assert given <= known, f"{named(page)}: `grayline {words}`: no such option: {given - known}"


def test_a_shown_output_that_differs_is_noticed() -> None:
    assert matches("one\n...\nthree\n", "one\ntwo\nthree\n")
    assert not matches("one\nthree\n", "one\ntwo\nthree\n")
    assert not matches("one\n...\nfour\n", "one\ntwo\nthree\n")


# -------------------------------------------------------------------------------------------------------- examples


NO_RULES = ("wrong", "protected", "map", "registry", "feeds", "rule tests", "shared", "sharing")
YAML = [block for block in BLOCKS if block.language == "yaml" and block.mark not in NO_RULES]
MAPS = [block for block in BLOCKS if block.language == "yaml" and block.mark == "map"]
PROTECTED = [block for block in BLOCKS if block.language == "yaml" and block.mark == "protected"]
FEED_FILES = [block for block in BLOCKS if block.language == "yaml" and block.mark == "feeds"]
REGISTRIES = [block for block in BLOCKS if block.language == "yaml" and block.mark == "registry"]
JSON = [block for block in BLOCKS if block.language == "json" and block.mark != "no record"]


@pytest.mark.parametrize("block", YAML, ids=lambda block: block.place)
def test_a_rule_file_in_a_page_is_accepted(block: Block) -> None:
    ruleset, diagnostics = check_texts([(block.place, rule_file(block.text))])
    assert ruleset is not None, "\n".join(map(render, diagnostics))
    assert not diagnostics, "\n".join(map(render, diagnostics))


@pytest.mark.parametrize("block", PROTECTED, ids=lambda block: block.place)
def test_a_file_of_protected_numbers_in_a_page_is_accepted(block: Block, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(block.text, encoding="utf-8")
    assert load_protected([tmp_path / "own.yaml"]) != load_protected()


@pytest.mark.parametrize("block", MAPS, ids=lambda block: block.place)
def test_a_map_in_a_page_is_accepted(block: Block) -> None:
    assert load_text(block.text, block.place).records


@pytest.mark.parametrize("block", FEED_FILES, ids=lambda block: block.place)
def test_a_file_of_feeds_in_a_page_is_accepted(block: Block, tmp_path: Path) -> None:
    (tmp_path / "feeds.yaml").write_text(block.text, encoding="utf-8")
    assert load_feeds(tmp_path / "feeds.yaml").feeds


@pytest.mark.parametrize("block", REGISTRIES, ids=lambda block: block.place)
def test_a_registry_in_a_page_is_accepted(block: Block, tmp_path: Path) -> None:
    (tmp_path / "registry.yaml").write_text(block.text, encoding="utf-8")
    assert len(load_registry([tmp_path / "registry.yaml"])) > 0


def test_a_file_of_sharing_in_a_page_is_accepted(tmp_path: Path) -> None:
    (block,) = [block for block in BLOCKS if block.language == "yaml" and block.mark == "sharing"]
    (tmp_path / "sharing.yaml").write_text(block.text, encoding="utf-8")
    assert load_sharing(tmp_path / "sharing.yaml").share


@pytest.mark.parametrize("block", JSON, ids=lambda block: block.place)
def test_a_record_in_a_page_is_one_of_its_topic(block: Block) -> None:
    said = re.match(r"schema: (\S+)", block.mark)
    assert said, f"{block.place}: say `<!-- schema: TOPIC -->` before it"
    record = json.loads(block.text)
    jsonschema.validate(record, schema(said[1]), cls=jsonschema.Draft202012Validator)
    if said[1] in FEEDS:
        assert decoding.check_all(said[1], block.text.encode()) == []


def test_a_settings_file_in_a_page_is_accepted(tmp_path: Path) -> None:
    shown = [block for block in BLOCKS if block.language == "properties"]
    assert shown
    for block in shown:
        file = tmp_path / "kafka.properties"
        file.write_text(block.text)
        assert read_properties(file), block.place


@pytest.mark.parametrize("page", EVERY_PAGE, ids=named)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{named(page)}: no such file: {target}"


@pytest.mark.parametrize("page", EVERY_PAGE, ids=named)
def test_no_page_shows_a_place_on_the_machine_that_wrote_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert str(Path.home()) + "/" not in text


# ---------------------------------------------------------------------------------------------------- completeness


def said_in(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("topic", FEEDS)
def test_the_record_reference_names_every_field(topic: str) -> None:
    text = said_in("docs/records.md").partition(f"## `{topic}`")[2].partition("\n## ")[0]
    for name, kind in FEEDS[topic].fields.items():
        row = re.search(rf"^\| `{name}` \|(.*)\|$", text, re.M)
        assert row, f"{topic} has a field {name}"
        assert ("required" in row[1]) == kind.required, f"{topic}: {name}"
        assert all(f"`{choice}`" in row[1] for choice in kind.choices), f"{topic}: {name} has values {kind.choices}"


def test_the_record_reference_names_every_reason_of_a_dead_letter() -> None:
    codes = re.search(r"one of ([a-z_,\s]+)\.", decoding.RecordError.__doc__ or "")
    assert codes
    text = said_in("docs/records.md")
    for code in re.split(r",\s+", codes[1]):
        assert f"| `{code}` |" in text


def test_the_rule_reference_names_everything_there_is_to_choose_from() -> None:
    text = said_in("docs/rules.md")
    words = {*catalog.sources(), *kinds.all_keys(), "where", "spoofable"}
    words |= {f"count: {name}" for name in kinds.counted_kinds()}
    words |= catalog.all_fields() | {name for feed in counted() for name in feed.distinct}
    for kind in (kind for feed in counted() for kind in catalog.fields(feed.name).values()):
        words |= set(getattr(kind, "choices", ()))
    missing = {word for word in words if f"`{word}`" not in text and f'`"{word}"`' not in text}
    assert not missing


def test_the_operations_page_names_every_metric_and_every_option_of_run() -> None:
    from streams.cli.run import command

    text = said_in("docs/operations.md")
    families = Metrics().registry.collect()
    told = {name for family in families for name in (family.name, f"{family.name}_total") if f"`{name}" in text}
    assert {family.name for family in families} <= {name.removesuffix("_total") for name in told}
    for parameter in command.params:
        assert f"`{parameter.opts[0]}" in text, f"`grayline run` has {parameter.opts[0]}"
        if parameter.envvar:
            assert f"`{parameter.envvar}`" in text, f"`grayline run` reads {parameter.envvar}"


def test_the_operations_page_has_an_entry_for_every_trouble_that_is_counted() -> None:
    text = said_in("docs/operations.md")
    codes = {code for _, source in sources() for code in re.findall(r"trouble\(\s*\"([a-z_]+)\"", source)}
    assert {"gap", "snapshot_missing", "snapshot_damaged", "txn_aborted", "txn_fenced"} <= codes
    assert sorted(code for code in codes if f"`{code}`" not in text) == []


def test_the_operations_page_explains_every_message_with_which_a_worker_stops() -> None:
    """Both ways: each message has a row, and each row belongs to a message that there is."""
    rows = said_in("docs/operations.md").partition("\n## When a worker stops\n")[2].partition("\n## ")[0]
    shown = [part for row in re.findall(r"^\| (`.*?) \|", rows, re.M) for part in re.findall(r"`([^`]+)`", row)]
    raised, texts = set(), []
    for path, source in sources():
        for node in ast.walk(ast.parse(source)):
            texts.append(text_of(node))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in STOPS and node.args:
                raised.add((f"{named(path)}:{node.lineno}", text_of(node.args[0])))
    assert len(raised) > 20
    said = "\n".join(texts)
    assert sorted(part for part in shown if part not in said and part not in SAID_BY_THE_SYSTEM) == []
    words = [(place, text) for place, text in raised if len(text) > LITTLE_SAID]
    assert sorted(place for place, text in words if not any(part in text for part in shown)) == []


# Exceptions that end a worker with a message of their own. `LedgerRowError` and `KafkaProblem` have too many readers.
STOPS = (
    "Refused", "StateRefused", "StateFull", "DeliveryFailed", "Fenced", "ReadFailed", "ReadBroken", "RecordsGone",
    "DrainTimedOut", "TimerFailed", "ControlUnread",
)  # fmt: skip
SAID_BY_THE_SYSTEM = ("address already in use",)
LITTLE_SAID = 45  # characters; messages below it repeat those of others


def sources() -> Iterator[tuple[Path, str]]:
    for path in sorted((ROOT / "streams").rglob("*.py")):
        yield path, path.read_text(encoding="utf-8")


def text_of(node: ast.AST) -> str:
    """The text of a string, with a gap where an f-string has a value; empty for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else "\0" for part in node.values)
    return ""


def test_the_operations_page_says_how_long_the_shipped_rules_warm_up() -> None:
    reach_ms = max(counter.reach_ms for rule in load([packs()]).rules for counter in rule.counters.values())
    assert f"({reach_ms // 3_600_000} hours with the rules that ship)" in said_in("docs/operations.md")


def test_every_command_is_in_the_readme() -> None:
    from streams.cli import COMMANDS

    text = said_in("README.md")
    assert [name for name in COMMANDS if f"`grayline {name}" not in text] == []


def test_each_decision_names_what_was_rejected() -> None:
    files = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    numbers = [file.name[:4] for file in files]
    assert len(set(numbers)) == len(numbers), "a number says which decision is meant"
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert re.search(r"^\*\*Rejected", text, re.M), file.name
        assert OUR_BROKER not in text


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/glossary.md"])
def test_every_file_and_module_that_a_page_for_contributors_names_is_there(page: str) -> None:
    """`NAME` stands for what is to be added, and its folder is there. A bare name lies beside the file before it."""
    named_here = 0
    for line in said_in(page).splitlines():
        folder = ROOT
        for path in re.findall(r"`((?:[a-zA-Z_]+/)*[\w-]+\.(?:py|md|yaml)|(?:[a-z_]+/)+)`", line):
            place = ROOT / path if "/" in path else folder / path
            folder, named_here = place.parent, named_here + 1
            assert (folder if "NAME" in place.stem else place).exists(), f"{page}: no such file: {path}"
        for module in re.findall(r"`((?:schemas|rules|streams)(?:\.[a-z_]+)+)(?:\.[A-Z]\w*)?`", line):
            place = ROOT.joinpath(*module.split("."))
            assert place.exists() or place.with_suffix(".py").exists(), f"{page}: no such module: {module}"
    assert named_here > 10


def test_the_way_from_an_alarm_to_a_released_number_is_written_down() -> None:
    """Each place names the next: the alarm its entry, the entry the page, the page and the help the command."""
    alarms = yaml.safe_load((ROOT / "docker" / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))
    told = [rule for group in alarms["groups"] for rule in group["rules"]]
    (jump,) = [alarm for alarm in told if alarm["alert"] == "GraylineBlocksJump"]
    assert jump["annotations"]["runbook"] == "docs/operations.md#blocks-that-jump-or-stop"
    entry = said_in("docs/operations.md").partition("### Blocks that jump, or stop\n")[2].partition("\n### ")[0]
    assert "(emergency.md" in entry
    page = said_in("docs/emergency.md")
    first = page.partition("\n## ")[2].partition("\n## ")[0]
    assert "$ grayline release 010-5550-0199 --brokers" in first, "the first section says how"
    helped = {name: helped_with(*name.split()) for name in ("", "release", "block", "audit")}
    assert " release " in helped[""]
    assert 'grayline release 010-1111-0001 --reason "the holder called"' in helped[""]
    assert "grayline release NUMBER" in helped["block"]
    assert "grayline audit NUMBER" in helped["release"]
    for command in re.findall(r"^\$ (grayline (?:release|block) .*)$", first, re.M):
        options = set(re.findall(r" (--[a-z-]+)", command))
        assert options <= set(re.findall(r"(--[a-z-]+)", helped[command.split()[1]])), command


def helped_with(*words: str) -> str:
    from streams.cli import command

    return " ".join(CliRunner().invoke(command, [*words, "--help"]).output.split())


def row_of(step: Step) -> str:
    by = step.by if step.by in (RULE, TIME) else f"`{step.by}`"
    changes = ", ".join(f"`{change}`" for change in step.changes)
    refused = f" refused: `{step.refused}`" if step.refused else ""
    return f"| {by} | {step.before} | {step.after} | {changes} |{refused} |"


def test_the_emergency_page_has_every_step_and_every_reason_of_a_refusal() -> None:
    page = (ROOT / "docs" / "emergency.md").read_text(encoding="utf-8")
    table = page.partition("<!-- steps -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    assert table == [row_of(step) for step in STEPS]
    for reason, meaning in REFUSALS.items():
        assert f"| `{reason}` | {meaning} |" in page
