"""Converts files of other systems (switches, gateways) into records, as a mapping file says."""
