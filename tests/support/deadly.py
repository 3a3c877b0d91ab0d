"""The bulk tagging job with a tagger, or a reader, that ends its process, by SIGKILL, at a document that says DEADLY.

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


def deadly(bundle: Any, documents: Sequence[Document], **how: Any) -> list[Row]:
    if any("DEADLY" in (document.text or "") for document in documents):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(PACE)
    from jobs.tagging.model import iter_documents  # late: the driver imports this module too

    return list(iter_documents(bundle, documents, **how))


def deadly_to_readers(inputs: Any, documents: Sequence[Document], rules: Rules) -> Any:
    if any("DEADLY" in (document.text or "") for document in documents):
        os.kill(os.getpid(), signal.SIGKILL)
    from jobs.tagging.stages.late import make

    return make(inputs, documents, rules)


def slow(bundle: Any, documents: Sequence[Any], **how: Any) -> Any:
    time.sleep(PACE)
    from jobs.tagging.stages.late import predict

    return predict(bundle, documents, **how)


if __name__ == "__main__":
    from tests.support import deadly as importable  # its functions under names that workers can import

    options = parse(sys.argv[1:])
    instead = Instead(importable.deadly, importable.deadly_to_readers, importable.slow)
    say(bulk_tag(job(options), address=options.address, instead=instead)["counts"]["outcomes"])
