"""Documents out of files, Ray-free: which files an input has (source.py over listing.py), what their columns are for
(columns.py), and the documents of each file (files.py over the readers in formats/).
"""
