"""Before any tagging: the input looked through, its ids compared, cut into shards. Nothing here imports torch."""
