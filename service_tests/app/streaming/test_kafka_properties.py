"""The file of librdkafka properties: mistakes name file and line, and never a value."""

from pathlib import Path

import pytest

from app.streaming.kafka_properties import MAX_BYTES, OWN_PROPERTIES, build_consumer_properties, read_properties

SECRET = "s3cret-Zx"


def test_properties_are_read_with_comments_blanks_and_equal_signs(tmp_path: Path) -> None:
    path = tmp_path / "kafka.properties"
    path.write_text(f"# security\n\nsecurity.protocol = SASL_SSL\nsasl.password={SECRET}=x \n")
    assert read_properties(path) == {"security.protocol": "SASL_SSL", "sasl.password": f"{SECRET}=x"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"security.protocol=SSL\n{SECRET}\n".encode(), ":2 is not name=value; correct it"),
        (f"Upper.Case={SECRET}".encode(), ":1 is not name=value; correct it"),
        (b"sasl.password=\xff\xfe", " is not UTF-8 text; name a file of librdkafka properties"),
        (b"#" * (MAX_BYTES + 1), " is larger than 100,000 bytes; name a file of librdkafka properties"),
        *(
            (f"{name}={SECRET}".encode(), f":1 sets {name}, which nextup sets; {advice}")
            for name, advice in OWN_PROPERTIES.items()
        ),
    ],
)
def test_mistake_names_file_and_line_without_the_value(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "kafka.properties"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_properties(path)
    assert str(caught.value) == f"{path}{message}"
    assert SECRET not in str(caught.value)


def test_offsets_are_never_committed_automatically() -> None:
    properties = build_consumer_properties("b:9092", "g", "earliest", {"enable.auto.commit": "true"})
    assert properties["enable.auto.commit"] is False
    assert properties["enable.auto.offset.store"] is False
    assert build_consumer_properties("b", "g", "latest", {"client.id": "shop"})["client.id"] == "shop"
