"""HTML pages as tests read them."""

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
