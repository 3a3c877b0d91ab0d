"""The paper, in its order: retrieval, tasks, meta-training, adaptation; plain loops that know no engine."""
