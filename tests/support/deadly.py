"""The bulk tagging job with a tagger that ends its process, by SIGKILL, at a document that says DEADLY.

It takes its time, PACE seconds for each batch, so that a test finds something in flight whatever the machine.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from jobs.bulk_tag import bulk_tag
from jobs.tagging.job import job, parse
from jobs.tagging.stages.pipeline import Instead
from metaner_core.command import say
from metaner_core.text.document import Document, Row
from metaner_core.text.rules import Rules

PACE = 0.3


def deadly(bundle: Any, documents: Sequence[Document], *, rules: Rules, adapted: bool) -> list[Row]:
    if any("DEADLY" in (document.text or "") for document in documents):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(PACE)
    from jobs.tagging.model import iter_documents  # late: the driver imports this module too

    return list(iter_documents(bundle, documents, rules=rules, adapted=adapted))


if __name__ == "__main__":
    from tests.support.deadly import deadly as tag  # under a name that actors can import

    options = parse(sys.argv[1:])
    say(bulk_tag(job(options), address=options.address, instead=Instead(tag=tag))["counts"]["outcomes"])
