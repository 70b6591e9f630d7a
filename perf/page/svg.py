"""Makes the SVG of matplotlib fit to stand in a page: small, unique ids, its colours.

What is drawn uses the colours of ``INK`` and friends, which are replaced by the page's
custom properties, so that light, dark and print need one drawing only.
"""

import re
from xml.etree import ElementTree as ET

INK, MUTED, LINE, PAPER = "#010101", "#010102", "#010103", "#010104"
SUBJECT, PEER, BETTER, WORSE = "#010105", "#010106", "#010107", "#010108"
PROPERTIES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    PAPER: "var(--paper)",
    SUBJECT: "var(--subject)",
    PEER: "var(--peer)",
    BETTER: "var(--better)",
    WORSE: "var(--worse)",
}
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_COLOUR = re.compile("|".join(PROPERTIES))
_REFERENCE = re.compile(r"url\(#(?P<id>[^)]+)\)")
_FONT = re.compile(r"font(?:-family)?:[^;]*;?\s*")
_FONT_SIZE = re.compile(r"font(?:-size)?:[^;]*?(?P<size>[\d.]+)px")
# Its style would be the whole page's.
_DROPPED = {"metadata", "title", "style"}
# What HTML and the page's style already say.
_DEFAULTS = ("stroke-linejoin: miter", "stroke-linecap: butt", "text-anchor: start")


def embed(drawn: bytes, name: str, title: str, description: str) -> str:
    """An ``svg`` element for HTML; ``name`` must be unique in the page, ``title`` and
    ``description`` are read aloud in place of the drawing."""
    root = ET.fromstring(drawn)  # matplotlib's own, made just now
    _drop(root)
    _rename_ids(root, name)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        _restyle(element)
    _, _, width, height = root.attrib["viewBox"].split()
    root.attrib = {
        "viewBox": f"0 0 {width} {height}",
        "role": "img",
        "aria-labelledby": f"{name}-t {name}-d",
    }
    for at, (tag, text) in enumerate((("title", title), ("desc", description))):
        told = ET.Element(tag, {"id": f"{name}-{tag[0]}"})
        told.text = text
        root.insert(at, told)
    return ET.tostring(root, encoding="unicode", short_empty_elements=False)


def _drop(element: ET.Element) -> None:
    for child in list(element):
        if child.tag.rpartition("}")[2] in _DROPPED:
            element.remove(child)
        else:
            _drop(child)
    element.tail = None
    if not (element.text or "").strip():
        element.text = None


def _rename_ids(root: ET.Element, name: str) -> None:
    """Keep the ids that something refers to, and make them this drawing's own."""
    used: dict[str, str] = {}

    def renamed(old: str) -> str:
        return used.setdefault(old, f"{name}-{len(used)}")

    for element in root.iter():
        href = element.attrib.pop(_HREF, None)
        if href is not None:
            element.set("href", f"#{renamed(href.removeprefix('#'))}")
        for key, value in element.attrib.items():
            element.set(
                key, _REFERENCE.sub(lambda m: f"url(#{renamed(m['id'])})", value)
            )
    for element in root.iter():
        old = element.attrib.pop("id", None)
        if old in used:
            element.set("id", used[old])


def _restyle(element: ET.Element) -> None:
    style = element.attrib.pop("style", None)
    if style is None:
        return
    if element.tag == "text":
        size = _FONT_SIZE.search(style)
        style = _FONT.sub("", style)
        if size:
            element.set("font-size", size["size"])
        if "rotate(-0" in element.get("transform", ""):
            del element.attrib["transform"]
    parts = [part.strip() for part in style.split(";")]
    kept = "; ".join(part for part in parts if part and part not in _DEFAULTS)
    if kept:
        element.set("style", _COLOUR.sub(lambda m: PROPERTIES[m[0]], kept))
