"""The ports of the payment core, on real services."""
