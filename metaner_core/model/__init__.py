"""The network over an encoder: words to subwords and windows, the tagger, its forward pass over packed tokens."""
