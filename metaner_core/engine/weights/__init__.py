"""What a token meets in a layer when every task has weights of its own: traced, formed, or never formed at all."""
