"""A colleague's traffic: a generator that shares nothing with `streams/traffic` but the record schemas.

The shipped rules are measured on it and never tuned on it. Where the other one draws each number's records from
distributions, this one lets a small city live: people have friends and call back, businesses have lines and staff that
are busy, campaigns have lists, bots and breaks. What comes out is whatever follows from that."""
