"""Pre-training of a small multilingual encoder from raw text: vocabulary, packing, masked and translation LM."""
