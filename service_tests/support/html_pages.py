"""Reads the HTML pages of reports: their structure, texts and tables. A page that is not well-formed is an error."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID_ELEMENTS = {"meta", "link", "br"}
Attributes = dict[str, str | None]


@dataclass
class HtmlPage:
    """Elements in order with their attributes, the text outside of styles, and the tables by their names."""

    elements: list[tuple[str, Attributes]] = field(default_factory=list)
    text: str = ""
    style: str = ""
    tables: dict[str, list[list[str]]] = field(default_factory=dict)

    @property
    def structure(self) -> list[tuple[str, list[str]]]:
        """Elements with the names of their attributes."""
        return [(tag, sorted(attributes)) for tag, attributes in self.elements]

    @property
    def ids(self) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get("id")) is not None]

    def list_values(self, *names: str) -> list[str]:
        """The values of all attributes with one of these names."""
        return [attributes[name] or "" for _, attributes in self.elements for name in names if name in attributes]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = HtmlPage()
        self.open: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), f"{tag} repeats an attribute: {attrs}"
        self.page.elements.append((tag, attributes))
        if tag in VOID_ELEMENTS:
            return
        self.open.append(tag)
        if attributes.get("role") == "region":
            self.rows = self.page.tables.setdefault(str(attributes["aria-label"]).removesuffix(", table"), [])
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            self.page.style += data
            return
        self.page.text += data
        if self.open[-1:] in (["th"], ["td"]):
            self.rows[-1][-1] += data


def parse_html(text: str) -> HtmlPage:
    """Parse a page; AssertionError if an element is not closed, or closed out of order."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == [], f"not closed: {reader.open}"
    return reader.page


def check_self_contained(page: HtmlPage) -> None:
    """Check that a page loads nothing, runs nothing, and names every picture."""
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "img", "form", "base", "foreignobject", "image", "use"}
    assert not any(part in page.style for part in ("url(", "@import", "http:", "https:"))
    for reference in page.list_values("href", "src", "xlink:href", "srcset", "action", "data"):
        assert reference.startswith("#") or reference == "data:,", reference
    assert not any(name.startswith("on") or name == "style" for _, names in page.structure for name in names)
    assert len(page.ids) == len(set(page.ids)), "ids are unique"
    pictures = [attributes for tag, attributes in page.elements if tag == "svg"]
    for attributes in pictures:
        assert attributes["role"] == "img"
        assert set(str(attributes["aria-labelledby"]).split()) <= set(page.ids)
    for reference in page.list_values("href"):
        assert not reference.startswith("#") or reference[1:] in page.ids
