"""How fast Grayline is: against the practical limit, against stock Faust, and against its own budgets."""
