"""Documents out of files, Ray-free: which files an input has (source.py), and the documents of each, readable from any
place in the middle (files.py; wet.py, lines.py and rows.py for Common Crawl's WET, JSONL and plain text, Parquet).
"""
