"""Recorded traffic in files: written from a broker, read by `replay`, checked field by field.

lines.py, files.py, parquet.py     reading: JSON lines as kcat prints them (plain, gzip, zstd), or Parquet
writing.py, recorder.py            writing: rotated files, from the records of a broker
pseudonyms.py                      the same traffic with other people's numbers
samples.py, check.py               carriers' samples, held against the schemas
"""
