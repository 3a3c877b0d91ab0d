"""What a job's driver imports: torch, transformers and spaCy take seconds, and only workers and actors need them."""

import subprocess
import sys

LOOK = """
import sys
import jobs.bulk_tag, jobs.demo, jobs.evaluate, jobs.meta_train, jobs.self_train
print({"torch", "transformers", "spacy", "sklearn", "scipy", "faiss", "numba"} & {*sys.modules})
import jobs.pretrain_encoder, cluster.local
print({"torch", "spacy", "sklearn", "scipy", "faiss", "numba"} & {*sys.modules})
"""


WRITER = "import sys, jobs.tagging.stages.writer; print({'torch', 'transformers', 'spacy'} & {*sys.modules})"


def test_a_writer_which_is_begun_again_and_again_loads_no_model() -> None:
    done = subprocess.run([sys.executable, "-c", WRITER], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_command_does_not_wait_for_the_model() -> None:
    """Text is packed by the driver of pre-training, with transformers' tokenizers, which need no torch."""
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\nset()\n"
