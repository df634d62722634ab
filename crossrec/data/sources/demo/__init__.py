"""The embedded default data set: a generated storefront, not real shoppers."""
