"""How fast tagging, retrieval, adapting and meta-training are on this machine, without Ray."""
