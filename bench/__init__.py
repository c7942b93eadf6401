"""Benchmarks of Grayline: against the practical limit, against stock Faust, and against its own budgets."""
