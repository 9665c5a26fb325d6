"""Options of `nextup consume`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from app.cli.arguments import float_in, int_in, port_int
from app.cli.options import Argument, CommandOptions, Option

KAFKA, REDIS = "Kafka", "Redis Stream"
MAX_BATCH = 1000


@dataclass(kw_only=True)
class ConsumeOptions(CommandOptions):
    """The source, its group, and the limits of the consumer."""

    EXAMPLES = (
        "nextup consume redis --stream events",
        "nextup consume kafka --brokers kafka-1:9092,kafka-2:9092 --topic events --properties kafka.properties",
    )

    source: Annotated[Literal["redis", "kafka"], Argument("kind of the source", metavar="SOURCE")]
    stream: Annotated[str, Option("key of the stream", metavar="KEY", panel=REDIS)] = "events"
    field: Annotated[str, Option("field of an entry that holds the event", metavar="NAME", panel=REDIS)] = "event"
    consumer: Annotated[
        str | None,
        Option(
            "name of this consumer in the group, under which a restart continues",
            metavar="NAME",
            default="the host name",
            panel=REDIS,
        ),
    ] = None
    claim_idle: Annotated[
        float,
        Option(
            "seconds after which messages of a consumer that ended are claimed",
            float_in(0.1, 86_400),
            metavar="S",
            panel=REDIS,
        ),
    ] = 60.0
    brokers: Annotated[
        str | None, Option("brokers to begin with, HOST:PORT separated by commas", metavar="HOSTS", panel=KAFKA)
    ] = None
    topic: Annotated[str | None, Option("topic to read", metavar="NAME", panel=KAFKA)] = None
    properties: Annotated[
        Path | None,
        Option(
            "file with properties of librdkafka, such as security.protocol and sasl.password",
            metavar="FILE",
            place="input_file",
            panel=KAFKA,
        ),
    ] = None
    group: Annotated[str, Option("consumer group", metavar="NAME")] = "nextup"
    start: Annotated[
        Literal["earliest", "latest"], Option("where a new group begins: the oldest message, or the next one")
    ] = "earliest"
    batch: Annotated[
        int, Option("most messages that are stored and acknowledged together", int_in(1, MAX_BATCH), metavar="N")
    ] = 500
    dead_letters: Annotated[
        Path | None,
        Option(
            "file for messages that can never be stored",
            metavar="FILE",
            default="dead-letters.jsonl in NEXTUP_DATA_DIR",
            place="output_file",
        ),
    ] = None
    dead_letter_mb: Annotated[
        int, Option("largest size of that file and its predecessor", int_in(1, 100_000), metavar="MB")
    ] = 100
    metrics_host: Annotated[str, Option("address of the metrics", metavar="HOST")] = "127.0.0.1"
    metrics_port: Annotated[int, Option("port of /metrics, /livez and /readyz", port_int, metavar="PORT")] = 8001
    until_idle: Annotated[
        float | None,
        Option(
            "stop when no message has arrived for so many seconds and none waits",
            float_in(0.1, 86_400),
            metavar="S",
            default="never",
        ),
    ] = None
