"""The method: minimal-resource cross-lingual NER by meta-learning (Wu et al., AAAI 2020). Imports no Ray."""

__version__ = "0.2.0"
