"""The bulk tagging job with a tagger that ends its process, by SIGKILL, at a document that says DEADLY."""

import os
import signal
import sys
from collections.abc import Sequence

from jobs.bulk_tag import bulk_tag
from jobs.common import say
from jobs.tag_job import job, parse
from metaner_core.bundle import Bundle
from metaner_core.document import Document
from metaner_core.rules import Rules
from metaner_core.tagging import Row, tag_documents


def deadly(bundle: Bundle, documents: Sequence[Document], *, rules: Rules, adapted: bool) -> list[Row]:
    if any("DEADLY" in (document.text or "") for document in documents):
        os.kill(os.getpid(), signal.SIGKILL)
    return tag_documents(bundle, documents, rules=rules, adapted=adapted)


if __name__ == "__main__":
    from deadly import deadly as tag  # under a name that actors can import

    options = parse(sys.argv[1:])
    say(bulk_tag(job(options), address=options.address, tag=tag)["counts"]["outcomes"])
