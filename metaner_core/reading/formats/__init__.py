"""The documents of one file, readable from any place in the middle: wet.py over warc.py, lines.py for JSONL and plain
text, rows.py for Parquet.
"""
