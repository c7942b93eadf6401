"""The meaning of rules: strict loading with diagnostics, expressions, hours."""

# The module that registers the kinds of counter (rules.kinds). Named and not imported: a kind lies beside the code that
# runs it, in a layer above this one.
KINDS_FROM = "streams.counting.kinds.registry"
