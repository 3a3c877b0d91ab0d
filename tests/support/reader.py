"""HTML pages as tests read them."""

import re
from html.parser import HTMLParser

VOID = {"meta", "input", "br", "link", "img", "base"}


class Node:
    def __init__(self, tag="", attributes=()):
        self.tag, self.attributes, self.children = tag, dict(attributes), []

    def all(self, tag, class_=None):
        for node in nodes(self):
            if node.tag == tag and (class_ is None or class_ in node.attributes.get("class", "").split()):
                yield node

    def text(self, without=None):
        parts = (child if isinstance(child, str) else child.text(without) for child in self.children)
        return "" if without and self.attributes.get("class") == without else "".join(parts)


def nodes(root):
    """All elements below `root`, in document order."""
    for child in root.children:
        if isinstance(child, Node):
            yield child
            yield from nodes(child)


class Reader(HTMLParser):
    """The page as the standard library reads it, and a check that every tag is closed."""

    def __init__(self, html):
        super().__init__()
        self.root = Node()
        self.open = [self.root]
        self.feed(html)
        self.close()
        assert self.open == [self.root]

    def handle_starttag(self, tag, attributes):
        node = Node(tag, attributes)
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag

    def handle_data(self, data):
        self.open[-1].children.append(data)


def palettes(html):
    """The page's colours by name, in light and in dark."""
    blocks = re.findall(r":root \{(.*?)\}", html, re.DOTALL)
    found = [dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for block in blocks]
    light, dark = ({name: colour for part in found[i::2] for name, colour in part.items()} for i in (0, 1))
    return [light, dark]


def contrast(one, other):
    """WCAG 2.2's contrast ratio: 1 to 21."""

    def luminance(colour):
        channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
